"""Runs, steps and items as agents' stores are given them, for tests; and the stores themselves, opened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from runtime.core.agents.happenings import TextGrew
from runtime.core.agents.items import Answered, AnyItem, Called, Said, Text
from runtime.core.agents.plans import Plan
from runtime.core.agents.ports import Numbered, Records, RunStore, Sessions
from runtime.core.agents.steps import (
    AnyStep,
    CallBegun,
    CallEnded,
    RunEnded,
    RunOpened,
    RunRecord,
    RunStatus,
    TurnBegun,
    TurnEnded,
)
from runtime.core.gate.principals import OWNER
from runtime.core.ids import ModelId, RunId, TenantId
from runtime.core.messages import Usage
from runtime.recall.agents.record_store import DuckRecords
from runtime.recall.agents.run_store import DuckRunStore
from runtime.recall.agents.session_store import DuckSessions
from runtime.recall.connection import Limits
from runtime.recall.database import Database, open_database
from runtime.recall.journal import MIGRATIONS
from tests.kit.fake_agent_store import FakeRecords, FakeRunStore, FakeSessions

ADA, BOB = TenantId("ada"), TenantId("bob")
MODEL = ModelId("small")


class AgentStores(NamedTuple):
    """The three stores that agents need."""

    runs: RunStore
    sessions: Sessions
    records: Records
    database: Database | None = None
    """None: they are in memory."""


def fake_agent_stores() -> AgentStores:
    """Return stores in memory."""
    return AgentStores(FakeRunStore(), FakeSessions(), FakeRecords())


@asynccontextmanager
async def open_agent_stores(folder: Path) -> AsyncIterator[AgentStores]:
    """Open the stores in the server's database of a folder."""
    async with open_database(folder / "lar.duckdb", MIGRATIONS, Limits(reserve_bytes=0)) as database:
        yield AgentStores(DuckRunStore(database), DuckSessions(database), DuckRecords(database), database)


def run_record(
    run: str,
    tenant: TenantId = ADA,
    *,
    status: RunStatus = "in_progress",
    steps: int = 0,
    agent: str | None = None,
    session: str | None = None,
    parent: str | None = None,
    created_at: float = 1.0,
    ended_at: float | None = None,
    labels: dict[str, str] | None = None,
    title: str = "",
) -> RunRecord:
    """Return a run."""
    return RunRecord(
        id=RunId(run),
        tenant=tenant,
        principal="owner",
        agent=agent,
        model=MODEL,
        status=status,
        created_at=created_at,
        ended_at=ended_at,
        session=session,
        parent=None if parent is None else RunId(parent),
        steps=steps,
        labels=labels or {},
        title=title,
        usage=Usage(prompt_tokens=steps),
    )


def opened(text: str = "what is it?") -> RunOpened:
    """Return the first step of a run."""
    return RunOpened(at=1.0, plan=Plan(principal=OWNER, models=(MODEL,)), input=(said("msg_0", text),))


def said(item: str, text: str = "yes") -> Said:
    """Return a message."""
    return Said(id=item, role="user", parts=(Text(text=text),))


def items(*ids: str) -> list[AnyItem]:
    """Return messages with these ids."""
    return [said(each, f"text of {each}") for each in ids]


def turn(number: int, at: float = 2.0) -> list[AnyStep]:
    """Return the four steps of a turn with one call."""
    call = f"call_{number}"
    wanted = Called(
        id=f"fc_{number}", call_id=call, name="look", arguments='{"at": "☃\\u0000"}', by_client=False
    )
    result = Answered(
        id=f"res_{number}", call_id=call, parts=(Text(text="seen"),), structured={"n": [1, None]}
    )
    return [
        TurnBegun(at=at, turn=number, model=MODEL, prompt_items=1),
        TurnEnded(at=at, turn=number, items=(wanted,), usage=Usage(prompt_tokens=3), reason="tool_calls"),
        CallBegun(at=at, call_id=call),
        CallEnded(at=at, result=result),
    ]


def ended(status: str = "completed") -> RunEnded:
    """Return the last step of a run."""
    return RunEnded(at=9.0, status="completed" if status == "completed" else "cancelled")


def told(first: int, count: int) -> list[Numbered]:
    """Return happenings with these numbers."""
    return [
        Numbered(number, TextGrew(place=0, item_id="msg_1", part=0, delta=f"{number} "))
        for number in range(first, first + count)
    ]
