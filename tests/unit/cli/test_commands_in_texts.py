"""Every command that a text tells people to type is one that the program knows."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from runtime.cli.entry import command_parser

ROOT = Path(__file__).parents[3]
PARSER = command_parser()
FILES = (
    *sorted((ROOT / "runtime").rglob("*.py")),
    *sorted((ROOT / "tui").rglob("*.py")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("*.md")),
)
COMMAND = re.compile(r"(?:['`(]|example: |^)(?:\.venv/bin/)?lar((?: [a-z]+)+)", re.MULTILINE)
"""In quotes, in code, in an example, or at the beginning of a line of a console."""


def actions_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser] | None:
    """Return the commands below a parser; None where there are only arguments."""
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            return dict(each.choices)
    return None


def faults_in(words: list[str]) -> Iterator[str]:
    parser = PARSER
    for place, word in enumerate(words):
        actions = actions_of(parser)
        if actions is None:
            return
        if word not in actions:
            yield f"lar {' '.join(words[: place + 1])}"
            return
        parser = actions[word]


def test_texts_name_only_commands_that_there_are() -> None:
    found = [(path, text) for path in FILES for text in COMMAND.findall(path.read_text(encoding="utf-8"))]
    wrong = [
        f"{path.relative_to(ROOT)}: {fault}" for path, text in found for fault in faults_in(text.split())
    ]

    assert wrong == []
    assert len(found) > 100


def test_a_command_that_there_is_not_is_found() -> None:
    (text,) = COMMAND.findall("Type 'lar recall create notes' now.")

    assert list(faults_in(text.split())) == ["lar recall create"]
