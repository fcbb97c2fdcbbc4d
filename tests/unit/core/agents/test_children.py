"""Agents that call agents: a child is begun once, answers as a tool does, and ends with its parent."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
import msgspec
import pytest

from runtime.core.agents.children import child_id
from runtime.core.agents.happenings import CallMoved, ItemEnded, StatusChanged
from runtime.core.agents.items import Answered
from runtime.core.agents.plans import Limits, Plan, PlannedTool
from runtime.core.agents.ports import NewRun, RunFollower
from runtime.core.agents.starting import Wish
from runtime.core.agents.steps import CallEnded, PlanChanged, RunRecord
from runtime.core.errors import Fault, NotFound
from runtime.core.gate.words import Answer
from runtime.core.ids import LOCAL_TENANT, ApprovalId, RunId
from runtime.core.messages import Delta, Ended, ToolCallDelta, Usage
from runtime.core.settings import AgentSettings
from tests.kit.agents_live import (
    BACKGROUND,
    LiveStage,
    by_turn,
    calling,
    ended,
    hub_tool,
    live_stage,
    read_all,
)
from tests.kit.fake_pool import Hold, Step, saying


@dataclass
class Spawner:
    """Starts the agents of a test."""

    stage: LiveStage
    tools: tuple[PlannedTool, ...] = ()
    limits: Limits = field(default_factory=Limits)
    wishes: list[Wish] = field(default_factory=list)

    async def start(self, wish: Wish) -> RunFollower:
        self.wishes.append(wish)
        new = NewRun(
            plan=await self.plan(wish),
            input=tuple(wish.input),
            parent=wish.parent,
            parent_call=wish.parent_call,
            trigger=wish.trigger,
            is_background=wish.is_background,
        )
        return await self.stage.service.start(new)

    async def plan(self, wish: Wish) -> Plan:
        if wish.agent == "nobody":
            raise NotFound(Fault(code="not_found", message="There is no agent 'nobody'."))
        plan = self.stage.plan(*self.tools, agent=wish.agent, limits=self.limits)
        return msgspec.structs.replace(plan, instructions=f"You are {wish.agent}.")

    async def revive(self, record: RunRecord, plan: Plan) -> None:
        """Nothing is lent here."""


def ask(agent: str, executor: str = "agent") -> PlannedTool:
    return msgspec.convert(
        {"name": f"ask_{agent}", "executor": executor, "full_name": agent, "parameters": {"type": "object"}},
        PlannedTool,
    )


LIMIT_S = 0.2
ASKED = calling("ask_helper", '{"task": "find it"}')


async def test_a_child_answers_its_parent() -> None:
    async with live_stage() as stage:
        spawner = Spawner(stage)
        stage.children.spawner = spawner
        stage.pool.play(
            lambda request, index: (
                saying("found it")
                if request.messages[0].content == "You are helper."
                else by_turn(ASKED, saying("done"))(request, index)
            )
        )
        follower = await stage.start("go", ask("helper"), new=BACKGROUND)
        told = await read_all(follower)
        assert ended(told).status == "completed"
        (result,) = [each.result for each in told if isinstance(each, ItemEnded) and each.result]
        assert isinstance(result, Answered)
        assert result.text == "found it"
        child = await stage.record(child_id(follower.run, "call_1"))
        assert (child.parent, child.status, child.agent) == (follower.run, "completed", "helper")
        assert child.is_background
        assert await stage.service.steps(LOCAL_TENANT, child.id)


async def test_a_child_that_was_begun_before_a_crash_is_not_begun_again() -> None:
    async with live_stage() as stage:
        spawner = Spawner(stage)
        stage.children.spawner = spawner
        hold = Hold()
        stage.pool.play(
            lambda request, index: [hold] if request.messages[0].content == "You are helper." else ASKED
        )
        follower = await stage.start("go", ask("helper"), new=BACKGROUND)
        await hold.is_reached.wait()
        await stage.service.stop(0.0)
        stage.restart()
        stage.children.spawner = spawner
        stage.pool.play(
            lambda request, index: (
                saying("found it")
                if request.messages[0].content == "You are helper."
                else by_turn(ASKED, saying("done"))(request, index)
            )
        )
        assert await stage.service.resume_all() == 2
        record = await stage.service.wait(LOCAL_TENANT, follower.run, 4)
        assert record.status == "completed"
        assert len(spawner.wishes) == 1
        (end,) = [each for each in await stage.steps(follower.run) if isinstance(each, CallEnded)]
        assert end.result.text == "found it"


@pytest.mark.parametrize("is_background", [True, False])
async def test_a_cancelled_parent_takes_its_child_with_it(is_background: bool) -> None:
    async with live_stage() as stage:
        stage.children.spawner = Spawner(stage)
        hold = Hold()
        stage.pool.play(
            lambda request, index: [hold] if request.messages[0].content == "You are helper." else ASKED
        )
        follower = await stage.start("go", ask("helper"), new={"is_background": is_background})
        await hold.is_reached.wait()
        record = await stage.service.cancel(LOCAL_TENANT, follower.run, "enough")
        assert record.status == "cancelled"
        child = await stage.service.wait(LOCAL_TENANT, child_id(follower.run, "call_1"), 4)
        assert child.status == "cancelled"


async def test_agents_that_call_themselves_are_stopped_by_the_depth() -> None:
    async with live_stage() as stage:
        stage.children.spawner = Spawner(stage, tools=(ask("helper"),), limits=Limits(depth=2))
        stage.pool.play(by_turn(ASKED, saying("enough")))
        follower = await stage.start("go", ask("helper"), limits=Limits(depth=2))
        assert ended(await read_all(follower)).status == "completed"
        first = child_id(follower.run, "call_1")
        second = child_id(first, "call_1")
        with pytest.raises(NotFound):
            await stage.record(second)
        (end,) = [each for each in await stage.steps(first) if isinstance(each, CallEnded)]
        assert end.result.code == "limit"


async def test_an_agent_that_is_not_there_is_a_result() -> None:
    async with live_stage() as stage:
        stage.children.spawner = Spawner(stage)
        stage.pool.play(by_turn(calling("ask_nobody", '{"task": "x"}'), saying("well")))
        follower = await stage.start("go", ask("nobody"))
        assert ended(await read_all(follower)).status == "completed"
        (end,) = [each for each in await stage.steps(follower.run) if isinstance(each, CallEnded)]
        assert (end.result.is_error, end.result.code) == (True, "not_found")


async def test_another_agent_goes_on_after_a_handover() -> None:
    async with live_stage() as stage:
        stage.children.spawner = Spawner(stage)
        stage.pool.play(by_turn(ASKED, saying("from here on it is me")))
        follower = await stage.start("go", ask("helper", "handover"), agent="first")
        assert ended(await read_all(follower)).status == "completed"
        assert any(isinstance(each, PlanChanged) for each in await stage.steps(follower.run))
        assert stage.pool.chats[-1].messages[0].content == "You are helper."
        replayed = await stage.service.replay(LOCAL_TENANT, follower.run)
        assert replayed.is_same, replayed.told


def test_a_child_sorts_beside_its_parent_and_is_the_same_for_the_same_call() -> None:
    parent = RunId("run_1a206706909921a3f4bd0e18492")
    assert child_id(parent, "call_1") == child_id(parent, "call_1")
    assert child_id(parent, "call_1") != child_id(parent, "call_2")
    assert child_id(parent, "call_1").startswith("run_1a206706909")


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_while_a_child_waits_for_a_person_its_parent_takes_no_time_and_no_place(
    is_restarted: bool,
) -> None:
    async with live_stage(AgentSettings(live_runs=1)) as stage:
        spawner = Spawner(stage, tools=(hub_tool(approval="always"),))
        stage.children.spawner = spawner
        stage.pool.play(
            lambda request, index: (
                by_turn(calling("say"), saying("found it"))
                if request.messages[0].content == "You are helper."
                else by_turn(ASKED, saying("done"))
            )(request, index)
        )
        limits = Limits(seconds=LIMIT_S)
        follower = await stage.start("go", ask("helper"), new=BACKGROUND, limits=limits)
        pending = await _asked(stage)
        if is_restarted:
            await stage.service.stop(0.0)
            stage.restart()
            stage.children.spawner = spawner
            stage.tasks.start_soon(stage.follow_facts)
            assert await stage.service.resume_all() == 2
            await anyio.wait_all_tasks_blocked()
        assert stage.service.live == 0

        stage.clock.advance(500.0)
        await anyio.sleep(2 * LIMIT_S)
        await stage.desk.answer(LOCAL_TENANT, pending, Answer(is_approved=True), "owner")
        assert (await stage.service.wait(LOCAL_TENANT, follower.run, 4)).status == "completed"
        assert stage.service.live == 0
        told = await read_all(await stage.service.follow(LOCAL_TENANT, follower.run))
        stages = [each.stage for each in told if isinstance(each, CallMoved)]
        assert [each for each in stages if each in ("asked", "finished")][-2:] == ["asked", "finished"]
        statuses = [each.status for each in told if isinstance(each, StatusChanged)]
        assert statuses[-2:] == ["waiting", "in_progress"]


async def test_while_one_child_works_its_parent_does_not_idle() -> None:
    async with live_stage(AgentSettings(live_runs=1)) as stage:
        stage.children.spawner = Spawner(stage, tools=(hub_tool(approval="always"),))
        hold = Hold()
        pieces = tuple(
            ToolCallDelta(index=index, id=f"call_{index}", name=name, arguments='{"task": "find it"}')
            for index, name in enumerate(("ask_helper", "ask_worker"))
        )
        both: Sequence[Step] = [Delta(tool_calls=pieces), Ended(reason="tool_calls", usage=Usage())]
        scripts: dict[str, Sequence[Step]] = {"You are helper.": calling("say"), "You are worker.": [hold]}
        stage.pool.play(lambda request, index: scripts.get(str(request.messages[0].content), both))
        limits = Limits(seconds=LIMIT_S)
        follower = await stage.start("go", ask("helper"), ask("worker"), new=BACKGROUND, limits=limits)
        await _asked(stage)
        await hold.is_reached.wait()
        assert stage.service.live == 1
        assert await _first_asked(follower) == "call_0"
        stage.clock.advance(500.0)
        record = await stage.service.wait(LOCAL_TENANT, follower.run, 4)
        assert (record.status, record.reason) == ("incomplete", "seconds")


async def _first_asked(follower: RunFollower) -> str:
    async for each in follower:
        if isinstance(each.happening, CallMoved) and each.happening.stage == "asked":
            return each.happening.call_id
    return ""


async def _asked(stage: LiveStage) -> ApprovalId:
    while not (pending := stage.desk.list_approvals(LOCAL_TENANT, "pending")):  # noqa: ASYNC110 - the desk tells runs
        await anyio.sleep(0.01)
    await anyio.wait_all_tasks_blocked()
    return pending[0].id
