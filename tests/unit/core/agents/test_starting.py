"""How agents are started: what they are given, what stands against it, and that servers are given back."""

from pathlib import Path

import anyio
import pytest

from runtime.core.agents.definition import Agent
from runtime.core.agents.items import Said, Text
from runtime.core.agents.starting import Recalled, Wish
from runtime.core.errors import Conflict, Fault, LarError, NotFound
from runtime.core.gate.principals import OWNER, Principal
from runtime.core.ids import LOCAL_TENANT
from tests.kit.agent_home import AgentHome, agent_home, until_blocked
from tests.kit.fake_agent_runs import FakeRun


def wish(agent: str, **more: object) -> Wish:
    said = Said(id="msg_1", role="user", parts=(Text(text="What is new?"),))
    return Wish(agent=agent, principal=OWNER, input=(said,), **more)  # type: ignore[arg-type]  # as told


async def begun(home: AgentHome, wanted: Wish) -> FakeRun:
    follower = await home.starter.start(wanted)
    follower.aclose()
    return home.runs.runs[follower.run]


class FakeRecaller:
    def __init__(self, problem: LarError | None = None) -> None:
        self.problem = problem

    async def recall(
        self, principal: Principal, agent: Agent, question: str, session: str | None
    ) -> Recalled:
        if self.problem is not None:
            raise self.problem
        return Recalled(f"about: {question}", ("item_1",))


async def test_a_run_gets_the_plan_of_its_agent_and_what_was_looked_up(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        home = agent_home(tmp_path, tasks, FakeRecaller())
        await home.book.create(LOCAL_TENANT, Agent(name="clerk", instructions="Keep {{ user }}'s files."))

        fake = await begun(home, wish("clerk", trigger="cli"))

        new = fake.new
        assert (new.plan.agent, new.plan.instructions, new.trigger) == ("clerk", "Keep owner's files.", "cli")
        (told,) = new.context
        assert isinstance(told, Said)
        assert (told.author, told.role, told.text) == ("recall", "developer", "about: What is new?")


async def test_a_lookup_that_fails_is_told_in_the_run_and_does_not_stop_it(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        problem = LarError(Fault(code="store_damaged", message="the index is gone"))
        home = agent_home(tmp_path, tasks, FakeRecaller(problem))
        await home.book.create(LOCAL_TENANT, Agent(name="clerk"))

        fake = await begun(home, wish("clerk"))

        (told,) = fake.new.context
        assert "the index is gone" in told.text  # type: ignore[union-attr]  # a message


async def test_what_stands_against_a_run_is_said(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        home = agent_home(tmp_path, tasks)
        await home.book.create(LOCAL_TENANT, Agent(name="clerk"))
        await home.book.create(LOCAL_TENANT, Agent(name="faulty", model="gone"))
        await home.book.pause(LOCAL_TENANT, "clerk", is_paused=True)

        with pytest.raises(Conflict, match="lar agents resume clerk"):
            await home.starter.start(wish("clerk"))
        with pytest.raises(Conflict, match="no such model"):
            await home.starter.start(wish("faulty"))
        with pytest.raises(NotFound):
            await home.starter.start(wish("nobody"))
        assert home.runs.runs == {}


async def test_servers_of_its_own_are_there_until_the_run_has_ended(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        home = agent_home(tmp_path, tasks)
        agent = Agent(name="clerk", servers={"notes": {"command": "notes"}}, tools=("notes",))
        await home.book.create(LOCAL_TENANT, agent)

        fake = await begun(home, wish("clerk"))
        assert home.source.lent == ["notes"]

        home.runs.end(fake)
        await until_blocked()
        assert home.source.lent == []


async def test_servers_are_given_back_where_the_run_cannot_begin(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        home = agent_home(tmp_path, tasks)
        agent = Agent(name="clerk", servers={"notes": {"command": "notes"}}, knowledge=("docs",))
        await home.book.create(LOCAL_TENANT, agent)

        with pytest.raises(LarError, match="no collection 'docs'"):
            await home.starter.start(wish("clerk"))
        assert home.source.lent == []


async def test_a_definition_that_comes_along_is_run_and_not_kept(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        home = agent_home(tmp_path, tasks)

        fake = await begun(home, wish("once", definition=Agent(name="once", instructions="Hi.")))

        assert fake.new.plan.instructions == "Hi."
        assert await home.book.list_agents(LOCAL_TENANT) == []


async def test_an_agent_without_history_continues_nothing(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        home = agent_home(tmp_path, tasks)
        await home.book.create(LOCAL_TENANT, Agent(name="clerk", history="none"))

        fake = await begun(home, wish("clerk", session="conv_1"))

        assert fake.new.session is None
