"""Laws of agents' stores: whatever is done, the ones in DuckDB tell the same as the fakes in memory.

With that, laws that hold of both: pages cover everything once, records and steps agree, tenants are apart.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.core.agents.ports import RunQuery, Session
from runtime.core.agents.steps import TERMINAL, RunStatus
from runtime.core.errors import LarError
from runtime.core.ids import RunId, TenantId
from tests.kit.agent_rows import (
    ADA,
    BOB,
    AgentStores,
    fake_agent_stores,
    items,
    open_agent_stores,
    opened,
    run_record,
    told,
    turn,
)

Step = Callable[[AgentStores], Awaitable[Any]]

TENANTS = st.sampled_from([ADA, BOB])
RUNS = st.sampled_from(["run_1", "run_2", "run_3", "run_4"])
STATUSES: st.SearchStrategy[RunStatus] = st.sampled_from(["queued", "in_progress", "waiting", "failed"])
SESSIONS = st.sampled_from(["conv_1", "conv_2"])
ITEMS = st.lists(st.sampled_from(["msg_1", "msg_2", "msg_3", "msg_4"]), max_size=4)
KINDS = st.sampled_from(["batch", "chat"])
KEYS = st.text(st.characters(codec="utf-8"), max_size=2) | st.sampled_from(["a", "b"])


async def _open(tenant: TenantId, run: str, status: RunStatus, parent: str, stores: AgentStores) -> None:
    record = run_record(
        run, tenant, status=status, steps=1, agent=status, parent=parent, ended_at=len(parent)
    )
    await stores.runs.open(record, [opened()])


async def _append(
    tenant: TenantId, run: str, first: int, status: RunStatus, is_bare: bool, stores: AgentStores
) -> None:
    steps = [] if is_bare else turn(first)
    known = {each.id: each.parent for each in await stores.runs.list_runs(tenant, RunQuery())}
    record = run_record(
        run, tenant, status=status, steps=first + len(steps), agent=status, parent=known.get(RunId(run))
    )
    await stores.runs.append(record, first, steps)


async def _note(run: str, first: int, count: int, stores: AgentStores) -> None:
    await stores.runs.note_happenings(RunId(run), told(first, count))


async def _remove(tenant: TenantId, run: str, stores: AgentStores) -> None:
    await stores.runs.remove(tenant, RunId(run))


async def _forget(at: float, stores: AgentStores) -> int:
    return await stores.runs.forget_before(at)


async def _create(tenant: TenantId, session: str, ids: list[str], stores: AgentStores) -> Session:
    made = Session(id=session, tenant=tenant, created_at=1.0, agent=ids[0] if ids else None)
    return await stores.sessions.create(made, items(*ids))


async def _add(tenant: TenantId, session: str, ids: list[str], stores: AgentStores) -> Any:
    return await stores.sessions.add(tenant, session, items(*ids))


async def _remove_item(tenant: TenantId, session: str, item: str, stores: AgentStores) -> None:
    await stores.sessions.remove_item(tenant, session, item)


async def _remove_session(tenant: TenantId, session: str, stores: AgentStores) -> None:
    await stores.sessions.remove(tenant, session)


async def _put(
    tenant: TenantId, kind: str, key: str, body: bytes, only_new: bool, stores: AgentStores
) -> None:
    await stores.records.put(tenant, kind, key, body, only_new=only_new)


async def _drop(tenant: TenantId, kind: str, key: str, stores: AgentStores) -> bool:
    return await stores.records.remove(tenant, kind, key)


def _steps_of(
    step: Callable[..., Awaitable[Any]], *values: st.SearchStrategy[Any]
) -> st.SearchStrategy[Step]:
    return st.tuples(*values).map(lambda chosen: partial(step, *chosen))


FIRSTS = st.sampled_from([0, 1, 5, 9])
STEPS = st.lists(
    st.one_of(
        _steps_of(_open, TENANTS, RUNS, STATUSES, RUNS | st.just("run_no")),
        _steps_of(_append, TENANTS, RUNS, FIRSTS, STATUSES, st.booleans()),
        _steps_of(_append, TENANTS, RUNS, FIRSTS, st.just("in_progress"), st.just(False)),
        _steps_of(_note, RUNS, st.integers(0, 4), st.integers(1, 3)),
        _steps_of(_remove, TENANTS, RUNS),
        _steps_of(_forget, st.sampled_from([1.5, 5.5, 99.0])),
        _steps_of(_create, TENANTS, SESSIONS, ITEMS),
        _steps_of(_add, TENANTS, SESSIONS, ITEMS),
        _steps_of(_remove_item, TENANTS, SESSIONS, st.sampled_from(["msg_1", "msg_2"])),
        _steps_of(_remove_session, TENANTS, SESSIONS),
        _steps_of(_put, TENANTS, KINDS, KEYS, st.binary(max_size=4), st.booleans()),
        _steps_of(_drop, TENANTS, KINDS, KEYS),
    ),
    max_size=25,
)


async def _outcome(asked: Awaitable[Any]) -> Any:
    """Return what came of it, an error as its kind and words."""
    try:
        return await asked
    except LarError as problem:
        return type(problem).__name__, str(problem)


async def _view(stores: AgentStores) -> list[Any]:
    """Return everything that can be asked."""
    seen: list[Any] = [await stores.runs.unfinished()]
    for tenant in (ADA, BOB):
        seen.append(await stores.runs.list_runs(tenant, RunQuery()))
        seen.append(await stores.runs.list_runs(tenant, RunQuery(is_newest_first=False)))
        seen.append(await stores.runs.list_runs(tenant, RunQuery(agent="failed", statuses=("failed",))))
        seen.append(await stores.runs.list_runs(tenant, RunQuery(parent=RunId("run_1"))))
        for run in ("run_1", "run_2", "run_3", "run_4"):
            seen.append(await _outcome(stores.runs.steps(tenant, RunId(run))))
            seen.append(await stores.runs.happenings(RunId(run), 2))
        seen.append(await stores.sessions.list_sessions(tenant))
        for session in ("conv_1", "conv_2"):
            seen.append(await _outcome(stores.sessions.items(tenant, session)))
            seen.append(await _outcome(stores.sessions.items(tenant, session, after="msg_2")))
        seen += [await stores.records.list_records(tenant, kind) for kind in ("batch", "chat")]
    return [*seen, await stores.records.list_records(None, "batch", limit=2, is_newest_first=True)]


async def _check_runs(stores: AgentStores) -> None:
    """Records agree with steps; nobody sees a run of another."""
    for tenant in (ADA, BOB):
        for record in await stores.runs.list_runs(tenant, RunQuery()):
            assert record.tenant == tenant
            assert await stores.runs.find(tenant, record.id) == record
            assert len(await stores.runs.steps(tenant, record.id)) == record.steps
            is_live = record.status not in TERMINAL
            assert is_live == (record.id in {each.id for each in await stores.runs.unfinished()})


@pytest.mark.timeout(300)  # for all examples; each has its own
@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_whatever_is_done_the_stores_on_disk_tell_what_the_fakes_tell(steps: list[Step]) -> None:
    async def _play() -> None:
        fake = fake_agent_stores()
        with TemporaryDirectory() as folder, anyio.fail_after(60):
            async with open_agent_stores(Path(folder)) as stored:
                for step in steps:
                    assert await _outcome(step(stored)) == await _outcome(step(fake))
                expected = await _view(fake)
                assert await _view(stored) == expected
                await _check_runs(stored)
            async with open_agent_stores(Path(folder)) as stored:
                assert await _view(stored) == expected

    anyio.run(_play)


@given(st.lists(st.integers(0, 99), unique=True, max_size=20), st.integers(1, 7), st.booleans())
@settings(max_examples=20, deadline=None)
def test_pages_cover_everything_once_in_both_directions(
    numbers: list[int], limit: int, is_newest_first: bool
) -> None:
    async def _play() -> None:
        with TemporaryDirectory() as folder, anyio.fail_after(60):
            async with open_agent_stores(Path(folder)) as stored:
                for stores in (fake_agent_stores(), stored):
                    await _fill(stores, numbers)
                    for pages in (_run_pages, _item_pages, _record_pages):
                        seen = await pages(stores, limit, is_newest_first)
                        assert seen == sorted((f"{each:02}" for each in numbers), reverse=is_newest_first)

    anyio.run(_play)


async def _fill(stores: AgentStores, numbers: Sequence[int]) -> None:
    await stores.sessions.create(Session(id="conv_1", tenant=ADA, created_at=1.0))
    for number in numbers:
        record = run_record(f"{number:02}", status="failed" if number % 2 else "queued")
        await stores.runs.open(record, [])
        await stores.runs.open(msgspec.structs.replace(record, id=RunId(f"{number:02}b"), tenant=BOB), [])
        await stores.records.put(ADA if number % 3 else BOB, "k", f"{number:02}", b"")
    await stores.sessions.add(ADA, "conv_1", items(*(f"{each:02}" for each in sorted(numbers))))


async def _run_pages(stores: AgentStores, limit: int, is_newest_first: bool) -> list[str]:
    seen: list[str] = []
    query = RunQuery(limit=limit, is_newest_first=is_newest_first)
    while page := await stores.runs.list_runs(ADA, query):
        assert len(page) <= limit
        seen += [each.id for each in page]
        query = msgspec.structs.replace(query, after=page[-1].id)
    return seen


async def _item_pages(stores: AgentStores, limit: int, is_newest_first: bool) -> list[str]:
    seen: list[str] = []
    after = None
    while page := await stores.sessions.items(
        ADA, "conv_1", after=after, limit=limit, is_newest_first=is_newest_first
    ):
        assert len(page) <= limit
        seen += [each.item.id for each in page]
        after = page[-1].item.id
    return seen


async def _record_pages(stores: AgentStores, limit: int, is_newest_first: bool) -> list[str]:
    seen: list[str] = []
    after = None
    while page := await stores.records.list_records(
        None, "k", after=after, limit=limit, is_newest_first=is_newest_first
    ):
        seen += [key for _, key, _ in page]
        after = page[-1][1]
    return seen
