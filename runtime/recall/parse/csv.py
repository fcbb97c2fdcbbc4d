"""Tables in text: the delimiter is found out, the first row may name the columns."""

import csv as standard
import re
from collections.abc import Iterator

from runtime.recall.parse.draft import Draft, clean
from runtime.recall.parse.plain import as_text, decoded
from runtime.recall.parse.source import Source
from runtime.recall.parse.tables import Rows
from runtime.recall.parts import Parsed

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50
_FIELD_CHARACTERS = 10_000_000
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_EXCEL_HINT = re.compile(r"sep=(.)\n")


def read(source: Source) -> Parsed:
    """Read a table. What is none after all is read as text."""
    decoding = decoded(source)
    text = clean(decoding.text)
    hint = _EXCEL_HINT.match(text)
    if hint:
        text = text[hint.end() :]
    delimiter = (
        hint.group(1) if hint else delimiter_of(text, "\t" if source.suffix in (".tsv", ".tab") else "")
    )
    draft = Draft(source.limits)
    if decoding.note:
        draft.note(decoding.note)
    try:
        Rows(draft, source.limits).add(_rows(text, delimiter))
    except standard.Error as problem:
        note = f"It does not hold together as a table ({problem}): read as plain text."
        return as_text(source, decoding, keeps_lines=True, note=note)
    return draft.parsed(source.media_type, keeps_lines=True)


def delimiter_of(text: str, likely: str = "") -> str:
    """Return what stands between the values: what cuts most lines into the same number of parts."""
    lines = [_QUOTED.sub("", line) for line in text[:100_000].split("\n")[:_SAMPLE_LINES] if line.strip()]
    best, best_score = likely or ",", 0.0
    for delimiter in dict.fromkeys([*likely, *_DELIMITERS]):
        counts = [line.count(delimiter) for line in lines]
        usual = max(set(counts), key=lambda each: (counts.count(each), each)) if counts else 0
        score = counts.count(usual) / len(counts) * (1 + min(usual, 20) / 100) if usual else 0.0
        if score > best_score + 1e-9:
            best, best_score = delimiter, score
    return best


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    standard.field_size_limit(_FIELD_CHARACTERS)
    lines = (f"{line}\n" for line in text.split("\n"))
    return standard.reader(lines, delimiter=delimiter, skipinitialspace=True)
