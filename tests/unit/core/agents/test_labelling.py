"""Runs that are started through others carry labels, of models and of agents alike."""

from pathlib import Path

import anyio

from runtime.core.agents.definition import Agent
from runtime.core.agents.items import Said, Text
from runtime.core.agents.labelling import labelled
from runtime.core.agents.parts import AgentParts
from runtime.core.agents.plans import Plan
from runtime.core.agents.ports import NewRun, RunFollower, RunQuery
from runtime.core.agents.starting import Wish
from runtime.core.gate.principals import OWNER
from runtime.core.ids import LOCAL_TENANT, ModelId, RunId
from tests.kit.agent_home import agent_home
from tests.kit.fake_agent_store import FakeRunStore

SAID = (Said(id="msg_1", role="user", parts=(Text(text="Hi"),)),)


def left(follower: RunFollower) -> RunId:
    """Leave a run, and return it."""
    follower.aclose()
    return follower.run


async def test_every_run_has_the_labels_beside_its_own(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        home = agent_home(tmp_path, tasks)
        await home.book.create(LOCAL_TENANT, Agent(name="clerk", labels={"team": "x"}))
        parts = AgentParts(
            runs=home.runs,
            store=FakeRunStore(),
            sessions=home.sessions,
            records=home.records,
            book=home.book,
            starter=home.starter,
        )
        marked = labelled(parts, {"line": "1"})
        plan = Plan(principal=OWNER, models=(ModelId("m"),), labels={"own": "y"})
        new = NewRun(plan=plan, input=SAID, is_background=True)
        bare = left(await marked.runs.start(new))
        agent = left(await marked.starter.start(Wish(agent="clerk", principal=OWNER, input=SAID)))
        assert home.runs.runs[bare].new.plan.labels == {"own": "y", "line": "1"}
        assert home.runs.runs[agent].new.plan.labels == {"team": "x", "line": "1"}
        found = await marked.runs.list_runs(LOCAL_TENANT, RunQuery(labels={"line": "1"}))
        assert {each.id for each in found} == {bare, agent}
        unmarked = left(await parts.runs.start(new))
        assert home.runs.runs[unmarked].new.plan.labels == {"own": "y"}
        tasks.cancel_scope.cancel()
