"""`lar logs`: the end of the server's log, and what comes after it."""

import argparse
import time
from collections import deque
from pathlib import Path

from runtime.cli.output import CommandFailed, say
from runtime.cli.place import find_place
from runtime.core.logs import LOG_FILE, tell_line

_POLL_S = 0.3


def show_logs(chosen: argparse.Namespace) -> int:
    """Print the last lines; with --follow go on until interrupted."""
    path = find_place().logs / LOG_FILE
    if not path.is_file():
        raise CommandFailed(f"There is no log yet: {path} does not exist.")

    with path.open(encoding="utf-8", errors="replace") as log:
        for line in deque(log, maxlen=chosen.lines):
            _say(line, chosen.json)
        reached = log.tell()
    while chosen.follow:
        time.sleep(_POLL_S)
        reached = _say_news(path, reached, chosen.json)
    return 0


def _say_news(path: Path, reached: int, is_json: bool) -> int:
    """Print what was added since `reached`; a log that became shorter was rotated and is read anew."""
    if not path.is_file():
        return 0

    if path.stat().st_size < reached:
        reached = 0
    with path.open(encoding="utf-8", errors="replace") as log:
        log.seek(reached)
        for line in log.readlines():
            _say(line, is_json)
        return log.tell()


def _say(line: str, is_json: bool) -> None:
    text = line.rstrip("\n")
    say(text if is_json else tell_line(text))
