"""/api/agents: definitions are listed, made, changed, paused, taken out and taken in.

A definition comes and goes as JSON, or as the YAML of its file (`application/yaml`), comments included.
"""

import msgspec
from aiohttp import web

from runtime.api.agents.reach import agents_of
from runtime.api.bodies import read_content
from runtime.api.errors import invalid
from runtime.api.reach import Entry, json_answer, tenant_of
from runtime.core.agents.definition import Agent, AgentState
from runtime.core.agents.instructions import check_templates
from runtime.core.agents.localagi import from_localagi, is_localagi
from runtime.core.agents.reading import read_agent, schema

AGENTS = "/api/agents"
_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that was taken in from somewhere else."""

    agent: AgentState
    notes: tuple[str, ...] = ()
    """What could not be taken over, each with what to do instead."""


async def get_agents(request: web.Request) -> web.Response:
    """List the agents; their number and which are active is said again, as LocalAGI's clients read it."""
    found = await agents_of(request).book.list_agents(tenant_of(request))
    statuses = {each.agent.name: not each.is_paused for each in found}
    return json_answer({"agents": found, "agentCount": len(found), "statuses": statuses})


async def get_schema(request: web.Request) -> web.Response:
    """Tell the JSON Schema of a definition."""
    agents_of(request)
    return json_answer(schema())


async def get_agent(request: web.Request) -> web.Response:
    """Describe one agent."""
    return json_answer(await agents_of(request).book.find(tenant_of(request), _name(request)))


async def get_export(request: web.Request) -> web.Response:
    """Give the definition as its file holds it."""
    text = await agents_of(request).book.text(tenant_of(request), _name(request))
    return web.Response(text=text, content_type="application/yaml", charset="utf-8")


async def post_agent(request: web.Request) -> web.Response:
    """Make an agent."""
    agent, text = await _given(request)
    book, tenant = agents_of(request).book, tenant_of(request)
    state = await book.create(tenant, agent)
    if text is not None:
        state = await book.write_text(tenant, agent.name, text)
    _wake(request)
    return json_answer(state, status=201)


async def put_agent(request: web.Request) -> web.Response:
    """Put a definition in the place of the former, which `If-Match` may name by its version."""
    agent, text = await _given(request)
    if agent.name != _name(request):
        raise invalid(f"The body is of the agent '{agent.name}', not of '{_name(request)}'.", "name")

    version = request.headers.get("If-Match", "").strip('"') or None
    book, tenant = agents_of(request).book, tenant_of(request)
    state = await book.change(tenant, agent, version)
    if text is not None:
        state = await book.write_text(tenant, agent.name, text)
    _wake(request)
    return json_answer(state)


async def delete_agent(request: web.Request) -> web.Response:
    """Forget an agent; its runs stay."""
    await agents_of(request).book.remove(tenant_of(request), _name(request))
    return web.Response(status=204)


async def post_pause(request: web.Request) -> web.Response:
    """Let nothing start it."""
    return json_answer(
        await agents_of(request).book.pause(tenant_of(request), _name(request), is_paused=True)
    )


async def post_resume(request: web.Request) -> web.Response:
    """Let it be started again."""
    state = await agents_of(request).book.pause(tenant_of(request), _name(request), is_paused=False)
    _wake(request)
    return json_answer(state)


async def post_import(request: web.Request) -> web.Response:
    """Take an agent in: a definition of Lar's, or LocalAGI's JSON."""
    content = await _text(request)
    agent, notes = _taken(content)
    state = await agents_of(request).book.create(tenant_of(request), agent)
    return json_answer(Taken(agent=state, notes=notes), status=201)


def _taken(content: str) -> tuple[Agent, tuple[str, ...]]:
    try:
        told = msgspec.json.decode(content)
    except msgspec.DecodeError:
        told = None
    if isinstance(told, dict) and is_localagi(told):
        return from_localagi(told)
    return read_agent(content, "the request body"), ()


def _wake(request: web.Request) -> None:
    """Let triggers look at what has changed at once."""
    triggers = agents_of(request).triggers
    if triggers is not None:
        triggers.wake()


async def _given(request: web.Request) -> tuple[Agent, str | None]:
    """Return the definition of the body; with its text where that is what is kept."""
    text = await _text(request)
    agent = read_agent(text, "the request body")  # JSON is YAML
    check_templates(agent)
    return agent, text if request.content_type in _YAML else None


async def _text(request: web.Request) -> str:
    try:
        return (await read_content(request)).decode()
    except UnicodeDecodeError as problem:
        raise invalid("The request body is not valid UTF-8.", None) from problem


def _name(request: web.Request) -> str:
    return request.match_info["name"]


DEFINITION_ROUTES: tuple[Entry, ...] = (
    ("GET", AGENTS, "infer", get_agents),
    ("POST", AGENTS, "operate", post_agent),
    ("GET", f"{AGENTS}/schema", "infer", get_schema),
    ("POST", f"{AGENTS}/import", "operate", post_import),
    ("GET", f"{AGENTS}/{{name}}", "infer", get_agent),
    ("PUT", f"{AGENTS}/{{name}}", "operate", put_agent),
    ("DELETE", f"{AGENTS}/{{name}}", "operate", delete_agent),
    ("GET", f"{AGENTS}/{{name}}/export", "operate", get_export),
    ("POST", f"{AGENTS}/{{name}}/pause", "operate", post_pause),
    ("POST", f"{AGENTS}/{{name}}/resume", "operate", post_resume),
)
