"""From bytes to characters: byte order marks, UTF-8, what the document says of itself, then a good guess."""

from typing import NamedTuple

from charset_normalizer import from_bytes

from runtime.recall.parse.language import confidence

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_CONTROLS_SHARE = 0.05
"""Of control characters in a text that is damaged and still one; what is packed has twice as many."""
_SAMPLE_BYTES = 64 * 1024
"""Of which the encoding is guessed: looking at more takes seconds and tells no more."""
_LAST_RESORT = "cp1252"
_IS_WIDE_SHARE = 0.3
"""Share of NULs at every second place from which bytes without a mark are taken for UTF-16."""


class Decoded(NamedTuple):
    """A text, and what there is to say about how it was decoded."""

    text: str
    note: str = ""


def decode(content: bytes, charset: str = "") -> Decoded:
    """Return the text of bytes. `charset` is believed where it fits; nothing ever fails."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _lossy(content[len(mark) :], encoding)
    wide = _wide_encoding(content)
    if wide:
        return _lossy(content, wide)

    for encoding in ("utf-8", charset):
        text = _exact(content, encoding)
        if text is not None:
            return Decoded(text)
    return _guessed(content)


def glance(head: bytes) -> str:
    """Return the beginning of a text well enough to tell what it is."""
    marked = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "")
    return head.decode(marked or _wide_encoding(head) or "utf-8", "replace").lstrip("\ufeff")


def looks_like_text(head: bytes) -> bool:
    """Tell whether bytes at the beginning of a file are text in some encoding."""
    if any(head.startswith(mark) for mark, _ in _MARKS) or _wide_encoding(head):
        return True
    controls = sum(head.count(code) for code in (*range(9), *range(14, 27), *range(28, 32)))
    return controls <= max(1, len(head) * _CONTROLS_SHARE)


def _wide_encoding(content: bytes) -> str:
    """Return the UTF-16 encoding that bytes without a mark seem to have: Latin letters beside NULs."""
    sample = content[:4096]
    half = len(sample) // 2
    if half < 2 or b"\x00" not in sample:
        return ""

    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd >= half * _IS_WIDE_SHARE and even <= odd // 20:
        return "utf-16-le"
    if even >= half * _IS_WIDE_SHARE and odd <= even // 20:
        return "utf-16-be"
    return ""


def _exact(content: bytes, encoding: str) -> str | None:
    if not encoding:
        return None
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError):  # it is another one, or none that Python knows
        return None


def _lossy(content: bytes, encoding: str) -> Decoded:
    text = content.decode(encoding, "replace")
    return Decoded(text, _loss(text))


def _guessed(content: bytes) -> Decoded:
    """Guess from a sample; a file that is UTF-8 but for few bytes is read as UTF-8."""
    text = content.decode("utf-8", "replace")
    strange = text.count("\ufffd")
    if strange * 200 < sum(byte > 127 for byte in content[:_SAMPLE_BYTES]):
        return Decoded(text, _loss(text))

    encoding = _likely_encoding(content[:_SAMPLE_BYTES])
    guessed = content.decode(encoding, "replace")
    return Decoded(
        guessed, f"Its encoding was guessed: {encoding}." if not _loss(guessed) else _loss(guessed)
    )


def _likely_encoding(sample: bytes) -> str:
    """Return an encoding: the guess by shapes, or the most common one if that makes more of a language.

    By shapes alone, Western European text passes for Central European and the other way round.
    """
    best = from_bytes(sample).best()
    guess = best.encoding if best is not None else _LAST_RESORT
    if guess == _LAST_RESORT or _exact(sample, _LAST_RESORT) is None:
        return guess
    guessed, common = (sample.decode(each, "replace") for each in (guess, _LAST_RESORT))
    return guess if confidence(guessed) > confidence(common) else _LAST_RESORT


def _loss(text: str) -> str:
    count = text.count("\ufffd")
    return f"{count} bytes could not be decoded and were replaced." if count else ""
