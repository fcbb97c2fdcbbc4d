"""Replays: whatever a run went through, the same inputs lead to the same steps."""

from collections.abc import Sequence
from typing import Any, Literal

import anyio
import msgspec
import pytest

from runtime.core.agents.forking import forked_steps
from runtime.core.agents.items import Answered, Called, Listed, Said, Text, Wanted
from runtime.core.agents.plans import Limits
from runtime.core.agents.replaying import replay_steps
from runtime.core.agents.steps import (
    AnyStep,
    CallBegun,
    CallEnded,
    ContextCompacted,
    RunOpened,
    TurnBegun,
    TurnEnded,
)
from runtime.core.agents.tool_search import find_tools
from runtime.core.errors import Conflict, Fault, FaultCode, RequestInvalid
from runtime.core.gate.principals import OWNER
from runtime.core.gate.words import Answer
from runtime.core.ids import LOCAL_TENANT, RunId
from runtime.core.messages import Began, Broke, Delta, Ended, ToolCallDelta, Usage
from runtime.core.tools import Asked, Caller, Progressed, TextContent, ToolResult
from tests.kit.agents_live import (
    BACKGROUND,
    MODEL,
    LiveStage,
    by_turn,
    calling,
    hub_tool,
    live_stage,
    read_all,
    said,
)
from tests.kit.fake_hub import FakeHub
from tests.kit.fake_models import known_model
from tests.kit.fake_pool import Hold, Step, saying

SPENT = Usage(prompt_tokens=3, completion_tokens=2)


async def assert_same(stage: LiveStage, run: RunId) -> None:
    replayed = await stage.service.replay(LOCAL_TENANT, run)
    assert replayed.is_same, (replayed.first_difference, replayed.told)


def two_calls() -> list[Step]:
    pieces = tuple(
        ToolCallDelta(index=each, id=f"call_{each}", name=name, arguments="{}")
        for each, name in enumerate(("count", "say"))
    )
    return [Delta(reasoning="hm"), Delta(text="Let me see."), Delta(tool_calls=pieces), _end("tool_calls")]


def _end(reason: Any) -> Ended:
    return Ended(reason=reason, usage=SPENT)


SCRIPTS: dict[str, Sequence[Sequence[Step]]] = {
    "an answer": [saying("hello", " there")],
    "reasoning": [[Delta(reasoning="hm"), Delta(text="so"), _end("stop")]],
    "two calls at once": [two_calls(), saying("done")],
    "cut by its length": [saying("hello", reason="length")],
    "a tool that is not there": [calling("nothing"), saying("well")],
    "a call without end": [calling("say", '{"text": "a'), saying("done")],
    "the same again and again": [calling("say"), calling("say"), calling("say"), calling("say"), saying("x")],
}


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_run_is_lived_again(name: str) -> None:
    async with live_stage() as stage:
        stage.pool.play(by_turn(*SCRIPTS[name]))
        follower = await stage.start("go", hub_tool(), hub_tool("count"), new=BACKGROUND)
        await read_all(follower)
        await assert_same(stage, follower.run)


async def test_a_run_with_items_that_came_first_is_lived_again() -> None:
    async with live_stage() as stage:
        new = {**BACKGROUND, "added": (Listed(id="mcpl_1", server="echo"),)}
        follower = await stage.start("go", new=new)
        await read_all(follower)
        await assert_same(stage, follower.run)


async def test_a_cancelled_run_is_lived_again() -> None:
    async with live_stage() as stage:
        hold = Hold()
        stage.pool.play([Delta(text="half"), hold])
        follower = await stage.start("go", new=BACKGROUND)
        await hold.is_reached.wait()
        await stage.service.cancel(LOCAL_TENANT, follower.run, "enough")
        await assert_same(stage, follower.run)


async def test_a_run_that_ran_out_of_time_is_lived_again() -> None:
    async with live_stage() as stage:
        hold = Hold()
        stage.pool.play([hold])
        follower = await stage.start("go", new=BACKGROUND, limits=Limits(seconds=0.05))
        await hold.is_reached.wait()
        stage.clock.advance(1.0)
        await read_all(follower)
        await assert_same(stage, follower.run)


async def test_a_steered_run_is_lived_again() -> None:
    async with live_stage() as stage:
        hold = Hold()
        stage.pool.play(by_turn([hold, *calling("say")], saying("done")))
        follower = await stage.start("go", hub_tool(), new=BACKGROUND)
        await hold.is_reached.wait()
        await stage.service.steer(LOCAL_TENANT, follower.run, [said("and this")])
        hold.release()
        await read_all(follower)
        await assert_same(stage, follower.run)


@pytest.mark.parametrize("is_approved", [True, False])
async def test_a_run_that_asked_is_lived_again(is_approved: bool) -> None:
    async with live_stage() as stage:
        stage.pool.play(by_turn(calling("count"), calling("say", call_id="call_2"), saying("done")))
        tools = (hub_tool("count"), hub_tool(approval="always"))
        follower = await stage.start("go", *tools, new=BACKGROUND)
        await anyio.wait_all_tasks_blocked()
        (pending,) = stage.desk.list_approvals(LOCAL_TENANT, "pending")
        await stage.desk.answer(LOCAL_TENANT, pending.id, Answer(is_approved=is_approved), "owner")
        await read_all(follower)
        await assert_same(stage, follower.run)


async def test_a_run_whose_model_broke_and_gave_way_to_another_is_lived_again() -> None:
    async with live_stage() as stage:
        other = msgspec.structs.replace(known_model("m"), id="other")
        stage.models.states[other.id] = other
        fault = Fault(code="model_broken", message="It cannot be loaded.")
        stage.pool.play(
            lambda request, index: [Broke(fault=fault)] if request.model == MODEL else saying("me then")
        )
        follower = await stage.start("go", new=BACKGROUND, models=(MODEL, other.id))
        await read_all(follower)
        assert (await stage.record(follower.run)).status == "completed"
        await assert_same(stage, follower.run)


async def test_a_failed_run_is_lived_again() -> None:
    async with live_stage() as stage:
        stage.pool.play([Delta(text="half"), Broke(fault=Fault(code="model_broken", message="gone"))])
        follower = await stage.start("go", new=BACKGROUND)
        await read_all(follower)
        assert (await stage.record(follower.run)).status == "failed"
        await assert_same(stage, follower.run)


@pytest.mark.parametrize("code", ["engine_failed", "context_length_exceeded"])
async def test_what_a_model_gave_before_it_broke_is_counted_and_lived_again(code: FaultCode) -> None:
    broken: list[Step] = [
        Began(prompt_tokens=7),
        Delta(text="half", tokens=3),
        Broke(fault=Fault(code=code, message="gone")),
    ]
    async with live_stage() as stage:
        scripts = iter([broken, saying("whole")])
        stage.pool.play(lambda request, index: next(scripts))
        history = [said(f"{each} " * 20) for each in range(4)]
        new = {**BACKGROUND, "context": tuple(history)}
        follower = await stage.start("go", new=new, agent="clerk", door="api")
        await read_all(follower)
        record = await stage.record(follower.run)
        assert record.status == "completed"
        turns = [each for each in await stage.steps(follower.run) if isinstance(each, TurnEnded)]
        assert [each.usage.total_tokens for each in turns] == [10, 6]
        assert record.usage.total_tokens == 16
        await assert_same(stage, follower.run)


async def test_a_run_that_was_cancelled_amid_a_call_is_lived_again() -> None:
    async with live_stage() as stage:
        stage.pool.play(by_turn(two_calls(), saying("done")))
        begun = anyio.Event()

        async def hang(caller: Caller, asked: Asked, progressed: Progressed | None = None) -> ToolResult:
            begun.set()
            await anyio.sleep_forever()
            raise AssertionError("nobody lets it go on")

        stage.hub.call = hang  # type: ignore[method-assign]  # the one method that is other here
        follower = await stage.start("go", hub_tool(), hub_tool("count"), new=BACKGROUND)
        await begun.wait()
        await stage.service.cancel(LOCAL_TENANT, follower.run, "enough")
        assert isinstance((await stage.steps(follower.run))[-2], CallEnded)
        await assert_same(stage, follower.run)


async def test_a_response_that_asks_its_asker_is_lived_again() -> None:
    words = (TextContent(text="A person must agree."),)
    async with live_stage() as stage:
        stage.pool.play(by_turn(two_calls(), saying("done")))

        async def ask(caller: Caller, asked: Asked, progressed: Progressed | None = None) -> ToolResult:
            return ToolResult(content=words, is_error=True, code="asked")

        stage.hub.call = ask  # type: ignore[method-assign]  # the one method that is other here
        tools = (hub_tool(), hub_tool("count", approval="always"))
        follower = await stage.start("go", *tools, new=BACKGROUND, door="responses")
        await read_all(follower)
        steps = await stage.steps(follower.run)
        wanted = [item for each in steps for item in getattr(each, "items", ()) if isinstance(item, Wanted)]
        assert len(wanted) == 2, "one before the gate was asked, one after"
        await assert_same(stage, follower.run)


@pytest.mark.parametrize("has_other", [True, False])
async def test_a_run_whose_model_died_twice_is_lived_again(has_other: bool) -> None:
    async with live_stage() as stage:
        other = msgspec.structs.replace(known_model("m"), id="other")
        stage.models.states[other.id] = other
        died = Broke(fault=Fault(code="worker_died", message="It is gone."))
        stage.pool.play(lambda request, index: [died] if request.model == MODEL else saying("me then"))
        models = (MODEL, other.id) if has_other else (MODEL,)
        follower = await stage.start("go", new=BACKGROUND, models=models)
        await read_all(follower)
        assert (await stage.record(follower.run)).status == ("completed" if has_other else "failed")
        turns = [each for each in await stage.steps(follower.run) if isinstance(each, TurnBegun)]
        assert len(turns) == 2 + has_other
        await assert_same(stage, follower.run)


async def test_a_run_that_was_compacted_for_its_models_context_is_lived_again() -> None:
    async with live_stage() as stage:
        small = msgspec.structs.replace(known_model("m"), id="small", context_tokens=200)
        stage.models.states[small.id] = small
        roles: tuple[Literal["user", "assistant"], ...] = ("user", "assistant")
        context = tuple(
            Said(id=f"msg_{each}", role=roles[each % 2], parts=(Text(text=f"{each} and so on. " * 12),))
            for each in range(12)
        )
        new = {**BACKGROUND, "context": context}
        stage.pool.play(lambda request, index: saying("In short: numbers.", prompt_tokens=60))
        follower = await stage.start("go", new=new, models=(small.id,), agent="clerk")
        await read_all(follower)
        steps = await stage.steps(follower.run)
        assert any(isinstance(each, ContextCompacted) for each in steps)
        await assert_same(stage, follower.run)


@pytest.mark.parametrize("is_good", [True, False])
async def test_a_run_whose_answer_was_judged_and_went_on_is_lived_again(is_good: bool) -> None:
    async with live_stage() as stage:
        hold = Hold()
        verdict = f'{{"is_good": {str(is_good).lower()}, "problem": "too short"}}'
        scripts = iter([saying("four"), [hold, *saying(verdict)], *[saying("whole"), saying(verdict)] * 2])
        stage.pool.play(lambda request, index: next(scripts))
        follower = await stage.start("two and two?", new=BACKGROUND, agent="clerk", reflects=True)
        await hold.is_reached.wait()
        await stage.service.steer(LOCAL_TENANT, follower.run, [said("and now in a sentence")])
        hold.release()
        await read_all(follower)
        turns = [each for each in await stage.steps(follower.run) if isinstance(each, TurnEnded)]
        assert len(turns) >= 3
        await assert_same(stage, follower.run)


async def _called() -> tuple[LiveStage, list[AnyStep], RunId]:
    async with live_stage() as stage:
        stage.pool.play(by_turn(calling("say"), saying("done")))
        follower = await stage.start("go", hub_tool(), new=BACKGROUND)
        await read_all(follower)
        return stage, await stage.steps(follower.run), follower.run


async def test_another_answer_of_the_model_would_have_led_elsewhere() -> None:
    stage, steps, run = await _called()
    ended = next(place for place, each in enumerate(steps) if isinstance(each, TurnEnded))
    answer = Said(id="msg_x", role="assistant", parts=(Text(text="no call"),))
    steps[ended] = TurnEnded(at=0.0, turn=0, items=(answer,), usage=Usage(), reason="stop")
    replayed = replay_steps(await stage.record(run), steps, find_tools)
    assert not replayed.is_same
    assert replayed.first_difference is not None
    assert replayed.first_difference >= ended


async def test_a_fork_takes_over_whole_steps_alone() -> None:
    stage, steps, run = await _called()
    record = await stage.record(run)
    begun = next(place for place, each in enumerate(steps) if isinstance(each, CallBegun))
    forked = forked_steps(record, steps, begun + 1, [], OWNER, 7.0)
    assert [type(each) for each in forked] == [RunOpened, TurnBegun, TurnEnded]
    opened = forked[0]
    assert isinstance(opened, RunOpened)
    assert (opened.forked_from, opened.forked_at, opened.at) == (run, begun + 1, 7.0)
    first = forked_steps(record, steps, 0, [said("more")], OWNER, 7.0)
    assert len(first) == 2
    with pytest.raises(RequestInvalid, match="steps"):
        forked_steps(record, steps, len(steps) + 1, [], OWNER, 7.0)


async def test_only_a_result_stands_in_for_a_result() -> None:
    stage, steps, run = await _called()
    record = await stage.record(run)
    result = next(each.result for each in steps if isinstance(each, CallEnded))
    wrong = Said(id=result.id, role="user", parts=(Text(text="x"),))
    with pytest.raises(Conflict, match="only another result"):
        forked_steps(record, steps, len(steps), [wrong], OWNER, 0.0)
    other = Answered(id=result.id, call_id="call_other")
    with pytest.raises(Conflict, match="only another result"):
        forked_steps(record, steps, len(steps), [other], OWNER, 0.0)
    assert isinstance(steps[2], TurnEnded)
    assert isinstance(steps[2].items[0], Called)


class _AtOnce:
    """Answers each call."""

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub

    async def call(self, caller: Caller, asked: Asked, progressed: Progressed | None = None) -> ToolResult:
        self._hub.asked.append(asked)
        return ToolResult(content=(TextContent(text="slept"),))


@pytest.mark.parametrize("is_idempotent", [True, False])
async def test_a_run_that_was_restarted_in_a_call_is_lived_again(is_idempotent: bool) -> None:
    async with live_stage() as stage:
        stage.pool.play(by_turn(calling("sleep"), saying("done")))
        follower = await stage.start("go", hub_tool("sleep", is_idempotent=is_idempotent), new=BACKGROUND)
        await stage.hub.sleeping.wait()
        await stage.kill()
        stage.hub.call = _AtOnce(stage.hub).call  # type: ignore[method-assign]  # it does not hang again
        stage.restart()
        stage.tasks.start_soon(stage.follow_facts)
        await stage.service.resume_all()
        await anyio.wait_all_tasks_blocked()
        for each in stage.desk.list_approvals(LOCAL_TENANT, "pending"):
            await stage.desk.answer(LOCAL_TENANT, each.id, Answer(is_approved=False), "owner")
        assert (await stage.service.wait(LOCAL_TENANT, follower.run, 4)).status == "completed"
        assert len(stage.hub.asked) == (2 if is_idempotent else 1)
        await assert_same(stage, follower.run)


async def test_a_run_that_was_restarted_in_a_turn_is_lived_again() -> None:
    async with live_stage() as stage:
        hold = Hold()
        stage.pool.play([Delta(text="half"), hold])
        follower = await stage.start("go", new=BACKGROUND)
        await hold.is_reached.wait()
        await anext(aiter(follower))
        await stage.kill()
        stage.restart()
        stage.pool.play(saying("whole"))
        await stage.service.resume_all()
        assert (await stage.service.wait(LOCAL_TENANT, follower.run, 4)).status == "completed"
        await assert_same(stage, follower.run)
