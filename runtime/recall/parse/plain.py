"""Plain text, and text whose lines matter."""

from runtime.recall.parse.decode import Decoded, decode
from runtime.recall.parse.draft import Draft
from runtime.recall.parse.source import Source
from runtime.recall.parts import Parsed


def read(source: Source) -> Parsed:
    """Read running text: lines may be cut anywhere."""
    return as_text(source, decoded(source), keeps_lines=False)


def read_lines(source: Source) -> Parsed:
    """Read text such as settings and logs: it is cut at the ends of lines."""
    return as_text(source, decoded(source), keeps_lines=True)


def decoded(source: Source) -> Decoded:
    """Return the characters of a document."""
    return decode(source.content(), source.charset)


def as_text(source: Source, decoding: Decoded, *, keeps_lines: bool, note: str = "") -> Parsed:
    """Return a decoded text as it is, without sections."""
    draft = Draft(source.limits)
    for each in (decoding.note, note):
        if each:
            draft.note(each)
    draft.whole(decoding.text)
    return draft.parsed(source.media_type, keeps_lines=keeps_lines)
