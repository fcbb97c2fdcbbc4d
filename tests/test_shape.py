"""The shape of the code, counted: sizes, docstrings, nothing left for later. No list of exceptions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULE_LINES = 400
FUNCTION_LINES = 60

SOURCES = sorted(path for package in ("runtime", "tui") for path in (ROOT / package).rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_is_one_noun(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)

    assert ast.get_docstring(tree), "a module says what it owns"
    assert len(text.splitlines()) <= MODULE_LINES
    too_long = [
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in functions(tree)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]
    assert too_long == []


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "__init__.py"], ids=relative)
def test_a_package_file_holds_a_docstring_and_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert len(tree.body) == 1
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_is_left_for_later(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)

    assert not [word for word in ("TODO", "FIXME", "XXX", "HACK") if word in text]
    unfinished = [
        node.name
        for node in functions(tree)
        if any(isinstance(each, ast.Raise) and "NotImplemented" in ast.dump(each) for each in ast.walk(node))
    ]
    assert unfinished == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_exception_is_swallowed_whole(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    swallowed = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and all(isinstance(each, ast.Pass) for each in node.body)
        and (node.type is None or "Exception" in ast.dump(node.type))
    ]
    assert swallowed == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_public_names_say_what_they_do(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    silent = [
        node.name
        for node in tree.body
        if isinstance(node, Function | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []
