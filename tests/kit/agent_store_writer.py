"""A process that stores runs as fast as it can and says on stdout what is acknowledged. To be killed."""

import sys
from pathlib import Path

import anyio
import msgspec

from runtime.core.ids import RunId
from runtime.core.minting import new_id
from runtime.recall.agents.run_store import DuckRunStore
from runtime.recall.agents.session_store import DuckSessions
from runtime.recall.database import open_database
from runtime.recall.journal import MIGRATIONS
from tests.kit.agent_rows import ADA, ended, items, opened, run_record, told, turn

_RUNS_AT_ONCE = 3
_TURNS = 3


async def write_forever(path: Path, session: str) -> None:
    """Live several runs side by side, each with steps, happenings and an end, again and again."""
    async with open_database(path, MIGRATIONS) as database:
        store, sessions = DuckRunStore(database), DuckSessions(database)
        _say("open")
        while True:
            async with anyio.create_task_group() as group:
                for _ in range(_RUNS_AT_ONCE):
                    group.start_soon(_live, store)
                group.start_soon(_talk, sessions, session)


async def _live(store: DuckRunStore) -> None:
    record = run_record(new_id("run_"), steps=1)
    await store.open(record, [opened()])
    _say(f"steps {record.id} 1")
    for number in range(_TURNS):
        first = record.steps
        record = msgspec.structs.replace(record, steps=first + 4)
        await store.append(record, first, turn(number))
        _say(f"steps {record.id} {record.steps}")
        await store.note_happenings(RunId(record.id), told(number * 5, 5))
        _say(f"told {record.id} {number * 5 + 5}")
    record = msgspec.structs.replace(record, steps=record.steps + 1, status="completed", ended_at=9.0)
    await store.append(record, record.steps - 1, [ended()])
    _say(f"ended {record.id} {record.steps}")


async def _talk(sessions: DuckSessions, session: str) -> None:
    item = new_id("msg_")
    await sessions.add(ADA, session, items(item))
    _say(f"said {item} 1")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(write_forever, Path(sys.argv[1]), sys.argv[2])
