"""What was acknowledged as stored survives kill -9, at whatever point it strikes."""

import random
import subprocess
import sys
from pathlib import Path

from runtime.core.ports import EventQuery
from runtime.recall.database import open_database
from runtime.recall.journal import MIGRATIONS, DuckJournal

ROUNDS = 20


def write_until_killed(path: Path, lines_before_the_kill: int) -> list[tuple[int, int]]:
    """Run the writer, kill it after so many acknowledgements, return the ranges that it acknowledged."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.journal_writer", str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    lines = [writer.stdout.readline() for _ in range(lines_before_the_kill)]
    writer.kill()
    lines += writer.stdout.readlines()  # acknowledged before the kill, read after it
    writer.stdout.close()
    writer.wait(10)
    return [
        (int(first), int(last)) for first, last in (line.split() for line in lines if line.endswith("\n"))
    ]


async def test_acknowledged_facts_survive_kill_9_at_random_points(tmp_path: Path) -> None:
    chance = random.Random(20)
    path = tmp_path / "lar.duckdb"
    acknowledged: set[int] = set()
    for _ in range(ROUNDS):
        for first, last in write_until_killed(path, chance.randrange(0, 40)):
            acknowledged.update(range(first, last + 1))

    async with open_database(path, MIGRATIONS) as database:
        journal = DuckJournal(database)
        stored = [each.seq for each in await journal.read(EventQuery(limit=10_000_000))]

    assert len(acknowledged) > ROUNDS
    assert acknowledged <= set(stored)
    assert stored == sorted(set(stored))
