"""/api/mcp/…: the servers that Lar uses, their tools, and what waits for a person's approval."""

from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.deps import PRINCIPAL
from runtime.api.reach import Entry, json_answer, toolbox_of
from runtime.core.errors import Fault, NotFound
from runtime.core.ids import QuestionId
from runtime.core.tools import Caller, ElicitationAnswer

SERVERS = "/api/mcp/servers"


class NewServerBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server to take up."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    definition: dict[str, Any]
    """As `mcp.json` has it."""


class ApprovalBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tool may be called from now on, as somebody has seen it."""

    tool: str
    digest: str


class AnswerBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the person says to a server's question."""

    action: Literal["accept", "decline", "cancel"]
    content: dict[str, Any] | None = None


async def get_servers(request: web.Request) -> web.Response:
    """List the servers."""
    toolbox = await toolbox_of(request)
    await toolbox.servers.refresh()
    return json_answer({"servers": toolbox.hub.servers()})


async def get_server(request: web.Request) -> web.Response:
    """Describe one server."""
    name = request.match_info["name"]
    toolbox = await toolbox_of(request)
    await toolbox.servers.refresh()
    for each in toolbox.hub.servers():
        if each.name == name:
            return json_answer(each)

    message = f"There is no server '{name[:100]}'. 'lar mcp list' shows those there are."
    raise NotFound(Fault(code="not_found", message=message))


async def post_server(request: web.Request) -> web.Response:
    """Take a server up, and keep it in mcp.json."""
    body = await read_body(request, NewServerBody)
    return json_answer(await (await toolbox_of(request)).servers.add(body.name, body.definition), status=201)


async def delete_server(request: web.Request) -> web.Response:
    """Forget a server, and what was approved of it."""
    await (await toolbox_of(request)).servers.remove(request.match_info["name"])
    return web.Response(status=204)


async def post_test(request: web.Request) -> web.Response:
    """Connect a server anew, and tell what came of it."""
    return json_answer(await (await toolbox_of(request)).hub.test(request.match_info["name"]))


async def post_login(request: web.Request) -> web.Response:
    """Begin a login at a remote server, and tell where the person must go."""
    return json_answer({"url": await (await toolbox_of(request)).servers.login(request.match_info["name"])})


async def get_callback(request: web.Request) -> web.Response:
    """End a login: the person's browser comes back here. The state, which nobody can guess, is the key."""
    query = request.query
    if "error" in query or "code" not in query:
        text = f"The login was refused: {query.get('error_description') or query.get('error') or 'no reason'}"
        return web.Response(status=400, text=text[:500])

    server = (await toolbox_of(request)).servers.finish_login(
        query.get("state", ""), query["code"], query.get("iss")
    )
    return web.Response(text=f"Lar is logged in at '{server}'. You can close this page.")


async def get_changes(request: web.Request) -> web.Response:
    """List the tools that wait for approval."""
    return json_answer({"changes": (await toolbox_of(request)).hub.changes()})


async def post_approval(request: web.Request) -> web.Response:
    """Let a tool be called as it was seen."""
    body = await read_body(request, ApprovalBody)
    await (await toolbox_of(request)).hub.approve(request.match_info["name"], body.tool, body.digest)
    return web.Response(status=204)


async def get_tools(request: web.Request) -> web.Response:
    """List what this principal may call or ask for."""
    caller = Caller(principal=request[PRINCIPAL], door="api")
    return json_answer({"tools": await (await toolbox_of(request)).hub.tools(caller)})


async def get_questions(request: web.Request) -> web.Response:
    """List what servers ask the person now."""
    return json_answer({"questions": (await toolbox_of(request)).questions.list_open()})


async def post_answer(request: web.Request) -> web.Response:
    """Answer a server's question."""
    answer = await read_body(request, AnswerBody)
    content = answer.content if answer.action == "accept" else None
    said = ElicitationAnswer(action=answer.action, content=content)
    (await toolbox_of(request)).questions.answer(QuestionId(request.match_info["id"]), said)
    return web.Response(status=204)


SERVER_ROUTES: tuple[Entry, ...] = (
    ("GET", SERVERS, "observe", get_servers),
    ("POST", SERVERS, "operate", post_server),
    ("GET", f"{SERVERS}/{{name}}", "observe", get_server),
    ("DELETE", f"{SERVERS}/{{name}}", "operate", delete_server),
    ("POST", f"{SERVERS}/{{name}}/test", "operate", post_test),
    ("POST", f"{SERVERS}/{{name}}/login", "operate", post_login),
    ("GET", "/api/mcp/callback", "public", get_callback),
    ("POST", f"{SERVERS}/{{name}}/approve", "operate", post_approval),
    ("GET", "/api/mcp/changes", "observe", get_changes),
    ("GET", "/api/mcp/tools", "infer", get_tools),
    ("GET", "/api/mcp/questions", "operate", get_questions),
    ("POST", "/api/mcp/questions/{id}/answer", "operate", post_answer),
)
