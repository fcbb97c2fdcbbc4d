"""The text index follows the truth over kill -9, at whatever point it strikes."""

import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from runtime.recall.database import open_database
from runtime.recall.lexical.arm import open_text_index
from runtime.recall.schema import MIGRATIONS
from runtime.recall.truth import load_truth

ROUNDS = 15


def work_until_killed(folder: Path, writes: int, seed: int) -> int:
    """Run the follower, kill it after so many writes, return the newest change that it acknowledged."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.text_follower", str(folder), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "open\n"
    lines = [worker.stdout.readline() for _ in range(writes)]
    worker.kill()
    lines += worker.stdout.readlines()
    worker.stdout.close()
    worker.wait(10)
    return max((int(line) for line in lines if line.endswith("\n")), default=0)


async def compare(folder: Path) -> tuple[int, list[str]]:
    """Return the newest change, and where index and truth differ, word by word."""
    async with open_database(folder / "recall.duckdb", MIGRATIONS) as database:
        truth = await load_truth(database)
        index = await open_text_index(folder / "text", truth)
        expected: dict[tuple[int, str], set[int]] = defaultdict(set)
        for ns, chunk, text in await truth.read("SELECT ns, id, text FROM chunk"):
            expected[ns, text.split()[0]].add(chunk)
        different = []
        for ns in (1, 2, 3):
            for number in range(20):
                word = f"word{number}"
                found = await index.search(ns, word, "en", 100_000, None)
                if {int(hit.chunk) for hit in found.hits} != expected[ns, word]:
                    different.append(f"{ns} {word}")
        different += [*index.findings, *await index.verify()]
        await index.aclose()
        return truth.newest, different


@pytest.mark.timeout(400)  # fifteen processes, each started and killed, on a machine that may be busy
async def test_the_index_is_equal_to_the_truth_after_kill_9_at_random_points(tmp_path: Path) -> None:
    chance = random.Random(27)
    for turn in range(ROUNDS):
        acknowledged = work_until_killed(tmp_path, chance.randrange(0, 60), turn)
        newest, different = await compare(tmp_path)

        assert different == [], f"round {turn}"
        assert newest >= acknowledged
