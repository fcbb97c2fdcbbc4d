"""The query language: a question is a list of clauses, whatever was typed. Pure; no text is an error.

    plain words      any of them          "exact words"    next to each other; "…"~3: three others between
    +must  -not      with or without      title:word       in the title or a heading
    begin*           words that begin so  near~ near~2     words that differ by one or two letters

A sign means something only where it can: `-40`, `-m`, `a - b`, `foo:bar` and `50% off!` are words.
"""

import re
from typing import Literal, NamedTuple

from runtime.recall.lexical import scripts

Kind = Literal["words", "phrase", "prefix", "fuzzy"]
Occur = Literal["should", "must", "not"]
CLAUSES = 512
"""Of one question; what follows is not looked at."""
LONGEST = 65_536
"""Characters of a question that are looked at."""
_SHORTEST_PREFIX = 2
_LONG_WORD = 6
"""From so many letters on, `~` alone allows two of them to differ."""
_CLAUSE = re.compile(
    r'(?P<sign>[+-](?=["\w]))?(?P<title>title:(?=["\w]))?(?:"(?P<phrase>[^"]*)"(?:~(?P<slop>\d{1,2}))?|(?P<word>[^\s"]+))',
    re.IGNORECASE,
)
_OCCURS: dict[str, Occur] = {"": "should", "+": "must", "-": "not"}
_NUMBER = re.compile(r"\d")
_SWITCH = re.compile(r"[A-Za-z]$")
"""Of a command, as in `git commit -m`."""
_FUZZY = re.compile(r"(?P<word>\w+)~(?P<distance>[12])?$")
_PREFIX = re.compile(r"(?P<word>\w+)\*$")


class Clause(NamedTuple):
    """A part of a question."""

    kind: Kind
    text: str
    occur: Occur = "should"
    is_title: bool = False
    distance: int = 0
    """Words between those of a phrase, or letters that may differ."""


def parse(text: str) -> list[Clause]:
    """Return the clauses of a question; its plain words are one clause, the first."""
    clauses: list[Clause] = []
    plain: list[str] = []
    for match in _CLAUSE.finditer(scripts.normalised(text[:LONGEST])):
        clause = _clause(match)
        if clause.kind == "words" and clause.occur == "should" and not clause.is_title:
            plain.append(clause.text)
        elif len(clauses) < CLAUSES:
            clauses.append(clause)
    return [Clause("words", " ".join(plain)), *clauses] if plain else clauses


def demands(text: str) -> list[Clause]:
    """Return what a chunk must or must not have to be a hit at all, whatever finds it."""
    return [clause for clause in parse(text) if clause.occur != "should"]


def wanted(text: str) -> str:
    """Return a question without what it leaves out, for what knows no signs: models of language."""
    looked_at = scripts.normalised(text[:LONGEST])
    kept, end = [], 0
    for match in _CLAUSE.finditer(looked_at):
        if match["sign"] == "-" and _is_sign(match):
            kept.append(looked_at[end : match.start()])
            end = match.end()
    if not end:
        return text

    parts = [each.strip() for each in (*kept, looked_at[end:])]
    return " ".join(each for each in parts if each)


def _is_sign(match: re.Match[str]) -> bool:
    """Whether what stands before a clause means something: numbers and switches have signs of their own."""
    if not match["sign"] or match["word"] is None or match["title"] is not None:
        return True

    is_switch = match["sign"] == "-" and _SWITCH.match(match["word"])
    return not (is_switch or _NUMBER.match(match["word"]))


def _clause(match: re.Match[str]) -> Clause:
    sign, is_title = match["sign"], match["title"] is not None
    body = match["phrase"] if match["word"] is None else match["word"]
    if not _is_sign(match):
        return Clause("words", match.group())

    occur = _OCCURS[sign or ""]
    if match["word"] is None:
        return Clause("phrase", body, occur, is_title, int(match["slop"] or 0))

    if found := _PREFIX.match(body):
        if len(found["word"]) >= _SHORTEST_PREFIX:
            return Clause("prefix", found["word"], occur, is_title)

    elif found := _FUZZY.match(body):
        word = found["word"]
        return Clause("fuzzy", word, occur, is_title, int(found["distance"] or 1 + (len(word) >= _LONG_WORD)))

    return Clause("words", body, occur, is_title)
