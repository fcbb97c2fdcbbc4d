"""What was acknowledged survives kill -9, a full disk and a flipped byte; nothing is ever torn."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from runtime.core.ids import ChunkId
from runtime.recall.check import check_store
from runtime.recall.files import named_hashes
from tests.kit.store import ADA, Store, open_store, vector_for
from tests.kit.store_writer import GONE

KILLS = 50


class Told:
    """What the writers said: of each document the acknowledged state and those that may be."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.begun: dict[str, set[str]] = {}
        self.files: set[str] = set()
        self.acknowledged = 0

    def take(self, line: str) -> None:
        """Take a line of a writer."""
        sign, name, state = line.split()
        if sign == "?":
            self.begun.setdefault(name, set()).add(state)
            return

        self.acknowledged += 1
        if name == "file":
            self.files.add(state)
        else:
            self.states[name] = state
            self.begun[name] = set()

    def possible(self, name: str) -> set[str]:
        """Return what may be stored under a name."""
        return {self.states.get(name, GONE)} | self.begun.get(name, set())


@contextmanager
def writers(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.store_writer", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait(10)


def write_until_killed(
    process: subprocess.Popen[str], told: Told, number: int, chance: random.Random
) -> None:
    """Let a writer write, kill it at some point, take all that it said."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    pid = int(expect(process.stdout, "pid"))
    if chance.random() < 0.1:  # while it opens the store
        time.sleep(chance.random() * 0.05)
    else:
        expect(process.stdout, "open")
        for _ in range(chance.randrange(0, 40)):
            told.take(process.stdout.readline())
        time.sleep(chance.random() * 0.005)
    os.kill(pid, signal.SIGKILL)
    while (line := process.stdout.readline()) != "dead\n":
        assert line, "the process that forks writers has ended"
        if not line.startswith("open"):
            told.take(line)


def expect(pipe: IO[str], word: str) -> str:
    sign, _, rest = pipe.readline().strip().partition(" ")
    assert sign == word
    return rest


async def assert_whole(store: Store, told: Told) -> None:
    """Compare the store with what was acknowledged, and its parts with each other."""
    mark = store.marks.all_marks()[0]
    stored = {each.name: each for each in await store.rows.list_all(ADA, mark.collection, limit=100_000)}
    for name in told.states.keys() | told.begun.keys() | stored.keys():
        state = stored[name].attributes["state"] if name in stored else GONE
        assert state in told.possible(name)
        told.states[name] = str(state)
        told.begun[name] = set()

    rows = await store.truth.read(
        "SELECT c.id, c.document, v.e FROM chunk c LEFT JOIN vector v ON v.chunk = c.id AND v.space = $1",
        [mark.space],
    )
    assert all(e == vector_for(ChunkId(chunk)) for chunk, _, e in rows)
    await store.blobs.sweep(lambda: named_hashes(store.truth))  # uploads that were killed before their row
    assert await check_store(store.truth, store.blobs) == []
    last: dict[int, str] = {}
    for change in await store.truth.changes(0, 10_000_000):
        if change.op != "meta":
            last[change.chunk] = change.op
    assert {chunk for chunk, op in last.items() if op != "remove"} == {row[0] for row in rows}
    newest = (await store.truth.read("SELECT max(seq) FROM change"))[0][0]
    assert store.truth.reached(mark.ns) == newest

    files = {each.name: each for each in await store.files.list_all(ADA)}
    assert told.files <= files.keys()
    for name, file in files.items():
        assert hashlib.sha256(name.encode()).hexdigest() == file.sha256


async def test_what_was_acknowledged_survives_kill_9_at_random_points(tmp_path: Path) -> None:
    chance = random.Random(4)
    told = Told()
    async with open_store(tmp_path) as store:
        await store.collection()

    with writers(tmp_path) as process:
        for number in range(KILLS):
            write_until_killed(process, told, number, chance)
            if number % 10 == 9:
                async with open_store(tmp_path) as store:
                    await assert_whole(store, told)

    assert told.acknowledged > 5 * KILLS
