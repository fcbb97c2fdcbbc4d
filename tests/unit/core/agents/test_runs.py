"""Live runs: each reaches one end, is readable without a gap, and goes on after a restart."""

from collections.abc import Sequence

import anyio
import pytest

from runtime.core.agent_facts import AgentCancelled, AgentFinished, AgentResumed, AgentStarted, AgentWaiting
from runtime.core.agents.happenings import ItemEnded, RunOver, TextGrew
from runtime.core.agents.items import Answered, Called, Said, Text
from runtime.core.agents.plans import CANCELLED_BY_CLIENT, Limits
from runtime.core.agents.ports import Lent, NewRun, RunQuery, Session
from runtime.core.agents.steps import TERMINAL, AnyStep, CallAsked, CallEnded, RunEnded, RunRecord
from runtime.core.errors import Conflict, Fault, LarError, NotFound
from runtime.core.gate.words import Answer, Question
from runtime.core.ids import LOCAL_TENANT, ModelId, RunId
from runtime.core.messages import Delta, Ended, Usage
from runtime.core.settings import AgentSettings
from runtime.core.tools import Asked, Caller, Progressed, TextContent, ToolResult, resource_of
from tests.kit.agents_live import (
    BACKGROUND,
    LiveStage,
    answers,
    by_turn,
    calling,
    ended,
    hub_tool,
    live_stage,
    read_all,
    said,
)
from tests.kit.fake_pool import Hold, Step, saying


async def test_a_run_answers_and_ends_once() -> None:
    async with live_stage() as stage:
        follower = await stage.start("hi")
        told = await read_all(follower)
        record = ended(told)
        assert record.status == "completed"
        assert "".join(each.delta for each in told if isinstance(each, TextGrew)) == "Hello there"
        assert await stage.record(follower.run) == record
        assert [type(each) for each in stage.facts(follower.run)] == [AgentStarted, AgentFinished]


async def test_a_tool_is_called_and_its_result_is_heard() -> None:
    async with live_stage() as stage:
        stage.pool.play(by_turn(calling("say", '{"text": "yes"}'), saying("done")))
        follower = await stage.start("call it", hub_tool())
        told = await read_all(follower)
        assert ended(told).status == "completed"
        assert stage.hub.asked[0].arguments == {"text": "yes"}
        assert stage.hub.callers[0].run == follower.run
        results = [
            each.result for each in told if isinstance(each, ItemEnded) and isinstance(each.item, Called)
        ]
        assert [each.text for each in results if isinstance(each, Answered)] == ["owner says yes"]


async def test_the_last_reader_of_a_foreground_run_takes_it_with_him() -> None:
    async with live_stage() as stage:
        hold = Hold()
        stage.pool.play([Delta(text="a"), hold, Delta(text="b")])
        follower = await stage.start("hi")
        await hold.is_reached.wait()
        follower.aclose()
        record = await stage.service.wait(LOCAL_TENANT, follower.run, 4)
        assert (record.status, record.reason) == ("cancelled", CANCELLED_BY_CLIENT)
        assert [type(each) for each in stage.ends(follower.run)] == [AgentCancelled]


async def test_a_background_run_goes_on_without_readers_and_is_read_without_a_gap() -> None:
    async with live_stage() as stage:
        hold = Hold()
        stage.pool.play([Delta(text="a"), hold, Delta(text="b"), Ended(reason="stop", usage=Usage())])
        follower = await stage.start("hi", new=BACKGROUND)
        await hold.is_reached.wait()
        follower.aclose()
        middle = await stage.service.follow(LOCAL_TENANT, follower.run)
        hold.release()
        told = await read_all(middle)
        assert ended(told).status == "completed"
        again = await read_all(await stage.service.follow(LOCAL_TENANT, follower.run))
        assert again == told
        rest = await read_all(await stage.service.follow(LOCAL_TENANT, follower.run, 3))
        assert rest == told[3:]


async def test_a_slow_reader_of_the_foreground_holds_back_its_own_run_alone() -> None:
    async with live_stage() as stage:
        many: list[Step] = [
            *(Delta(text=f"{each} ") for each in range(2000)),
            Ended(reason="stop", usage=Usage()),
        ]
        stage.pool.play(many)
        slow = await stage.start("slow")
        quick = await stage.start("quick")
        assert ended(await read_all(quick)).status == "completed"
        await anyio.wait_all_tasks_blocked()
        assert stage.pool.generations[0].yielded < 1000
        text = "".join(each.delta for each in await read_all(slow) if isinstance(each, TextGrew))
        assert text == "".join(f"{each} " for each in range(2000))


async def test_a_slow_reader_of_the_background_holds_nobody_back() -> None:
    async with live_stage() as stage:
        stage.pool.play(
            [*(Delta(text=f"{each} ") for each in range(2000)), Ended(reason="stop", usage=Usage())]
        )
        follower = await stage.start("go", new=BACKGROUND)
        assert (await stage.service.wait(LOCAL_TENANT, follower.run, 4)).status == "completed"
        text = "".join(each.delta for each in await read_all(follower) if isinstance(each, TextGrew))
        assert text == "".join(f"{each} " for each in range(2000))


async def test_a_hundred_runs_at_once_all_end_by_turns() -> None:
    async with live_stage(AgentSettings(live_runs=8)) as stage:
        stage.pool.play(by_turn(calling("say"), saying("done")))
        followers = [await stage.start(str(each), hub_tool()) for each in range(100)]
        assert stage.service.live == 8
        assert stage.service.waiting == 92
        for follower in followers:
            assert ended(await read_all(follower)).status == "completed"
        await anyio.wait_all_tasks_blocked()
        assert (stage.service.live, stage.service.waiting) == (0, 0)
        assert len(stage.hub.asked) == 100


async def test_more_than_may_wait_are_refused() -> None:
    async with live_stage(AgentSettings(live_runs=1, waiting_runs=1)) as stage:
        hold = Hold()
        stage.pool.play([hold])
        followers = [await stage.start("a", new=BACKGROUND) for _ in range(2)]
        with pytest.raises(LarError, match="wait already"):
            await stage.start("b")
        for follower in followers:
            assert (await stage.service.cancel(LOCAL_TENANT, follower.run, "enough")).status == "cancelled"


async def test_a_session_takes_what_was_asked_and_said_and_one_run_at_a_time() -> None:
    async with live_stage() as stage:
        await stage.sessions.create(Session(id="conv_1", tenant=LOCAL_TENANT, created_at=0.0))
        hold = Hold()
        stage.pool.play([hold, *saying("one")])
        first = await stage.start("a", new={"session": "conv_1"})
        with pytest.raises(Conflict, match="being continued"):
            await stage.start("b", new={"session": "conv_1"})
        hold.release()
        await read_all(first)
        await anyio.wait_all_tasks_blocked()
        stage.pool.play(saying("two"))
        await read_all(await stage.start("b", new={"session": "conv_1"}))
        items = [each.item for each in await stage.sessions.items(LOCAL_TENANT, "conv_1")]
        assert [each.text for each in items if isinstance(each, Said)] == ["a", "one", "b", "two"]
        assert [each.content for each in stage.pool.chats[-1].messages] == ["a", "one", "b"]


async def test_steering_is_stored_and_heard_at_the_next_turn() -> None:
    async with live_stage() as stage:
        hold = Hold()
        stage.pool.play(by_turn([hold, *calling("say")], saying("done")))
        follower = await stage.start("go", hub_tool(), new=BACKGROUND)
        await hold.is_reached.wait()
        await stage.service.steer(LOCAL_TENANT, follower.run, [said("and this", "msg_more")])
        assert any("msg_more" in str(each) for each in await stage.steps(follower.run))
        hold.release()
        assert ended(await read_all(follower)).status == "completed"
        assert any(each.content == "and this" for each in stage.pool.chats[-1].messages)
        with pytest.raises(Conflict, match="has ended"):
            await stage.service.steer(LOCAL_TENANT, follower.run, [said("late")])


async def test_steering_reaches_a_run_that_waits_for_its_place() -> None:
    async with live_stage(AgentSettings(live_runs=1)) as stage:
        hold = Hold()
        stage.pool.play([hold, *saying("x")])
        first = await stage.start("first", new=BACKGROUND)
        second = await stage.start("second", new=BACKGROUND)
        await hold.is_reached.wait()
        await stage.service.steer(LOCAL_TENANT, second.run, [said("more")])
        hold.release()
        await read_all(first)
        assert ended(await read_all(second)).status == "completed"
        assert [each.content for each in stage.pool.chats[-1].messages] == ["second", "more"]


class AskingHub:
    """A hub whose gate asks a person until somebody has answered."""

    def __init__(self, stage: LiveStage) -> None:
        self.stage = stage
        self.made = 0

    async def call(self, caller: Caller, asked: Asked, progressed: Progressed | None = None) -> ToolResult:
        tool = next(each for each in self.stage.hub.known if each.full_name == asked.full_name)
        question = Question(
            principal=caller.principal,
            action="call_tool",
            resource=resource_of(tool),
            arguments=asked.arguments,
            door=caller.door,
            run=caller.run,
            call=asked.id,
        )
        standing = self.stage.desk.standing(question)
        if standing is None:
            approval = await self.stage.desk.ask(question, "It writes.", ())
            text = TextContent(text="Somebody must agree.")
            return ToolResult(content=(text,), is_error=True, code="asked", approval=approval.id)
        await self.stage.desk.spend(standing.id)
        if standing.status == "denied":
            return ToolResult(content=(TextContent(text="no"),), is_error=True, code="denied")
        self.made += 1
        return ToolResult(content=(TextContent(text="written"),))


async def _until_waiting(stage: LiveStage, run: RunId) -> None:
    with stage.bus.subscribe("test", 1000) as facts:
        if any(isinstance(each, AgentWaiting) for each in stage.facts(run)):
            return
        async for envelope in facts:
            if isinstance(envelope.event, AgentWaiting) and envelope.run_id == run:
                return


@pytest.mark.parametrize("is_approved", [True, False])
@pytest.mark.parametrize("is_restarted", [True, False])
async def test_a_call_waits_for_its_person_also_over_a_restart(is_approved: bool, is_restarted: bool) -> None:
    async with live_stage(AgentSettings(live_runs=1)) as stage:
        hub = AskingHub(stage)
        stage.hub.call = hub.call  # type: ignore[method-assign]  # the one method that is other here
        stage.pool.play(by_turn(calling("write"), saying("done")))
        follower = await stage.start("write", hub_tool("write"), new=BACKGROUND)
        await _until_waiting(stage, follower.run)
        record = await stage.service.find(LOCAL_TENANT, follower.run)
        assert record.status == "waiting"
        (approval,) = record.waits_for
        assert stage.service.live == 0
        if is_restarted:
            await stage.service.stop(0.0)
            stage.restart()
            stage.tasks.start_soon(stage.follow_facts)
            assert await stage.service.resume_all() == 1
            await anyio.wait_all_tasks_blocked()
        await stage.desk.answer(LOCAL_TENANT, approval, Answer(is_approved=is_approved), "owner")
        told = await read_all(await stage.service.follow(LOCAL_TENANT, follower.run))
        assert ended(told).status == "completed"
        assert hub.made == int(is_approved)
        (result,) = [each.result for each in await stage.steps(follower.run) if isinstance(each, CallEnded)]
        assert result.code == ("" if is_approved else "denied")
        assert AgentResumed(reason="answered") in stage.facts(follower.run)


async def test_a_tool_that_is_always_asked_for_is_asked_for_once() -> None:
    async with live_stage() as stage:
        stage.pool.play(by_turn(calling("say"), saying("done")))
        follower = await stage.start("go", hub_tool(approval="always"), new=BACKGROUND)
        await _until_waiting(stage, follower.run)
        (pending,) = stage.desk.list_approvals(LOCAL_TENANT, "pending")
        assert pending.run == follower.run
        await stage.desk.answer(LOCAL_TENANT, pending.id, Answer(is_approved=True), "owner")
        assert ended(await read_all(follower)).status == "completed"
        assert len(stage.hub.asked) == 1
        asked = [each for each in await stage.steps(follower.run) if isinstance(each, CallAsked)]
        assert asked[-1].approval == pending.id


async def test_a_cancelled_run_takes_its_question_back_and_cancels_its_call() -> None:
    async with live_stage() as stage:
        stage.pool.play(by_turn(calling("sleep"), saying("done")))
        follower = await stage.start("go", hub_tool("sleep"), new=BACKGROUND)
        await stage.hub.sleeping.wait()
        record = await stage.service.cancel(LOCAL_TENANT, follower.run, "changed my mind")
        assert (record.status, record.reason) == ("cancelled", "changed my mind")
        assert stage.hub.cancelled.is_set()

        stage.pool.play(by_turn(calling("say"), saying("done")))
        waiting = await stage.start("go", hub_tool(approval="always"), new=BACKGROUND)
        await _until_waiting(stage, waiting.run)
        await stage.service.cancel(LOCAL_TENANT, waiting.run, "never mind")
        assert not stage.desk.list_approvals(LOCAL_TENANT, "pending")


async def test_a_restart_goes_on_with_background_runs_and_ends_the_others() -> None:
    async with live_stage() as stage:
        hold = Hold()
        stage.pool.play([Delta(text="half"), hold])
        background = await stage.start("bg", new=BACKGROUND)
        foreground = await stage.start("fg")
        await hold.is_reached.wait()
        seen = [await anext(aiter(background)) for _ in range(3)]
        await stage.kill()
        stage.restart()
        stage.pool.play(saying("whole"))
        assert await stage.service.resume_all() == 1
        told = await read_all(await stage.service.follow(LOCAL_TENANT, background.run))
        assert told[:3] == [each.happening for each in seen]
        assert ended(told).status == "completed"
        assert answers([each.item for each in told if isinstance(each, ItemEnded)])[-1] == "whole"
        record = await stage.service.wait(LOCAL_TENANT, foreground.run, 4)
        assert (record.status, record.reason) == ("cancelled", "the server was restarted")


async def test_a_stop_ends_foreground_runs_and_leaves_background_ones() -> None:
    async with live_stage() as stage:
        holds = [Hold(), Hold()]
        left = iter(holds)
        stage.pool.play(lambda request, index: [next(left)])
        background = await stage.start("bg", new=BACKGROUND)
        foreground = await stage.start("fg")
        for hold in holds:
            await hold.is_reached.wait()
        await stage.service.stop(0.0)
        assert (await stage.record(foreground.run)).status == "cancelled"
        assert (await stage.record(background.run)).status not in TERMINAL
        with pytest.raises(LarError, match="stopping"):
            await stage.start("late")
        told = [each.happening async for each in background]
        assert not any(isinstance(each, RunOver) for each in told)


async def test_a_run_that_is_not_to_be_kept_is_gone_after_its_end() -> None:
    async with live_stage() as stage:
        follower = await stage.start("hi", new={"is_stored": False})
        assert ended(await read_all(follower)).status == "completed"
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(NotFound):
            await stage.service.find(LOCAL_TENANT, follower.run)


async def test_another_tenant_sees_nothing() -> None:
    async with live_stage() as stage:
        follower = await stage.start("hi", new=BACKGROUND)
        with pytest.raises(NotFound):
            await stage.service.find("other", follower.run)  # type: ignore[arg-type]  # any text is a tenant
        await read_all(follower)
        with pytest.raises(NotFound):
            await stage.service.follow("other", follower.run)  # type: ignore[arg-type]  # the same


async def test_a_defect_of_a_store_ends_the_run_with_its_cause() -> None:
    async with live_stage() as stage:
        follower = await stage.start("hi")

        async def broken(*args: object) -> None:
            raise RuntimeError("a defect")

        stage.store.append = broken  # type: ignore[method-assign,assignment]  # the defect
        with anyio.fail_after(3):
            record = ended([each.happening async for each in follower])
        assert record.status == "failed"
        assert record.fault is not None
        assert record.fault.code == "internal_error"


async def test_runs_are_listed_and_removed_with_their_steps() -> None:
    async with live_stage() as stage:
        follower = await stage.start("hi")
        with pytest.raises(Conflict):
            await stage.service.remove(LOCAL_TENANT, follower.run)
        await read_all(follower)
        await anyio.wait_all_tasks_blocked()
        assert [each.id for each in await stage.service.list_runs(LOCAL_TENANT, RunQuery())] == [follower.run]
        await stage.service.remove(LOCAL_TENANT, follower.run)
        assert await stage.service.list_runs(LOCAL_TENANT, RunQuery()) == []


async def test_a_fork_goes_on_differently_and_keeps_ids() -> None:
    async with live_stage() as stage:
        stage.pool.play(by_turn(calling("say"), saying("first")))
        follower = await stage.start("go", hub_tool(), new=BACKGROUND)
        await read_all(follower)
        steps = await stage.steps(follower.run)
        place, call = next((n, each) for n, each in enumerate(steps) if isinstance(each, CallEnded))
        edited = Answered(
            id=call.result.id, call_id=call.result.call_id, parts=(Text(text="other"),), form="mcp"
        )
        stage.pool.play(by_turn(calling("say"), saying("second")))
        forked = await stage.service.fork(
            LOCAL_TENANT, follower.run, place + 1, [edited], stage.plan().principal
        )
        told = await read_all(await stage.service.follow(LOCAL_TENANT, forked.id))
        assert ended(told).forked_from == follower.run
        assert answers([each.item for each in told if isinstance(each, ItemEnded)]) == ["second"]
        assert stage.pool.chats[-1].messages[-1].content == "other"
        assert len(stage.hub.asked) == 1


async def test_a_replay_comes_to_the_same_steps() -> None:
    async with live_stage() as stage:
        stage.pool.play(by_turn(calling("say"), calling("count", call_id="call_2"), saying("done")))
        follower = await stage.start("go", hub_tool(), hub_tool("count"), new=BACKGROUND)
        await read_all(follower)
        replayed = await stage.service.replay(LOCAL_TENANT, follower.run)
        assert replayed.is_same, replayed.told
        assert replayed.steps == len(await stage.steps(follower.run))


async def test_a_replay_tells_where_it_differs() -> None:
    async with live_stage() as stage:
        follower = await stage.start("go", new=BACKGROUND)
        await read_all(follower)
        steps = stage.store._runs[follower.run].steps
        assert isinstance(steps[-1], RunEnded)
        steps[-1] = RunEnded(at=0.0, status="incomplete", reason="turns")
        replayed = await stage.service.replay(LOCAL_TENANT, follower.run)
        assert not replayed.is_same
        assert replayed.first_difference == len(steps) - 1
        assert "status" in replayed.told


async def test_the_time_limit_ends_a_run() -> None:
    async with live_stage() as stage:
        hold = Hold()
        stage.pool.play([hold])
        follower = await stage.start("go", limits=Limits(seconds=0.05))
        await hold.is_reached.wait()
        stage.clock.advance(1.0)
        assert ended(await read_all(follower)).reason == "seconds"


async def test_a_new_run_needs_a_session_that_exists() -> None:
    async with live_stage() as stage:
        with pytest.raises(NotFound):
            await stage.start("hi", new={"session": "conv_none"})
        assert await stage.store.unfinished() == []
        plan = stage.plan()
        assert NewRun(plan=plan, input=()).session is None


async def test_a_kill_before_the_last_step_neither_loses_nor_doubles_what_a_session_takes() -> None:
    async with live_stage() as stage:
        await stage.sessions.create(Session(id="conv_1", tenant=LOCAL_TENANT, created_at=0.0))
        append, reached = stage.store.append, anyio.Event()

        async def hang_at_the_end(record: RunRecord, first: int, steps: Sequence[AnyStep]) -> None:
            if any(isinstance(each, RunEnded) for each in steps):
                reached.set()
                await anyio.sleep_forever()
            await append(record, first, steps)

        stage.store.append = hang_at_the_end  # type: ignore[method-assign]  # the moment of the kill
        stage.pool.play(by_turn(calling("say"), saying("done")))
        follower = await stage.start("go", hub_tool(), new={**BACKGROUND, "session": "conv_1"})
        await reached.wait()
        before = [each.item.id for each in await stage.sessions.items(LOCAL_TENANT, "conv_1")]
        assert len(before) == 4
        await stage.kill()
        stage.store.append = append  # type: ignore[method-assign]  # as it was
        stage.restart()
        await stage.service.resume_all()
        with pytest.raises(Conflict, match="being continued"):
            await stage.start("too soon", new={"session": "conv_1"})
        assert (await stage.service.wait(LOCAL_TENANT, follower.run, 4)).status == "completed"
        assert [each.item.id for each in await stage.sessions.items(LOCAL_TENANT, "conv_1")] == before
        told = await read_all(await stage.service.follow(LOCAL_TENANT, follower.run))
        assert ended(told).status == "completed"
        assert len(stage.pool.chats) == 2


async def test_an_ended_run_whose_last_words_were_not_stored_is_told_whole() -> None:
    async with live_stage() as stage:
        follower = await stage.start("hi", new=BACKGROUND)
        told = await read_all(follower)
        await anyio.wait_all_tasks_blocked()
        kept = stage.store._runs[follower.run].happenings
        for left in range(1, len(kept)):
            del kept[-1:]
            again = await read_all(await stage.service.follow(LOCAL_TENANT, follower.run))
            assert again[: len(told) - left] == told[: len(told) - left]
            assert ended(again).status == "completed"


async def test_the_tools_of_a_lent_server_are_called_by_their_name_of_now() -> None:
    async with live_stage() as stage:
        stage.hub.lent["mine"] = "echo"
        stage.pool.play(by_turn(calling("say"), saying("done")))
        tool = hub_tool(server="mine", full_name="mcp__somewhere__say")
        new = NewRun(plan=stage.plan(tool), input=(said("go"),))
        follower = await stage.service.start(new, Lent({"mine": {"url": "https://example.org"}}))
        assert ended(await read_all(follower)).status == "completed"
        assert stage.hub.asked[0].full_name == "mcp__echo__say"
        await anyio.wait_all_tasks_blocked()
        assert stage.hub.lendings == [("begin", "mine"), ("end", "mine")]


@pytest.mark.parametrize("is_background", [True, False])
async def test_only_a_run_that_nobody_waits_for_waits_for_room_at_its_model(is_background: bool) -> None:
    async with live_stage() as stage:
        stage.pool.fault = Fault(code="queue_full", message="Too many wait.", retry_after_s=0.01)
        follower = await stage.start("go", new={"is_background": is_background})
        await anyio.wait_all_tasks_blocked()
        stage.pool.fault = None
        record = ended(await read_all(follower))
        assert record.status == ("completed" if is_background else "failed")
        assert record.turns == int(is_background)


async def test_a_model_that_nobody_knows_fails_the_run_with_its_cause() -> None:
    async with live_stage() as stage:
        refused = await stage.start("go", models=(ModelId("none"),))
        record = ended(await read_all(refused))
        assert (record.status, record.fault and record.fault.code) == ("failed", "model_not_found")
