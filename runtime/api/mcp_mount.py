"""MCP over HTTP: `/mcp`, the older `/sse` with `/messages/`, and who may come in, as RFC 9728 tells it.

Keys, roles, Host and Origin are checked before, as for every route; what is said in MCP is not known here.
"""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from runtime.api.asgi import run_asgi
from runtime.api.bodies import read_content
from runtime.api.deps import DEPS, PRINCIPAL
from runtime.api.errors import not_found
from runtime.api.reach import toolbox_of
from runtime.core.doors import McpDoors, Receive, Scope, Send
from runtime.core.gate.principals import Permission, Principal

MCP_PATH = "/mcp"
SSE_PATH = "/sse"
MESSAGES_PATH = "/messages/"
_METADATA_PATH = "/.well-known/oauth-protected-resource"
_GUARDED = frozenset({MCP_PATH, SSE_PATH, MESSAGES_PATH})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Door = Callable[[Principal, Scope, Receive, Send], Awaitable[None]]


async def on_mcp(request: web.Request) -> web.StreamResponse:
    """Serve the streamable HTTP transport."""
    return await _enter((await toolbox_of(request)).doors.http, request)


async def on_sse(request: web.Request) -> web.StreamResponse:
    """Serve a connection of the older transport."""
    return await _enter((await _with_sse(request)).sse, request)


async def on_message(request: web.Request) -> web.StreamResponse:
    """Take a message of the older transport."""
    return await _enter((await _with_sse(request)).messages, request)


async def get_metadata(request: web.Request) -> web.Response:
    """Describe what is protected, and how: keys that its owner makes; no authorisation server gives them."""
    tail = request.path.removeprefix(_METADATA_PATH) or MCP_PATH
    return web.json_response(
        {
            "resource": f"{_origin_of(request)}{tail}",
            "resource_name": "Lar",
            "bearer_methods_supported": ["header"],
        },
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


MCP_ROUTES: tuple[tuple[str, str, Permission, Handler], ...] = (
    ("POST", MCP_PATH, "infer", on_mcp),
    ("GET", MCP_PATH, "infer", on_mcp),
    ("DELETE", MCP_PATH, "infer", on_mcp),
    ("GET", SSE_PATH, "infer", on_sse),
    ("POST", MESSAGES_PATH, "infer", on_message),
    ("GET", _METADATA_PATH, "public", get_metadata),
    ("GET", f"{_METADATA_PATH}{MCP_PATH}", "public", get_metadata),
    ("GET", f"{_METADATA_PATH}{SSE_PATH}", "public", get_metadata),
)


async def add_challenge(request: web.Request, response: web.StreamResponse) -> None:
    """Tell an MCP client without a key where it is said which key it needs (RFC 9728)."""
    if response.status == 401 and request.path in _GUARDED:
        where = f"{_origin_of(request)}{_METADATA_PATH}{SSE_PATH if request.path != MCP_PATH else MCP_PATH}"
        response.headers[hdrs.WWW_AUTHENTICATE] = f'Bearer realm="lar", resource_metadata="{where}"'


async def _enter(door: _Door, request: web.Request) -> web.StreamResponse:
    content = await read_content(request)
    principal = request[PRINCIPAL]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await door(principal, scope, receive, send)

    return await run_asgi(app, request, content)


async def _with_sse(request: web.Request) -> McpDoors:
    if not request.app[DEPS].has_sse:
        raise not_found(
            "The older transport of MCP is off; 'sse = true' under [mcp] in lar.toml turns it on. Clients "
            f"that know streamable HTTP use {MCP_PATH}.",
            "sse_off",
        )

    return (await toolbox_of(request)).doors


def _origin_of(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"
