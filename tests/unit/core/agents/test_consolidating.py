"""Runs that cannot be read for memories: tried a few times, then given up, whatever was restarted between."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from runtime.core.agents.consolidating import MOST_TRIES, Consolidator
from runtime.core.agents.definition import Agent, AgentState, Memory
from runtime.core.bus import Bus
from runtime.core.errors import Fault, FaultCode, LarError
from runtime.core.ids import RunId
from runtime.core.messages import ChatRequest
from tests.kit.agent_rows import ADA, opened, run_record
from tests.kit.clock import FakeClock
from tests.kit.fake_agent_store import FakeRecords

_AGENT = Agent(name="clerk", memory=Memory(enabled=True, consolidate=True))


class _Book:
    async def tenants(self) -> list[str]:
        return [ADA]

    async def list_agents(self, _: str) -> list[AgentState]:
        return [AgentState(agent=_AGENT, version="1")]


class _Runs:
    async def list_runs(self, *_: object) -> list[Any]:
        return [run_record(each, agent="clerk", status="completed") for each in ("run_later", "run_bad")]

    async def steps(self, _: str, run: RunId) -> list[Any]:
        return [opened(f"read {run}")]


class _Models:
    """Fails at one of two runs."""

    def __init__(self, code: FaultCode) -> None:
        self.code = code
        self.asked: list[str] = []

    async def start(self, request: ChatRequest, *_: object, **__: object) -> Any:
        text = str(request.messages[1].content)
        self.asked.append("run_bad" if "run_bad" in text else "run_later")
        raise LarError(Fault(code=self.code, message="It cannot be read."))


async def _start_server(records: FakeRecords, models: _Models) -> None:
    """Let a consolidator read what ended before, and stop it."""
    gate = SimpleNamespace(look=lambda _: "allow")
    parts: tuple[Any, ...] = (_Book(), _Runs(), models, None, records, Bus(FakeClock()), gate)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cast("Any", Consolidator)(*parts).run_forever)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()


async def test_a_run_that_cannot_be_read_is_given_up_after_a_few_starts_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    records, models = FakeRecords(), _Models("engine_failed")

    with caplog.at_level(logging.WARNING):
        for _ in range(MOST_TRIES + 3):
            await _start_server(records, models)

    assert (
        models.asked == ["run_bad", "run_later"] * MOST_TRIES
    )  # the one never keeps the other from its turn
    given_up = [each for each in caplog.records if "given up" in each.getMessage()]
    assert len(given_up) == 2  # one for each run


async def test_a_model_that_is_not_at_hand_counts_as_no_try() -> None:
    records, models = FakeRecords(), _Models("queue_timeout")

    for _ in range(MOST_TRIES + 2):
        await _start_server(records, models)

    assert models.asked.count("run_bad") == MOST_TRIES + 2
