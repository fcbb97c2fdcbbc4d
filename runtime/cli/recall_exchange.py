"""`lar recall export` and `import`: what is remembered as lines of JSON."""

import argparse
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread

from runtime.api.remote.memories import Imported
from runtime.api.remote.recall import RemoteRecall
from runtime.cli.output import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandFailed, notice, say, say_json, stream
from runtime.cli.recall_calls import clean, counted, with_recall

_PIECE_BYTES = 64 * 1024


def export(chosen: argparse.Namespace) -> int:
    """Write everything that is remembered; a file appears under its name only when it is whole."""
    if chosen.file == "-":
        count = with_recall(_export_out)
        notice(f"{counted(count, 'line')}.")
        return EXIT_OK

    target = Path(chosen.file).expanduser()
    if target.exists() and not chosen.force:
        raise CommandFailed(f"{target} is there already. Choose another name, or say --force.", EXIT_USAGE)

    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            count = with_recall(lambda recall: _export_to(recall, file))
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    notice(f"✔ {counted(count, 'line')} in {target}.")
    return EXIT_OK


def load(chosen: argparse.Namespace) -> int:
    """Take lines in; exit code 1 where some could not be taken."""
    if chosen.file == "-":
        done = with_recall(lambda recall: recall.memories.import_lines(_pieces(sys.stdin.buffer)))
    else:
        with Path(chosen.file).expanduser().open("rb") as file:
            done = with_recall(lambda recall: recall.memories.import_lines(_pieces(file)))
    if chosen.json:
        say_json(done)
    else:
        _tell(done)
    return EXIT_FAILED if done.refused else EXIT_OK


async def _export_out(recall: RemoteRecall) -> int:
    lines = 0
    async for piece in recall.memories.export():
        stream(piece.decode("utf-8", "surrogateescape"))
        lines += piece.count(b"\n")
    return lines


async def _export_to(recall: RemoteRecall, file: IO[bytes]) -> int:
    lines = 0
    async for piece in recall.memories.export():
        await anyio.to_thread.run_sync(file.write, piece)
        lines += piece.count(b"\n")
    return lines


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await anyio.to_thread.run_sync(file.read, _PIECE_BYTES):
        yield piece


def _tell(done: Imported) -> None:
    for problem in done.problems:
        notice(f"✖ {clean(problem)}")
    say(f"{counted(done.imported, 'item')} taken in, {done.refused} refused.")
