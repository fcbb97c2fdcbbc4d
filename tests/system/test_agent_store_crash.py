"""What was acknowledged of runs and conversations survives kill -9, at whatever point it strikes."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from runtime.core.agents.ports import RunQuery, Session
from runtime.core.ids import RunId
from tests.kit.agent_rows import ADA, AgentStores, ended, items, open_agent_stores, opened, told, turn

ROUNDS = 15
SESSION = "conv_1"


class Acknowledged(NamedTuple):
    """One line of the writer."""

    kind: str
    id: str
    reached: int


def write_until_killed(path: Path, lines_before_the_kill: int) -> list[Acknowledged]:
    """Run the writer, kill it after so many acknowledgements, return what it acknowledged."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.agent_store_writer", str(path), SESSION],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    lines = [writer.stdout.readline() for _ in range(lines_before_the_kill)]
    writer.kill()
    lines += writer.stdout.readlines()  # acknowledged before the kill, read after it
    writer.stdout.close()
    writer.wait(10)
    found = (line.split() for line in lines if line.endswith("\n"))
    return [Acknowledged(kind, name, int(count)) for kind, name, count in found]


async def test_acknowledged_steps_survive_kill_9_at_random_points(tmp_path: Path) -> None:
    chance = random.Random(6)
    async with open_agent_stores(tmp_path) as stores:
        await stores.sessions.create(Session(id=SESSION, tenant=ADA, created_at=1.0))
    acknowledged: list[Acknowledged] = []
    for _ in range(ROUNDS):
        acknowledged += write_until_killed(tmp_path / "lar.duckdb", chance.randrange(0, 60))

    async with open_agent_stores(tmp_path) as stores:
        await check_all(stores, acknowledged)
        await check_each_run(stores)

    assert {"steps", "told", "ended", "said"} == {each.kind for each in acknowledged}


async def check_all(stores: AgentStores, acknowledged: list[Acknowledged]) -> None:
    """Look for everything that was acknowledged."""
    said = [each.item.id for each in await stores.sessions.items(ADA, SESSION)]
    assert max(Counter(said).values()) == 1
    assert len(said) == (await stores.sessions.find(ADA, SESSION)).items
    for kind, name, count in acknowledged:
        if kind == "said":
            assert await stores.sessions.item(ADA, SESSION, name) == items(name)[0]
            continue
        record = await stores.runs.find(ADA, RunId(name))
        if kind == "told":
            assert (await stores.runs.happenings(record.id))[:count] == told(0, count)
        else:
            assert record.steps >= count
        if kind == "ended":
            assert record.status == "completed"


async def check_each_run(stores: AgentStores) -> None:
    """Every run is whole: its steps are a beginning of what the writer writes, and its record agrees."""
    written = [opened(), *turn(0), *turn(1), *turn(2), ended()]
    unfinished = {each.id for each in await stores.runs.unfinished()}
    for record in await stores.runs.list_runs(ADA, RunQuery(limit=100_000)):
        steps = await stores.runs.steps(ADA, record.id)
        assert steps == written[: record.steps]
        assert (record.id in unfinished) == (record.status == "in_progress") == (len(steps) < len(written))
        happenings = await stores.runs.happenings(record.id)
        assert happenings == told(0, len(happenings))
