"""Agents that call agents: a child is begun once, answers as a tool does, and ends with its parent."""

from dataclasses import dataclass, field

import msgspec
import pytest

from runtime.core.agents.children import child_id
from runtime.core.agents.happenings import ItemEnded
from runtime.core.agents.items import Answered
from runtime.core.agents.plans import Limits, Plan, PlannedTool
from runtime.core.agents.ports import NewRun, RunFollower
from runtime.core.agents.starting import Wish
from runtime.core.agents.steps import CallEnded, PlanChanged, RunRecord
from runtime.core.errors import Fault, NotFound
from runtime.core.ids import LOCAL_TENANT, RunId
from tests.kit.agents_live import BACKGROUND, LiveStage, by_turn, calling, ended, live_stage, read_all
from tests.kit.fake_pool import Hold, saying


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
