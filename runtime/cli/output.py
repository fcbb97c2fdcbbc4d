"""How the command speaks: text and tables for people, JSON for programs, errors with a fix, exit codes.

Results go to stdout; progress, notices and errors to stderr, so that a pipe carries only results.
"""

import sys
from collections.abc import Sequence
from typing import IO, Any, NoReturn

import msgspec

EXIT_OK = 0
EXIT_FAILED = 1
"""The request was understood and failed."""
EXIT_USAGE = 2
"""The command line or lar.toml is wrong."""
EXIT_NO_SERVER = 3
"""No server runs, or it cannot be reached or started."""
EXIT_NO_MODEL = 4
"""The model is unknown, or cannot be installed or loaded."""
EXIT_INTERRUPTED = 130
"""Ctrl-C."""

EXIT_CODES = """exit codes:
  0 done · 1 the request failed · 2 wrong usage or settings · 3 no server
  4 no such model, or it cannot be installed or loaded · 130 interrupted"""


class CommandFailed(Exception):
    """A command ends with this message for the person and this exit code."""

    def __init__(self, message: str, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.code = code


def say(text: str = "") -> None:
    """Write a line of the result."""
    _write(sys.stdout, text + "\n")


def stream(text: str) -> None:
    """Write a piece of the result now, without a line break."""
    _write(sys.stdout, text)


def notice(text: str) -> None:
    """Write a line for the person, beside the result."""
    _write(sys.stderr, text + "\n")


def say_json(value: Any) -> None:
    """Write the result as one JSON document."""
    say(msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2).decode())


def say_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows in aligned columns; wide text in the last column is not cut."""
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    for row in (headers, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def fail(message: str, code: int) -> int:
    """Tell the person what went wrong; returns the exit code."""
    notice(f"✖ {message}")
    return code


def _write(out: IO[str], text: str) -> None:
    try:
        out.write(text)
        out.flush()
    except BrokenPipeError:
        _leave_quietly()


def _leave_quietly() -> NoReturn:
    """End: the reader of our pipe has gone (`lar chat … | head`); nothing is wrong."""
    sys.stdout = None  # so that the interpreter does not try to flush it at exit
    raise SystemExit(EXIT_OK)
