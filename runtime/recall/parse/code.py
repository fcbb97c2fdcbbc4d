"""Source code: functions, classes and their like are sections, named by the path to them.

A section begins with the comments and decorators right above its definition.
"""

from typing import NamedTuple

from tree_sitter import Language, Node, Parser

from runtime.recall.parse.draft import Draft, one_line, sections_of
from runtime.recall.parse.grammars import GRAMMARS, Grammar, language_of
from runtime.recall.parse.kinds import LANGUAGES
from runtime.recall.parse.plain import decoded
from runtime.recall.parse.source import Source
from runtime.recall.parts import Parsed, Section

_MAX_CHARACTERS = 5_000_000
"""What is longer is generated, and cut by its lines alone."""
_DEPTH = 40


class _Definition(NamedTuple):
    start: int
    end: int
    path: tuple[str, ...]


def read(source: Source) -> Parsed:
    """Read source code of a language with a grammar."""
    decoding = decoded(source)
    draft = Draft(source.limits)
    if decoding.note:
        draft.note(decoding.note)
    draft.whole(decoding.text)
    parsed = draft.parsed(source.media_type, keeps_lines=True)
    name = LANGUAGES.get(source.suffix, "")
    if not name or len(parsed.text) > _MAX_CHARACTERS:
        return parsed
    return outlined(parsed, name)


def outlined(parsed: Parsed, name: str) -> Parsed:
    """Return a text of source code with its sections."""
    content = parsed.text.encode()
    tree = Parser(Language(language_of(name))).parse(content)
    found: list[_Definition] = []
    _collect(tree.root_node, GRAMMARS[name], (), found, 0)
    marks = _marks(found, content)
    return parsed._replace(sections=_with_characters(marks, content))


def _collect(
    node: Node, grammar: Grammar, path: tuple[str, ...], found: list[_Definition], depth: int
) -> None:
    """Gather the definitions below a node, in order."""
    if depth > _DEPTH:
        return
    for child in node.named_children:
        name = grammar.name(child)
        if name:
            inner = (*path, *(one_line(each) for each in name))
            outer = _outermost(child, grammar)
            found.append(_Definition(_with_comments(outer), outer.end_byte, inner))
            if child.type in grammar.containers:
                _collect(child, grammar, inner, found, depth + 1)
        elif child.type in grammar.passed:
            _collect(child, grammar, path, found, depth + 1)


def _outermost(node: Node, grammar: Grammar) -> Node:
    """Return the definition with its decorators, `export` and `template` around it."""
    around = node.parent
    while around is not None and around.type in grammar.wrappers:
        node, around = around, around.parent
    return node


def _with_comments(node: Node) -> int:
    """Return where a definition begins, with the comments and attributes on the lines right above it."""
    first = node
    before = node.prev_named_sibling
    while before is not None and ("comment" in before.type or before.type == "attribute_item"):
        if before.end_point.row < first.start_point.row - 1 or before.start_point.row == _row_before(before):
            break
        first, before = before, before.prev_named_sibling
    return first.start_byte


def _row_before(node: Node) -> int:
    """Return the row where what stands before a node ends, -1 for nothing."""
    before = node.prev_sibling
    return before.end_point.row if before is not None and "comment" not in before.type else -1


def _marks(found: list[_Definition], content: bytes) -> list[tuple[int, tuple[str, ...]]]:
    """Return where each section begins, in bytes: definitions, and what follows them in what holds them."""
    events: list[tuple[int, tuple[str, ...]]] = []
    open_: list[_Definition] = []

    def close(before: int) -> None:
        while open_ and open_[-1].end <= before:
            ended = open_.pop()
            events.append((_line_end(content, ended.end), open_[-1].path if open_ else ()))

    for each in found:
        close(each.start)
        start = _line_start(content, each.start)
        events.append((max(start, events[-1][0] if events else 0), each.path))
        open_.append(each)
    close(len(content))
    return _merged(events, content)


def _merged(events: list[tuple[int, tuple[str, ...]]], content: bytes) -> list[tuple[int, tuple[str, ...]]]:
    """Return marks without those that only white space or a closing brace follows."""
    kept: list[tuple[int, tuple[str, ...]]] = []
    ends = [*(start for start, _ in events), len(content)][1:]
    for (start, path), end in zip(events, ends, strict=True):
        is_rest = bool(kept) and not content[start:end].strip(b" \t\r\n{}();,")
        if not is_rest and start < end:
            kept.append((start, path))
    return kept


def _line_start(content: bytes, at: int) -> int:
    start = content.rfind(b"\n", 0, at) + 1
    return start if not content[start:at].strip() else at


def _line_end(content: bytes, at: int) -> int:
    end = content.find(b"\n", at)
    end = len(content) if end < 0 else end + 1
    return end if not content[at:end].strip(b" \t\r\n;,") else at


def _with_characters(marks: list[tuple[int, tuple[str, ...]]], content: bytes) -> tuple[Section, ...]:
    """Return sections whose offsets count characters."""
    at = characters = 0
    counted: list[tuple[int, tuple[str, ...]]] = []
    for start, path in marks:
        characters += len(content[at:start].decode("utf-8", "ignore"))
        at = start
        counted.append((characters, path))
    characters += len(content[at:].decode("utf-8", "ignore"))
    return sections_of(counted, characters) if counted else ()
