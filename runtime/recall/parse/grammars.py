"""What counts as a definition in each programming language, and what its name is.

A grammar is loaded when it is asked for.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple

from tree_sitter import Node

_MODULES = {
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "go": ("tree_sitter_go", "language"),
    "java": ("tree_sitter_java", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "python": ("tree_sitter_python", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
}


def language_of(name: str) -> object:
    """Return the compiled grammar of a language; imports its package, since few documents need one."""
    module, function = _MODULES[name]
    return getattr(importlib.import_module(module), function)()


class Grammar(NamedTuple):
    """How to find the definitions of a language."""

    definitions: frozenset[str]
    containers: frozenset[str]
    """Definitions that hold definitions of their own."""
    passed: frozenset[str]
    """What stands between a container and its definitions."""
    wrappers: frozenset[str]
    """What stands around a single definition and belongs to it."""
    naming: Callable[[Node], tuple[str, ...]]

    def name(self, node: Node) -> tuple[str, ...]:
        """Return the name of a definition as a path, empty for what is none."""
        return self.naming(node) if node.type in self.definitions else ()


def _text(node: Node | None) -> str:
    return node.text.decode("utf-8", "replace") if node is not None and node.text is not None else ""


def _plain(node: Node) -> tuple[str, ...]:
    name = _text(node.child_by_field_name("name"))
    return (name,) if name else ()


def _script(node: Node) -> tuple[str, ...]:
    """Name definitions of JavaScript; constants count where they hold a function or a class."""
    if node.type not in ("lexical_declaration", "variable_declaration"):
        return _plain(node)
    for declarator in node.named_children:
        value = declarator.child_by_field_name("value")
        if value is not None and value.type in ("arrow_function", "function_expression", "class"):
            return _plain(declarator)
    return ()


def _go(node: Node) -> tuple[str, ...]:
    """Name definitions of Go; a method by its receiver's type, too."""
    if node.type == "type_declaration":
        first = next((each for each in node.named_children if each.type in ("type_spec", "type_alias")), None)
        return _plain(first) if first is not None else ()
    receiver = _text(node.child_by_field_name("receiver")).strip("() ").split()
    return (*(receiver[-1:] and (receiver[-1].lstrip("*").partition("[")[0],)), *_plain(node))


def _rust(node: Node) -> tuple[str, ...]:
    """Name definitions of Rust; an implementation by what it is for."""
    if node.type != "impl_item":
        return _plain(node)
    trait, kind = _text(node.child_by_field_name("trait")), _text(node.child_by_field_name("type"))
    return (f"{trait} for {kind}" if trait else kind,)


def _c(node: Node) -> tuple[str, ...]:
    """Name definitions of C and C++: a function's name is inside its declarator; bodies make types."""
    if node.type == "function_definition":
        at = node.child_by_field_name("declarator")
        while at is not None and at.child_by_field_name("declarator") is not None:
            at = at.child_by_field_name("declarator")
        return tuple(each for each in _text(at).split("::") if each) if at is not None else ()
    if node.type in ("type_definition", "declaration"):
        kind = node.child_by_field_name("type")
        if kind is None or kind.child_by_field_name("body") is None:
            return ()
        name = _text(node.child_by_field_name("declarator")) if node.type == "type_definition" else ""
        return (name,) if name else _plain(kind)
    if node.child_by_field_name("body") is None:
        return ()
    return _plain(node)


def _grammar(
    naming: Callable[[Node], tuple[str, ...]],
    definitions: str,
    containers: str,
    passed: str,
    wrappers: str = "",
) -> Grammar:
    around = frozenset(wrappers.split())
    return Grammar(
        frozenset(definitions.split()),
        frozenset(containers.split()),
        frozenset(passed.split()) | around,
        around,
        naming,
    )


_SCRIPT = (
    "function_declaration generator_function_declaration class_declaration method_definition "
    "lexical_declaration variable_declaration "
)
_TYPED = (
    "abstract_class_declaration interface_declaration type_alias_declaration enum_declaration "
    "internal_module module function_signature "
)
_C = "function_definition struct_specifier enum_specifier union_specifier type_definition "
_TYPESCRIPT = _grammar(
    _script,
    _SCRIPT + _TYPED,
    "class_declaration abstract_class_declaration internal_module module",
    "class_body statement_block ambient_declaration expression_statement",
    "export_statement",
)

GRAMMARS = {
    "python": _grammar(
        _plain,
        "function_definition class_definition",
        "class_definition",
        "block if_statement",
        "decorated_definition",
    ),
    "javascript": _grammar(_script, _SCRIPT, "class_declaration", "class_body", "export_statement"),
    "typescript": _TYPESCRIPT,
    "tsx": _TYPESCRIPT,
    "go": _grammar(_go, "function_declaration method_declaration type_declaration", "", ""),
    "rust": _grammar(
        _rust,
        "function_item struct_item enum_item union_item trait_item impl_item mod_item macro_definition "
        "type_item",
        "trait_item impl_item mod_item",
        "declaration_list",
    ),
    "java": _grammar(
        _plain,
        "class_declaration interface_declaration enum_declaration record_declaration "
        "annotation_type_declaration method_declaration constructor_declaration",
        "class_declaration interface_declaration enum_declaration record_declaration",
        "class_body interface_body enum_body enum_body_declarations",
    ),
    "c": _grammar(
        _c,
        _C,
        "",
        "preproc_ifdef preproc_if preproc_else preproc_elif linkage_specification declaration_list",
    ),
    "cpp": _grammar(
        _c,
        _C + "class_specifier namespace_definition",
        "class_specifier struct_specifier namespace_definition",
        "field_declaration_list declaration_list preproc_ifdef preproc_if preproc_else preproc_elif "
        "linkage_specification",
        "template_declaration",
    ),
}
"""By language; a type of C inside a declaration counts where it has a body."""
