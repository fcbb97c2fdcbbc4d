"""/api/policies: which policies decide, what they would say, and reading them anew."""

from collections.abc import Sequence

import anyio
import anyio.to_thread
import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.deps import DEPS
from runtime.api.errors import Refusal, Refused, invalid
from runtime.api.reach import Entry, json_answer
from runtime.core.gate.policy_words import GateParts
from runtime.core.gate.principals import OWNER
from runtime.core.gate.question_form import QuestionForm, read_question, read_time
from runtime.core.gate.words import Question
from runtime.core.tools import Caller, Hub, Tool, resource_of

_LOOK_S = 10.0
"""For a server that has to be started before it says what its tools are like; clients wait 15 s."""


def gate_of(request: web.Request) -> GateParts:
    """Return the gate with its parts. Raises Refused where the server was started without it."""
    parts = request.app[DEPS].gate
    if parts is None:
        message = "This server runs without a gate. Its operator finds the cause in the log."
        raise Refused(Refusal(status=503, type="server_error", code="gate_closed", message=message))
    return parts


async def get_policies(request: web.Request) -> web.Response:
    """Show the policies that decide, and what is wrong with newer files."""
    return json_answer(gate_of(request).policies.state())


async def post_explain(request: web.Request) -> web.Response:
    """Say what would be decided about a question, by which policies, and why."""
    form = await read_body(request, QuestionForm)
    policies = gate_of(request).policies
    question = await _as_it_is(request, form)
    try:
        explained = await anyio.to_thread.run_sync(policies.explain, question, read_time(form))
    except (ValueError, OverflowError, OSError) as problem:  # times beyond the calendar
        raise invalid(f"This question cannot be explained: {problem}.", None) from problem
    return json_answer(explained)


async def _as_it_is(request: web.Request, form: QuestionForm) -> Question:
    """Return the question with what the hub knows of its tool; what the form says of it goes before."""
    question = read_question(form)
    opening = request.app[DEPS].tools
    if opening is None or question.resource.kind != "Tool":
        return question

    tool = await _find_tool((await opening()).hub, form.resource)
    if tool is None:
        return question
    attributes = {**resource_of(tool).attributes, **form.attributes}
    resource = msgspec.structs.replace(question.resource, attributes=attributes)
    return msgspec.structs.replace(question, resource=resource)


async def _find_tool(hub: Hub, full_name: str) -> Tool | None:
    """Look among the tools that wait for approval, then among those of the server that the name has."""
    waiting = (each.tool for each in hub.changes())
    found = next((each for each in waiting if each.full_name == full_name), None)
    if found is not None:
        return found

    server = full_name.removeprefix("mcp__").partition("__")[0]
    offered: Sequence[Tool] = ()
    with anyio.move_on_after(_LOOK_S):
        offered = await hub.tools(Caller(principal=OWNER, door="console", servers=frozenset({server})))
    return next((each for each in offered if each.full_name == full_name), None)


async def post_reload(request: web.Request) -> web.Response:
    """Read the files again now; a broken set is told, the last good one stays."""
    return json_answer(await gate_of(request).policies.reload())


ROUTES: tuple[Entry, ...] = (
    ("GET", "/api/policies", "observe", get_policies),
    ("POST", "/api/policies/explain", "observe", post_explain),
    ("POST", "/api/policies/reload", "operate", post_reload),
)
