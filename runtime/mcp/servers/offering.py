"""What Lar's own servers have in common: tools as structs and functions, served as MCP in both eras.

Arguments are checked here against the tools' structs; what goes wrong is a result that a model can read, with
cause and fix. Who calls is told by `runtime.mcp.calling`: one server serves everybody.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

import mcp.types as wire
import msgspec
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from runtime.core.errors import LarError, StoreUnavailable
from runtime.core.gate.principals import Permission, decide_access
from runtime.core.tools import Caller, Progressed, ToolHints
from runtime.core.version import __version__
from runtime.mcp.calling import current_caller
from runtime.mcp.wire import annotations_of

logger = logging.getLogger(__name__)

Context = ServerRequestContext[Any, Any]


class Call(NamedTuple):
    """On whose behalf a tool works, and whom it tells how far it is."""

    caller: Caller
    report: Progressed


Work = Callable[[Any, Call], Awaitable[msgspec.Struct]]
"""What a tool does with its arguments. Raises LarError kinds, whose messages a model can read."""


class Offer(NamedTuple):
    """One tool: what it is called, takes and gives, does, and what a client may think of it."""

    name: str
    title: str
    description: str
    given: type[msgspec.Struct]
    result: type[msgspec.Struct]
    work: Work
    hints: ToolHints
    permission: Permission = "infer"
    """What the caller's role must include, as on the API."""

    def declared(self) -> wire.Tool:
        """Return the tool as MCP lists it."""
        return wire.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=schema_of(self.given),
            output_schema=schema_of(self.result),
            annotations=annotations_of(self.hints, self.title),
        )


READS = ToolHints(is_read_only=True, is_destructive=False, is_idempotent=True, is_open_world=False)
ADDS = ToolHints(is_read_only=False, is_destructive=False, is_idempotent=False, is_open_world=False)
CHANGES = ToolHints(is_read_only=False, is_destructive=True, is_idempotent=False, is_open_world=False)


class Readable(Protocol):
    """Resources of a server, each for the caller of the moment."""

    async def list_all(
        self, caller: Caller, params: wire.PaginatedRequestParams | None
    ) -> wire.ListResourcesResult:
        """List a page."""

    async def templates(self) -> wire.ListResourceTemplatesResult:
        """Tell how resources are addressed."""

    async def read(self, caller: Caller, uri: str) -> wire.ReadResourceResult:
        """Return the content of a resource. Raises MCPError."""


def require_caller() -> Caller:
    """Return who calls. Raises MCPError where nobody is known: then nobody may."""
    caller = current_caller()
    if caller is None:
        raise MCPError(wire.INVALID_REQUEST, "This call came to a server of Lar without its hub.")
    return caller


def tool_server(
    name: str,
    title: str,
    instructions: str,
    offers: Sequence[Offer],
    readable: Readable | None = None,
    who: Callable[[], Caller] = require_caller,
) -> Server[Any]:
    """Return a server of these tools, and of resources where there are any."""
    by_name = {each.name: each for each in offers}
    schemas = {each.name: schema_of(each.given) for each in offers}
    listed = [each.declared() for each in offers]

    async def list_tools(_: Context, __: wire.PaginatedRequestParams | None) -> wire.ListToolsResult:
        return wire.ListToolsResult(tools=listed)

    async def call_tool(context: Context, params: wire.CallToolRequestParams) -> wire.CallToolResult:
        offer = by_name.get(params.name)
        if offer is None:
            return failed(f"There is no tool '{params.name[:80]}'. There are: {', '.join(by_name)}.")

        async def report(done: float, total: float | None, message: str) -> None:
            await context.session.report_progress(done, total, message or None)

        return await _call(offer, params.arguments or {}, Call(who(), report))

    server: Server[Any] = Server(
        name,
        version=__version__,
        title=title,
        instructions=instructions,
        get_tool_input_schema=schemas.get,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    if readable is not None:
        _add_resources(server, readable, who)
    return server


def failed(message: str) -> wire.CallToolResult:
    """Return a result that tells a model what went wrong and what to do."""
    return wire.CallToolResult(content=[wire.TextContent(type="text", text=message)], is_error=True)


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON schema of a struct with its root in place, as MCP wants it."""
    schema = msgspec.json.schema(kind)
    definitions = schema.pop("$defs", {})
    root = definitions.pop(kind.__name__)
    root.pop("title", None)
    return {**root, "$defs": definitions} if definitions else root


def told(text: str, **limits: Any) -> Any:
    """Return what a field's description and bounds are, for `Annotated`."""
    return msgspec.Meta(description=text, **limits)


async def _call(offer: Offer, arguments: dict[str, Any], call: Call) -> wire.CallToolResult:
    denied = decide_access(call.caller.principal, offer.permission)
    if denied is not None:
        return failed(denied.message)

    try:
        given = msgspec.convert(arguments, offer.given)
    except msgspec.ValidationError as problem:
        hint = "Its input schema tells what it takes."
        return failed(f"The arguments of '{offer.name}' are wrong: {problem}. {hint}")

    try:
        result = await offer.work(given, call)
    except LarError as problem:
        return failed(problem.fault.message)
    except StoreUnavailable as problem:
        return failed(str(problem))
    except Exception:  # the border of a tool call: the model is told, the log has the rest
        logger.exception("a tool of Lar's own has failed", extra={"tool": offer.name})
        return failed(f"Lar itself failed in '{offer.name}'. Its log has the details.")

    encoded = msgspec.json.encode(result)
    return wire.CallToolResult(
        content=[wire.TextContent(type="text", text=encoded.decode())],
        structured_content=msgspec.json.decode(encoded),
    )


def _add_resources(server: Server[Any], readable: Readable, who: Callable[[], Caller]) -> None:
    async def list_all(_: Context, params: wire.PaginatedRequestParams | None) -> wire.ListResourcesResult:
        return await readable.list_all(who(), params)

    async def templates(
        _: Context, __: wire.PaginatedRequestParams | None
    ) -> wire.ListResourceTemplatesResult:
        return await readable.templates()

    async def read(_: Context, params: wire.ReadResourceRequestParams) -> wire.ReadResourceResult:
        return await readable.read(who(), params.uri)

    server.add_request_handler("resources/list", wire.PaginatedRequestParams, list_all)
    server.add_request_handler("resources/templates/list", wire.PaginatedRequestParams, templates)
    server.add_request_handler("resources/read", wire.ReadResourceRequestParams, read)
