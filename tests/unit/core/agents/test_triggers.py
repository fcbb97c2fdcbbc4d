"""What starts agents by itself: each event starts its agent once, also over a crash and a restart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from runtime.core.agent_facts import AgentFact, AgentFinished, TriggerFailed, TriggerFired
from runtime.core.agents.definition import Agent, Trigger
from runtime.core.agents.items import Said, Text
from runtime.core.agents.starting import Wish
from runtime.core.agents.triggers.gathering import LONGEST_S, QUIET_S, gather
from runtime.core.agents.triggers.service import TriggerService
from runtime.core.agents.triggers.starts import DEPTH_LABEL, START_LABEL, Starts
from runtime.core.errors import NotFound
from runtime.core.gate.principals import OWNER
from runtime.core.ids import LOCAL_TENANT, RunId, TenantId
from tests.kit.agent_home import AgentHome, FakeCollections, agent_home, until_blocked


class Stage:
    def __init__(self, home: AgentHome) -> None:
        self.home = home
        self.facts: list[AgentFact] = []
        self.starts = Starts(home.starter, home.runs, home.records, home.sessions, home.clock, self.note)
        self.service = self.again()

    def note(self, fact: AgentFact, tenant: TenantId, run: RunId | None) -> None:
        self.facts.append(fact)

    def again(self) -> TriggerService:
        home = self.home
        collections = FakeCollections()
        return TriggerService(
            home.book,
            self.starts,
            home.runs,
            collections,  # type: ignore[arg-type]  # not reached
            home.bus,
            home.clock,
        )

    @property
    def texts(self) -> list[str]:
        return [fake.new.input[0].text for fake in self.home.runs.runs.values()]  # type: ignore[union-attr]  # messages

    async def at(self, seconds: float) -> None:
        """Let the clock be so much later, and look."""
        self.home.clock.advance(seconds)
        self.service.wake()
        await until_blocked()


@asynccontextmanager
async def living(folder: Path, *agents: Agent) -> AsyncIterator[Stage]:
    async with anyio.create_task_group() as tasks:
        stage = Stage(agent_home(folder, tasks))
        for each in agents:
            await stage.home.book.create(LOCAL_TENANT, each)
        tasks.start_soon(stage.service.run_forever)
        await until_blocked()
        yield stage
        tasks.cancel_scope.cancel()


def hourly(**more: object) -> Agent:
    return Agent(name="clerk", triggers=(Trigger(every="1h", message="Sort. ({{ event }})"),), **more)  # type: ignore[arg-type]  # as told


async def test_times_start_the_agent_with_its_message(tmp_path: Path) -> None:
    async with living(tmp_path, hourly()) as stage:
        assert stage.texts == []
        await stage.at(3600)
        await stage.at(1)

        assert len(stage.texts) == 1
        assert stage.texts[0].startswith("Sort. (")
        assert isinstance(stage.facts[0], TriggerFired)


async def test_a_paused_agent_is_not_started_and_starts_again_afterwards(tmp_path: Path) -> None:
    async with living(tmp_path, hourly()) as stage:
        await stage.home.book.pause(LOCAL_TENANT, "clerk", is_paused=True)
        await stage.at(3700)
        assert stage.texts == []

        await stage.home.book.pause(LOCAL_TENANT, "clerk", is_paused=False)
        await stage.at(1)
        assert len(stage.texts) == 1


async def test_a_start_that_was_cut_off_is_made_up_for_once(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        stage = Stage(agent_home(tmp_path, tasks))
        agent = hourly()
        await stage.home.book.create(LOCAL_TENANT, agent)
        refuse, stage.home.runs.start = stage.home.runs.start, _killed  # type: ignore[method-assign, assignment]  # the crash
        with pytest.raises(KeyboardInterrupt):
            await stage.starts.start(LOCAL_TENANT, agent, agent.triggers[0], "noon", "key-1")
        stage.home.runs.start = refuse  # type: ignore[method-assign]  # and the restart

        for _ in range(2):
            await stage.starts.finish_pending(LOCAL_TENANT, agent, agent.triggers[0])

        assert stage.texts == ["Sort. (noon)"]


async def _killed(*_: object) -> None:
    raise KeyboardInterrupt


async def test_the_same_event_starts_its_agent_once(tmp_path: Path) -> None:
    agent = Agent(name="clerk", triggers=(Trigger(webhook="mail"),))
    async with living(tmp_path, agent) as stage:
        first = await stage.service.call(LOCAL_TENANT, "clerk", "mail", "a letter", "msg_1")
        second = await stage.service.call(LOCAL_TENANT, "clerk", "mail", "a letter", "msg_1")
        third = await stage.service.call(LOCAL_TENANT, "clerk", "mail", "another", "msg_2")

        assert first == second != third
        assert stage.texts == ["a letter", "another"]
        with pytest.raises(NotFound, match="no webhook 'post'"):
            await stage.service.call(LOCAL_TENANT, "clerk", "post", "", "msg_3")


async def test_the_end_of_a_run_starts_who_waits_for_it(tmp_path: Path) -> None:
    follower = Agent(name="editor", triggers=(Trigger(after="clerk", message="Read: {{ event }}"),))
    async with living(tmp_path, Agent(name="clerk"), follower) as stage:
        run = await _ended_run(stage, "clerk")
        stage.home.bus.publish(AgentFinished(agent="clerk"), run_id=run)
        stage.home.bus.publish(AgentFinished(agent="clerk"), run_id=run)
        await until_blocked()

        assert len(stage.texts) == 2
        assert stage.texts[1].startswith(f"Read: clerk ({run}) is completed")


async def test_ends_that_nobody_heard_are_caught_up_with(tmp_path: Path) -> None:
    follower = Agent(name="editor", triggers=(Trigger(after="clerk"),))
    async with living(tmp_path, Agent(name="clerk"), follower) as stage:
        await _ended_run(stage, "clerk")
        trigger = follower.triggers[0]
        await stage.starts.move(LOCAL_TENANT, follower, trigger, 0.0)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.again().run_forever)
            await until_blocked()
            tasks.cancel_scope.cancel()

        assert len(stage.texts) == 2


async def test_ends_are_caught_up_with_in_their_order_and_the_mark_never_goes_back(tmp_path: Path) -> None:
    follower = Agent(name="editor", triggers=(Trigger(after="clerk"),))
    async with living(tmp_path, Agent(name="clerk"), follower) as stage:
        early, late = await _ended_run(stage, "clerk"), await _ended_run(stage, "clerk")
        for run, at in ((early, 9_000.0), (late, 5_000.0)):  # what was begun first has ended last
            fake = stage.home.runs.runs[run]
            assert fake.ended is not None
            fake.ended = msgspec.structs.replace(fake.ended, at=at)
        await stage.starts.move(LOCAL_TENANT, follower, follower.triggers[0], 1.0)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.again().run_forever)
            await until_blocked()
            tasks.cancel_scope.cancel()

        assert [text.split()[1] for text in stage.texts[2:]] == [f"({late})", f"({early})"]
        mark = await stage.starts.mark(LOCAL_TENANT, follower, follower.triggers[0])
        assert mark.last == 9_000.0


async def test_a_start_that_is_made_up_for_keeps_its_depth(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        stage = Stage(agent_home(tmp_path, tasks))
        agent = hourly()
        await stage.home.book.create(LOCAL_TENANT, agent)
        start, stage.home.runs.start = stage.home.runs.start, _killed  # type: ignore[method-assign, assignment]  # the crash
        with pytest.raises(KeyboardInterrupt):
            await stage.starts.start(LOCAL_TENANT, agent, agent.triggers[0], "noon", "key-1", depth=3)
        stage.home.runs.start = start  # type: ignore[method-assign]  # and the restart

        await stage.starts.finish_pending(LOCAL_TENANT, agent, agent.triggers[0])

        assert stage.home.runs.last.new.plan.labels[DEPTH_LABEL] == "3"


async def test_agents_that_start_each_other_come_to_an_end(tmp_path: Path) -> None:
    ping = Agent(name="ping", triggers=(Trigger(after="pong"),))
    pong = Agent(name="pong", triggers=(Trigger(after="ping"),))
    async with living(tmp_path, ping, pong) as stage:
        await _ended_run(stage, "ping")
        for _ in range(20):
            for run, fake in list(stage.home.runs.runs.items()):
                stage.home.runs.end(fake)
                stage.home.bus.publish(AgentFinished(agent=fake.new.plan.agent), run_id=run)
            await until_blocked()

        assert len(stage.texts) == 1 + ping.limits.depth


async def test_what_cannot_start_is_told(tmp_path: Path) -> None:
    async with living(tmp_path, hourly(knowledge=("docs",))) as stage:
        await stage.at(3600)

        (fact,) = stage.facts
        assert isinstance(fact, TriggerFailed)
        assert "no collection 'docs'" in fact.message


async def test_runs_of_a_trigger_can_share_a_conversation(tmp_path: Path) -> None:
    agent = Agent(name="clerk", triggers=(Trigger(webhook="mail", session="letters"),))
    async with living(tmp_path, agent) as stage:
        for number in range(2):
            await stage.service.call(LOCAL_TENANT, "clerk", "mail", "x", f"msg_{number}")

        sessions = {fake.new.session for fake in stage.home.runs.runs.values()}
        assert len(sessions) == 1
        assert None not in sessions


async def test_starts_are_found_by_their_label(tmp_path: Path) -> None:
    agent = Agent(name="clerk", triggers=(Trigger(webhook="mail"),), labels={"team": "office"})
    async with living(tmp_path, agent) as stage:
        await stage.service.call(LOCAL_TENANT, "clerk", "mail", "x", "msg_1")

        labels = stage.home.runs.last.new.plan.labels
        assert labels[START_LABEL] == "hook:msg_1"
        assert labels["team"] == "office"


def test_many_changes_are_gathered_until_it_is_quiet() -> None:
    gathered = None
    for number in range(30):
        gathered = gather(gathered, f"+{number % 25}.txt", float(number))

    assert gathered is not None
    assert gathered.due_at == min(29 + QUIET_S, LONGEST_S)
    assert gathered.changes == 25
    assert gathered.text.endswith("more")


async def _ended_run(stage: Stage, agent: str) -> RunId:
    said = Said(id="msg_1", role="user", parts=(Text(text="go"),))
    follower = await stage.home.starter.start(Wish(agent=agent, principal=OWNER, input=(said,)))
    follower.aclose()
    stage.home.runs.end(stage.home.runs.runs[follower.run])
    return follower.run
