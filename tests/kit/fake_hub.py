"""A hub in memory: a few tools whose behaviour tests choose, a resource, a prompt; it notes who called."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from runtime.core.errors import Fault, NotFound
from runtime.core.tools import (
    Asked,
    BlobContent,
    Caller,
    Content,
    LinkContent,
    Progressed,
    Prompt,
    PromptArgument,
    PromptMessage,
    Resource,
    ServerStatus,
    TextContent,
    Tool,
    ToolChange,
    ToolHints,
    ToolResult,
)


def a_tool(server: str, name: str, *, is_read_only: bool = True) -> Tool:
    return Tool(
        server=server,
        name=name,
        full_name=f"mcp__{server}__{name}",
        title=name.title(),
        description=f"Does {name}.",
        input_schema={"type": "object", "properties": {"text": {"type": "string"}}},
        hints=ToolHints(is_read_only=is_read_only, is_destructive=False, is_open_world=False),
        digest="0",
        trust="internal",
    )


class FakeHub:
    """Fulfils core.tools.Hub. `user` keys do not see tools that write."""

    def __init__(self, *more: Tool) -> None:
        self.known: list[Tool] = [
            a_tool("echo", "say"),
            a_tool("echo", "count"),
            a_tool("echo", "sleep"),
            a_tool("echo", "picture"),
            a_tool("echo", "refused"),
            a_tool("echo", "write", is_read_only=False),
            a_tool("outside", "say"),
            *more,
        ]
        self.callers: list[Caller] = []
        self.asked: list[Asked] = []
        self.sleeping = anyio.Event()
        self.cancelled = anyio.Event()
        self.lent: dict[str, str] = {}
        """What servers are called here that somebody lends, by their names there."""
        self.lendings: list[tuple[str, str]] = []

    @asynccontextmanager
    async def lend(
        self, definitions: Mapping[str, dict[str, Any]], origin: str, *, may_run_programs: bool
    ) -> AsyncIterator[Mapping[str, str]]:
        self.lendings += [("begin", each) for each in definitions]
        try:
            yield {each: self.lent.get(each, each) for each in definitions}
        finally:
            self.lendings += [("end", each) for each in definitions]

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        return [each for each in self.known if self._sees(caller, each)]

    async def call(self, caller: Caller, asked: Asked, progressed: Progressed | None = None) -> ToolResult:
        self.callers.append(caller)
        self.asked.append(asked)
        match asked.full_name.rpartition("__")[2]:
            case "count":
                for each in range(1, 4):
                    if progressed is not None:
                        await progressed(each, 3, f"step {each}")
            case "sleep":
                self.sleeping.set()
                try:
                    await anyio.sleep_forever()
                finally:
                    self.cancelled.set()
            case "picture":
                blobs: list[Content] = [
                    BlobContent(data=b"\x89PNG", media_type="image/png"),
                    LinkContent(uri="a:b", name="b"),
                ]
                return ToolResult(content=tuple(blobs))
            case "refused":
                text = TextContent(text="A person must approve this.")
                return ToolResult(content=(text,), is_error=True, code="asked", approval="apr_1")
            case _:
                pass
        text = TextContent(text=f"{caller.principal.id} says {asked.arguments.get('text', '')}")
        return ToolResult(content=(text,), structured={"said": text.text})

    async def resources(self, caller: Caller) -> Sequence[Resource]:
        return [
            Resource(server="echo", uri="echo://one", name="one", media_type="text/plain"),
            Resource(server="echo", uri="echo://{name}", name="any", is_template=True),
        ]

    async def read(self, caller: Caller, server: str, uri: str) -> ToolResult:
        if uri != "echo://one":
            raise NotFound(Fault(code="not_found", message=f"There is no '{uri}'."))
        return ToolResult(content=(TextContent(text="the one"),))

    async def prompts(self, caller: Caller) -> Sequence[Prompt]:
        arguments = (PromptArgument(name="whom", is_required=True),)
        return [Prompt(server="echo", name="greet", description="Greets.", arguments=arguments)]

    async def prompt(
        self, caller: Caller, server: str, name: str, arguments: dict[str, str]
    ) -> Sequence[PromptMessage]:
        return [PromptMessage(role="user", content=TextContent(text=f"Greet {arguments['whom']}"))]

    async def complete(
        self, caller: Caller, server: str, reference: str, argument: str, value: str
    ) -> Sequence[str]:
        return [each for each in ("Ana", "Ben") if each.startswith(value)]

    def servers(self) -> Sequence[ServerStatus]:
        return [
            ServerStatus(name="echo", transport="memory", status="ready", origin="internal"),
            ServerStatus(name="outside", transport="stdio", status="ready", origin="mcp.json"),
        ]

    async def test(self, server: str) -> ServerStatus:
        raise NotFound(Fault(code="not_found", message=server))

    def changes(self) -> Sequence[ToolChange]:
        return []

    async def approve(self, server: str, tool: str, digest: str) -> None:
        raise NotFound(Fault(code="not_found", message=tool))

    def _sees(self, caller: Caller, tool: Tool) -> bool:
        if caller.servers is not None and tool.server not in caller.servers:
            return False
        return caller.principal.role == "operator" or tool.hints.is_read_only
