"""Which rows of events a person wants to see: the words of the filter. Pure."""

from collections.abc import Callable
from fnmatch import fnmatchcase

from tui.state import Level, Row

_LEVELS: dict[str, Level] = {"warn": "warn", "bad": "bad", "good": "good", "info": "info"}


def picker(query: str) -> Callable[[Row], bool]:
    """Return the test for a query: every word must match, one behind a `-` must not.

    `model.*` and `kind:run.failed` match kinds, `level:bad` levels, any other word kind, subject or text.
    """
    tests = [_test(word) for word in query.lower().split() if word != "-"]
    return lambda row: all(test(row) for test in tests)


def _test(word: str) -> Callable[[Row], bool]:
    if word.startswith("-"):
        wanted = _test(word[1:])
        return lambda row: not wanted(row)
    if word.startswith("level:"):
        level = _LEVELS.get(word.removeprefix("level:"))
        return lambda row: row.level == level
    if word.startswith("kind:"):
        kind = word.removeprefix("kind:")
        return lambda row: fnmatchcase(row.kind, kind)
    if "*" in word:
        return lambda row: fnmatchcase(row.kind, word)
    return lambda row: word in row.kind or word in row.subject.lower() or word in row.text.lower()
