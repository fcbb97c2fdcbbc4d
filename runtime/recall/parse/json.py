"""JSON and lines of JSON: a line for each value with its path, a line for each record of a list.

users[0].name: Ada
name: Ada; born: 1815; address.town: London
"""

import json as standard
from collections.abc import Iterator
from typing import Any

from runtime.recall.parse.draft import Draft, clean, one_line
from runtime.recall.parse.plain import as_text, decoded
from runtime.recall.parse.source import Source
from runtime.recall.parts import Parsed

_DEPTH = 200
_NAMES = ("title", "name", "subject")
_VALUE_CHARACTERS = 100_000


def read(source: Source) -> Parsed:
    """Read JSON, a notebook of Jupyter's among them. What does not parse is read as lines or as text."""
    decoding = decoded(source)
    text = clean(decoding.text)
    try:
        value = standard.loads(text)
    except (ValueError, RecursionError) as problem:
        if _count_lines(text) > 1:
            return _lines(text, source, decoding.note)
        note = f"It is not valid JSON ({one_line(str(problem))}): read as plain text."
        return as_text(source, decoding, keeps_lines=True, note=note)

    draft = Draft(source.limits)
    if decoding.note:
        draft.note(decoding.note)
    if isinstance(value, dict) and isinstance(value.get("cells"), list) and "nbformat" in value:
        _add_notebook(value["cells"], draft)
    elif isinstance(value, list):
        for record in value:
            draft.line(record_line(record))
    else:
        _add_object(value, draft)
    return draft.parsed(source.media_type, keeps_lines=True)


def read_lines(source: Source) -> Parsed:
    """Read lines of JSON; lines that are none are kept as they are."""
    decoding = decoded(source)
    return _lines(clean(decoding.text), source, decoding.note)


def record_line(record: Any) -> str:
    """Return a record as one line."""
    pairs = (f"{path}: {value}" if path else value for path, value in flat(record))
    return "; ".join(pairs)


def flat(value: Any) -> Iterator[tuple[str, str]]:
    """Yield every value with its path, in order. Deep nesting needs no deep stack."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        path, each, depth = waiting.pop()
        if isinstance(each, dict) and depth < _DEPTH:
            items = [(f"{path}.{key}" if path else str(key), inner, depth + 1) for key, inner in each.items()]
            waiting.extend(reversed(items))
        elif isinstance(each, list) and depth < _DEPTH:
            if all(not isinstance(inner, dict | list) for inner in each):
                yield path, ", ".join(_word(inner) for inner in each)
            else:
                items = [(f"{path}[{index}]", inner, depth + 1) for index, inner in enumerate(each)]
                waiting.extend(reversed(items))
        elif each is not None and each != "":
            yield path, _word(each)


def _word(value: Any) -> str:
    if isinstance(value, str):
        return one_line(value, _VALUE_CHARACTERS)
    return standard.dumps(value, ensure_ascii=False)[:_VALUE_CHARACTERS]


def _add_object(value: Any, draft: Draft) -> None:
    if isinstance(value, dict):
        named = (value[name] for name in _NAMES if isinstance(value.get(name), str))
        draft.title = next(named, "")
    for path, word in flat(value):
        draft.line(f"{path}: {word}" if path else word)


def _add_notebook(cells: list[Any], draft: Draft) -> None:
    """Add the sources of a notebook's cells; their outputs are left out."""
    draft.note("It is a Jupyter notebook: the outputs of its cells were left out.")
    for cell in cells:
        source = cell.get("source", "") if isinstance(cell, dict) else ""
        draft.add("".join(map(str, source)) if isinstance(source, list) else str(source))


def _lines(text: str, source: Source, note: str) -> Parsed:
    draft = Draft(source.limits)
    if note:
        draft.note(note)
    rows = bad = 0
    for line in text.split("\n"):
        if not line.strip():
            continue
        rows += 1
        if rows > source.limits.rows or draft.is_full:
            draft.note(f"Only the first {source.limits.rows:,} lines were read.")
            break
        try:
            draft.line(record_line(standard.loads(line)))
        except (ValueError, RecursionError):
            bad += 1
            draft.line(line)
    if bad:
        draft.note(f"{bad} of its lines are not valid JSON and were kept as they are.")
    return draft.parsed(source.media_type, keeps_lines=True)


def _count_lines(text: str) -> int:
    """Return how many of the first lines look like records of their own."""
    return sum(
        line.lstrip()[:1] in ("{", "[") and line.rstrip()[-1:] in ("}", "]") for line in text.split("\n")[:50]
    )
