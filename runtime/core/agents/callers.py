"""On whose behalf a run calls: the same words for the hub, and for the question to a person. Pure."""

from typing import get_args

from runtime.core.agents.items import Called
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.results import arguments_of
from runtime.core.gate.words import GateResource, Question
from runtime.core.ids import CallId, RunId
from runtime.core.tools import Caller, Door, Tool, resource_of

_DOORS: dict[str, Door] = {each: each for each in get_args(Door)} | {"responses": "api", "cli": "console"}


def door_of(plan: Plan) -> Door:
    """Return the door as policies know it."""
    return _DOORS.get(plan.door, "agent")


def caller_of(plan: Plan, run: RunId, session: str | None) -> Caller:
    """Return who calls in a run."""
    return Caller(principal=plan.principal, door=door_of(plan), session=session, run=run, agent=plan.agent)


def question_of(caller: Caller, call: Called, tool: PlannedTool, known: Tool | None) -> Question:
    """Return what a person is asked about a call; of a hub's tool, what the gate asks about it."""
    resource = GateResource(
        kind="Tool",
        id=tool.full_name or tool.name,
        attributes={"server": tool.server, "name": tool.tool or tool.name},
    )
    return Question(
        principal=caller.principal,
        action="call_tool",
        resource=resource if known is None else resource_of(known),
        arguments=arguments_of(call),
        door=caller.door,
        session=caller.session,
        run=caller.run,
        agent=caller.agent,
        call=CallId(call.call_id),
    )
