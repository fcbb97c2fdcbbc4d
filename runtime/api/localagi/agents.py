"""LocalAGI's routes for agents: made, shown, changed, paused, removed, taken out and taken in."""

from typing import Any

import msgspec
from aiohttp import web

from runtime.api.agents.reach import agents_of
from runtime.api.bodies import read_content
from runtime.api.deps import DEPS, PRINCIPAL
from runtime.api.errors import invalid
from runtime.api.localagi.answers import done
from runtime.api.localagi.config import (
    OWN_SERVERS,
    Config,
    actions_of,
    agent_of_config,
    changed_agent,
    config_of,
    metadata,
)
from runtime.api.multipart import FormFile, open_form
from runtime.api.reach import Entry, json_answer, tenant_of, toolbox_of
from runtime.core.agents.definition import AgentState
from runtime.core.tools import Caller

AGENT = "/api/agent"
_LARGEST_BYTES = 1_000_000


async def post_agent(request: web.Request) -> web.Response:
    """Make an agent."""
    config = _config(await read_content(request))
    agent, _ = agent_of_config(config, await _servers(request, config))
    await agents_of(request).book.create(tenant_of(request), agent)
    return done()


async def get_agent(request: web.Request) -> web.Response:
    """Tell whether an agent is active."""
    return json_answer({"active": not (await _state(request)).is_paused})


async def get_config(request: web.Request) -> web.Response:
    """Show an agent's configuration."""
    return json_answer(config_of((await _state(request)).agent))


async def put_config(request: web.Request) -> web.Response:
    """Change an agent."""
    state = await _state(request)
    config = _config(await read_content(request))
    agent, _ = changed_agent(state.agent, config, await _servers(request, config))
    if agent != state.agent:
        await agents_of(request).book.change(tenant_of(request), agent, state.version)
    return done()


async def get_metadata(request: web.Request) -> web.Response:
    """Describe the fields of a configuration."""
    agents_of(request)
    return json_answer(metadata())


async def delete_agent(request: web.Request) -> web.Response:
    """Forget an agent; its runs stay."""
    await agents_of(request).book.remove(tenant_of(request), _name(request))
    return done()


async def put_pause(request: web.Request) -> web.Response:
    """Let nothing start it."""
    await agents_of(request).book.pause(tenant_of(request), _name(request), is_paused=True)
    return done()


async def put_start(request: web.Request) -> web.Response:
    """Let it be started again."""
    await agents_of(request).book.pause(tenant_of(request), _name(request), is_paused=False)
    return done()


async def get_export(request: web.Request) -> web.Response:
    """Give an agent's configuration as a file."""
    agent = (await _state(request)).agent
    headers = {"Content-Disposition": f'attachment; filename="{agent.name}.json"'}
    return json_answer(config_of(agent), headers=headers)


async def post_import(request: web.Request) -> web.Response:
    """Take an agent in from a file."""
    content: bytes | None = None
    async for part in open_form(request).parts():
        if isinstance(part, FormFile) and part.name == "file" and content is None:
            content = await _content(part)
        else:
            raise invalid("The form must hold exactly one file, in the field 'file'.", part.name[:80])
    if content is None:
        raise invalid("Missing required parameter: 'file'.", "file", code="missing_required_parameter")

    config = _config(content)
    agent, _ = agent_of_config(config, await _servers(request, config))
    await agents_of(request).book.create(tenant_of(request), agent)
    return done()


async def get_actions(request: web.Request) -> web.Response:
    """List what a configuration may name as actions: the servers whose tools the asker may use."""
    return json_answer(sorted(await _offered(request)))


async def _offered(request: web.Request) -> set[str]:
    hub = (await toolbox_of(request)).hub
    tools = await hub.tools(Caller(principal=request[PRINCIPAL], door="api"))
    return {each.server for each in tools}


async def _servers(request: web.Request, config: Config) -> frozenset[str]:
    """Return which actions are servers. The tools are opened only where one may be somebody else's."""
    if OWN_SERVERS.issuperset(actions_of(config)) or request.app[DEPS].tools is None:
        return OWN_SERVERS
    return OWN_SERVERS | await _offered(request)


async def _content(part: FormFile) -> bytes:
    content = bytearray()
    async for piece in part.chunks():
        content += piece
        if len(content) > _LARGEST_BYTES:
            raise invalid(f"The file is larger than {_LARGEST_BYTES} bytes, which no agent is.", "file")
    return bytes(content)


def _config(content: bytes) -> Config:
    try:
        told: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise invalid(f"The configuration is not valid JSON: {problem}.", None, "invalid_json") from problem
    if not isinstance(told, dict):
        raise invalid("The configuration must be a JSON object.", None)
    if not told.get("name") and "system_prompt" not in told:
        raise invalid("Missing required parameter: 'name'.", "name", code="missing_required_parameter")
    return told


async def _state(request: web.Request) -> AgentState:
    return await agents_of(request).book.find(tenant_of(request), _name(request))


def _name(request: web.Request) -> str:
    return request.match_info["name"]


_ONE = f"{AGENT}/{{name}}"

AGENT_ROUTES: tuple[Entry, ...] = (
    ("POST", f"{AGENT}/create", "operate", post_agent),
    ("GET", f"{AGENT}/config/metadata", "infer", get_metadata),
    ("GET", "/api/meta/agent/config", "infer", get_metadata),
    ("GET", _ONE, "infer", get_agent),
    ("DELETE", _ONE, "operate", delete_agent),
    ("GET", f"{_ONE}/config", "operate", get_config),
    ("PUT", f"{_ONE}/config", "operate", put_config),
    ("PUT", f"{_ONE}/pause", "operate", put_pause),
    ("PUT", f"{_ONE}/start", "operate", put_start),
    ("GET", "/api/actions", "infer", get_actions),
    ("GET", "/settings/export/{name}", "operate", get_export),
    ("POST", "/settings/import", "operate", post_import),
)
