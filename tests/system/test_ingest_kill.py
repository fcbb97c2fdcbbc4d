"""kill -9 in the midst of ingestion and re-embedding: what was acknowledged is taken in, exactly once."""

import random
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from runtime.core.ids import LOCAL_TENANT
from tests.kit.embedder import MODEL, WordEmbedder
from tests.kit.ingest_stage import Stage, open_stage
from tests.kit.ingest_writer import OTHER

ROUNDS = 22
_START_LIMIT_S = 60


def write_until_killed(folder: Path, round_: int, lines_before_the_kill: int) -> list[str]:
    """Run the writer, kill it after so many lines, return the names that it acknowledged."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.ingest_writer", str(folder), str(round_)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(1 + lines_before_the_kill)]
    writer.kill()
    lines += writer.stdout.readlines()  # told before the kill, read after it
    writer.stdout.close()
    writer.wait(10)
    assert "open\n" in lines
    return [line.split()[2] for line in lines if line.startswith("added ") and line.endswith("\n")]


async def _quiet(stage: Stage) -> None:
    """Wait until nothing is under way any more."""
    for job in await stage.ingestion.jobs.list_all(LOCAL_TENANT, limit=10_000):
        if job.finished_at is None:
            await stage.over(job)
    while await stage.count("space") > 1:
        await anyio.lowlevel.checkpoint()


@pytest.mark.timeout(900)
async def test_acknowledged_documents_are_taken_in_exactly_once_despite_kill_9(tmp_path: Path) -> None:
    chance = random.Random(4)
    acknowledged: list[str] = []
    for round_ in range(ROUNDS):
        acknowledged += await anyio.to_thread.run_sync(
            write_until_killed, tmp_path, round_, chance.randrange(0, 45)
        )

    embedder = WordEmbedder(installed=[MODEL, OTHER])
    async with open_stage(tmp_path, embedder=embedder) as stage:
        await _quiet(stage)
        rows = await stage.truth.read("SELECT name, status, content_hash FROM document ORDER BY name")
        await stage.check()
        chunks, vectors = await stage.count("chunk"), await stage.count("vector")
        kept = [stage.stores.blobs.path(row[2]).is_file() for row in rows]

    names = [row[0] for row in rows]
    assert len(acknowledged) > ROUNDS
    assert sorted(set(names)) == names
    assert set(acknowledged) <= set(names)
    assert {status for name, status, _ in rows if not name.endswith(".broken")} == {"completed"}
    assert {status for name, status, _ in rows if name.endswith(".broken")} <= {"failed"}
    assert chunks == vectors
    assert all(kept)
