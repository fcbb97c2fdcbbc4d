"""A run that takes the server down each time it is taken up: it is ended, and no other one is."""

from runtime.core.agents.retaking import MOST_TIMES, Retakes
from runtime.core.agents.steps import AnyStep, RunRecord, RunStatus, TurnBegun
from runtime.core.errors import LarError
from runtime.core.ids import LOCAL_TENANT, RunId
from runtime.core.messages import Delta
from tests.kit.agent_rows import MODEL, fake_agent_stores, opened, run_record, turn
from tests.kit.agents_live import LiveStage, live_stage
from tests.kit.fake_pool import Hold, saying

BEGUN: list[AnyStep] = [opened(), TurnBegun(at=2.0, turn=0, model=MODEL, prompt_items=1)]


async def taken(retakes: Retakes, steps: list[AnyStep], status: RunStatus = "in_progress") -> str:
    """Take a run up; return why it may not go on."""
    record: RunRecord = run_record("run_1", LOCAL_TENANT, status=status)
    try:
        await retakes.take(record, steps)
    except LarError as problem:
        return problem.fault.message
    return ""


async def test_a_run_that_gets_no_further_is_taken_up_a_few_times() -> None:
    records = fake_agent_stores().records
    for times in range(MOST_TIMES):
        again = [*BEGUN, *BEGUN[1:] * times]  # a turn that is begun anew is no way forward
        assert await taken(Retakes(records), again) == ""

    refusal = await taken(Retakes(records), BEGUN)
    assert "lar agents fork run_1 --after 2" in refusal
    assert f"died {MOST_TIMES + 1} times" in refusal


async def test_a_run_that_gets_further_is_taken_up_as_often_as_need_be() -> None:
    retakes = Retakes(fake_agent_stores().records)
    steps: list[AnyStep] = [*BEGUN]
    for number in range(2 * MOST_TIMES):
        assert await taken(retakes, steps) == ""
        steps += turn(number)


async def test_a_run_that_waits_for_a_person_counts_nothing() -> None:
    retakes = Retakes(fake_agent_stores().records)
    for _ in range(2 * MOST_TIMES):
        assert await taken(retakes, BEGUN, "waiting") == ""


async def _begun(stage: LiveStage) -> RunId:
    hold = Hold()
    stage.pool.play([Delta(text="half"), hold])
    follower = await stage.start("go", new={"is_background": True})
    await hold.is_reached.wait()
    return follower.run


async def _again(stage: LiveStage) -> None:
    """Start another server, in which the run gets as far as before."""
    hold = Hold()
    stage.pool.play([Delta(text="half"), hold])
    stage.restart()
    assert await stage.service.resume_all() == 1
    await hold.is_reached.wait()


async def test_the_run_ends_as_failed_and_says_why() -> None:
    async with live_stage() as stage:
        run = await _begun(stage)
        for _ in range(MOST_TIMES):
            await stage.kill()
            await _again(stage)
        await stage.kill()
        stage.restart()
        await stage.service.resume_all()
        record = await stage.service.wait(LOCAL_TENANT, run, 4)

        assert record.status == "failed"
        assert record.fault is not None
        assert "got no further" in record.fault.message
        assert await stage.records.list_records(LOCAL_TENANT, "retaken") == []


async def test_servers_that_are_stopped_do_not_count() -> None:
    async with live_stage() as stage:
        run = await _begun(stage)
        for _ in range(2 * MOST_TIMES):
            await stage.service.stop(0.0)
            await _again(stage)
        await stage.service.stop(0.0)
        stage.restart()
        stage.pool.play(saying("whole"))
        await stage.service.resume_all()

        assert (await stage.service.wait(LOCAL_TENANT, run, 4)).status == "completed"
