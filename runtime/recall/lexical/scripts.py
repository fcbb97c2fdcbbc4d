"""What a text is made of before any language is looked at: words, runs without spaces, identifiers. Pure.

Scripts that put no spaces between words (Chinese, Japanese, Korean with its endings, Thai, Lao, Khmer,
Burmese) are cut into overlapping pairs of characters. Identifiers (user_id, GPT-4o, C++, foo.bar) are kept
whole beside their parts, and camelCase is taken apart.
"""

import re
import unicodedata
from collections.abc import Iterator

LONGEST_WORD_BYTES = 128
"""What is longer is no word but data: base64, a hash of hashes."""


def _marks() -> str:
    """Return the ranges of combining marks for a character class; they belong to the word they stand in."""
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x3100), *range(0xA66F, 0xFE30)):
        if unicodedata.category(chr(code)).startswith("M"):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


_MARKS = _marks()
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3031-\u3035\u3041-\u30ff\u3131-\u318e"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
SPACELESS_RUN = re.compile(f"[{_SPACELESS}]+")
WORD = re.compile(f"[{_SPACELESS}]+|(?:[^\\W_{_SPACELESS}]|[{_MARKS}])+")
"""A run without spaces, or a word as the analyzers cut it: letters, digits and marks."""
_ASCII_WORD = re.compile("[0-9A-Za-z]+")
"""The same in a text of these characters alone, found twice as fast."""

RUST_WORD = rf"[[\w\pN]--_--[{_SPACELESS}]]+"
RUST_PLAIN = rf"[{_SPACELESS}]|{RUST_WORD}"
"""The same for the analyzers' own regular expressions; each character of a run stands for itself, so that any
part of it is a phrase."""
_UNCOMMON = re.compile(f"[{_SPACELESS}{_MARKS}]")
_IDENTIFIER = re.compile(r"\w+(?:(?:[._@-]|::|->)\w+)+|_+[^\W\d_]\w*|\w*[^\W\d_]_\w*|[^\W_]+(?:\+\+|#)")
_SIGN = re.compile(r"[._@\-:+#](?:(?<=[+#])|(?=[\w:>]))")
"""What tells that an identifier may be near; it begins with a plain set, which is searched for fast."""
_CAMEL = re.compile(r"[A-Z](?:(?<=[a-z][A-Z])|(?<=[A-Z][A-Z])(?=[a-z]{2}))")
_LONGEST_IDENTIFIER = 128
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")


def normalised(text: str) -> str:
    """Return a text with one spelling for each character (NFKC), lone surrogates replaced."""
    if text.isascii():
        return text

    return unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode("utf-8"))


def runs(text: str) -> list[str]:
    """Return the parts of a text that are written without spaces."""
    return [] if text.isascii() else SPACELESS_RUN.findall(text)


def pairs(run: str) -> list[str]:
    """Return the overlapping pairs of characters of a run; the character itself where there is but one."""
    if len(run) < 2:
        return [run]

    return [run[start : start + 2] for start in range(len(run) - 1)]


def is_common(text: str) -> bool:
    """Whether words are apart in a text wherever anything but a letter or a digit stands."""
    return text.isascii() or not _UNCOMMON.search(text)


def identifiers(text: str) -> list[str]:
    """Return what looks like a name in a program or of a product, in lower case: user_id, GPT-4o, C++."""
    return [
        found.lower()
        for near in _around(_SIGN, text)
        for found in _IDENTIFIER.findall(near)
        if len(found) <= _LONGEST_IDENTIFIER
    ]


def humps(text: str) -> list[str]:
    """Return the parts of words in camelCase: parseHTTPHeader is parse, HTTP and Header."""
    return [part for near in _around(_CAMEL, text) for word in WORD.findall(near) for part in _humps(word)]


def _humps(word: str) -> list[str]:
    return _HUMP.findall(word) if _CAMEL.search(word) else []


def _around(sign: re.Pattern[str], text: str) -> Iterator[str]:
    """Yield what stands between spaces around each sign, once."""
    end = 0
    while match := sign.search(text, end):
        start, end = match.start(), match.end()
        while start > 0 and not text[start - 1].isspace():
            start -= 1
        while end < len(text) and not text[end].isspace():
            end += 1
        yield text[start:end]


def words(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where each word or run stands in a text as it was given, and the word in one spelling."""
    if text.isascii():
        for match in _ASCII_WORD.finditer(text):
            yield match.start(), match.end(), match.group()
        return

    for match in WORD.finditer(text):
        yield match.start(), match.end(), normalised(match.group())
