from pathlib import Path

import pytest

from runtime.core.knowledge import Chunking
from runtime.recall.chunk import cut
from tests.kit import documents
from tests.kit.reading import outline, parsed


def headings(folder: Path, name: str, code: str) -> list[tuple[str, ...]]:
    document = parsed(folder, name, code.encode())
    assert document.text == code
    assert document.keeps_lines
    return [each.heading for each in document.sections]


def test_functions_and_methods_of_python_are_sections_with_their_comments(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.py", documents.PYTHON.encode())
    sections = {
        each.heading: document.text[each.start : each.end] for each in document.sections if each.heading
    }

    assert list(sections) == [("home",), ("Shelf",), ("Shelf", "is_full"), ("Shelf", "clear")]
    assert sections[("home",)].startswith("# Says where home is.\ndef home()")
    assert sections["Shelf", "is_full"].startswith("    @property\n    def is_full")
    assert document.language == ""
    assert document.text.endswith("print(home())\n")
    assert document.sections[-1].heading == ()


CODE = {
    "a.js": (
        (
            "const x = 1;\nexport function one() {}\nclass Two { three() { return 3; } }\n"
            "const four = () => 4;\n"
        ),
        [(), ("one",), ("Two",), ("Two", "three"), ("four",)],
    ),
    "a.ts": (
        (
            "interface One { a: string }\nexport abstract class Two<T> {\n  three(): void {}\n}\n"
            "namespace Four {\n  export function five() {}\n}\ntype Six = string;\nenum Seven { A }\n"
        ),
        [("One",), ("Two",), ("Two", "three"), ("Four",), ("Four", "five"), ("Six",), ("Seven",)],
    ),
    "a.tsx": ("export const One = () => <div>hello</div>;\n", [("One",)]),
    "a.go": (
        (
            "package p\n\n// One does.\nfunc One() {}\n\ntype Two struct{ a int }\n\n"
            "func (t *Two[K]) Three() {}\n"
        ),
        [(), ("One",), ("Two",), ("Two", "Three")],
    ),
    "a.rs": (
        (
            "/// One.\n#[test]\nfn one() {}\nstruct Two;\nimpl Show for Two {\n    fn three(&self) {}\n}\n"
            "mod four {\n    fn five() {}\n}\n"
        ),
        [("one",), ("Two",), ("Show for Two",), ("Show for Two", "three"), ("four",), ("four", "five")],
    ),
    "A.java": (
        (
            "package p;\n\n/** One. */\npublic class One {\n  One() {}\n"
            "  int two() { return 2; }\n  enum Three { A }\n}\n"
            "record Four(int a) {}\n"
        ),
        [(), ("One",), ("One", "One"), ("One", "two"), ("One", "Three"), ("Four",)],
    ),
    "a.c": (
        (
            "#include <a.h>\n\nstruct one { int a; };\n\nstatic int *two(int a)\n{\n  return 0;\n}\n\n"
            "typedef struct { int b; } three;\n"
        ),
        [(), ("one",), ("two",), ("three",)],
    ),
    "a.cpp": (
        (
            "namespace one {\ntemplate <class T>\nclass Two {\n public:\n  int three() { return 3; }\n};\n}\n"
            "int one::Four::five() { return 5; }\n"
        ),
        [("one",), ("one", "Two"), ("one", "Two", "three"), ("one", "Four", "five")],
    ),
}


@pytest.mark.parametrize("name", CODE)
def test_definitions_of_every_language_are_sections_with_qualified_names(tmp_path: Path, name: str) -> None:
    code, expected = CODE[name]

    assert headings(tmp_path, name, code) == expected


@pytest.mark.parametrize("name", CODE)
def test_code_that_does_not_parse_is_read_all_the_same(tmp_path: Path, name: str) -> None:
    for code in ("}}}} ((( def class fn {{{{", "\U0001d487 = 'é'\n" * 10, CODE[name][0][:-20]):
        assert parsed(tmp_path, name, code.encode()).text == code


def test_other_languages_keep_their_lines_without_sections(tmp_path: Path) -> None:
    assert headings(tmp_path, "a.rb", "def one\n  1\nend\n") == []


def test_code_nested_ten_thousand_times_is_read(tmp_path: Path) -> None:
    assert headings(tmp_path, "a.js", "{" * 10_000 + "}" * 10_000) == []
    assert headings(tmp_path, "a.py", "x = " + "(" * 10_000 + ")" * 10_000) == []


def test_pieces_of_code_are_whole_functions(tmp_path: Path) -> None:
    code = "\n\n".join(
        f"def function_{number}(argument):\n" + "    argument = argument + 'some text'\n" * 20
        for number in range(5)
    )
    document = parsed(tmp_path, "a.py", code.encode())

    pieces = cut(document, Chunking(max_tokens=256))

    assert [piece.heading for piece in pieces] == [(f"function_{number}",) for number in range(5)]
    assert list(outline(document)) == [piece.heading for piece in pieces]
