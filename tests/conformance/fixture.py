"""The fixture: a server with the names and texts that MCP's conformance suite looks for."""

import json
import re
from functools import partial
from typing import Any

import anyio
import mcp.types as wire
from mcp.server import Server
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError

from tests.conformance.fixture_asking import ASKING, ASKING_PROMPT, asking_prompt
from tests.conformance.fixture_tools import TOOLS
from tests.conformance.fixture_words import (
    PNG,
    Answer,
    Context,
    FixtureTool,
    always,
    done,
    embedded,
    image,
    text,
)

_TEMPLATE = re.compile(r"test://template/(?P<id>[^/]+)/data")


def said(*blocks: wire.ContentBlock) -> wire.GetPromptResult:
    return wire.GetPromptResult(messages=[wire.PromptMessage(role="user", content=each) for each in blocks])


def argument(name: str) -> wire.PromptArgument:
    return wire.PromptArgument(name=name, description=f"The {name}", required=True)


PROMPTS = [
    wire.Prompt(name="test_simple_prompt", description="A prompt without arguments"),
    wire.Prompt(
        name="test_prompt_with_arguments",
        description="A prompt with two arguments",
        arguments=[argument("arg1"), argument("arg2")],
    ),
    wire.Prompt(
        name="test_prompt_with_embedded_resource",
        description="A prompt with a resource",
        arguments=[argument("resourceUri")],
    ),
    wire.Prompt(name="test_prompt_with_image", description="A prompt with a picture"),
    wire.Prompt(name=ASKING_PROMPT, description="A prompt that needs input"),
]
RESOURCES = [
    wire.Resource(uri="test://static-text", name="text", description="A text", mime_type="text/plain"),
    wire.Resource(uri="test://static-binary", name="picture", description="A picture", mime_type="image/png"),
    wire.Resource(
        uri="test://watched-resource", name="watched", description="Changes", mime_type="text/plain"
    ),
]


class Fixture:
    """Its handlers, and the lists that its tools change."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self.tools = {each.name: each for each in (*TOOLS, *ASKING)}
        self.prompts = list(PROMPTS)
        for name, work in (
            ("test_trigger_tool_change", self.change_tools),
            ("test_trigger_prompt_change", self.change_prompts),
        ):
            self.tools[name] = FixtureTool(name, "Changes a list.", work)

    async def change_tools(self, context: Context, params: wire.CallToolRequestParams) -> Answer:
        name = f"dynamic_{len(self.tools)}"
        self.tools[name] = FixtureTool(name, "Came later.", always(text("Here.")))
        await self.bus.publish(ToolsListChanged())
        return done(text("Changed."))

    async def change_prompts(self, context: Context, params: wire.CallToolRequestParams) -> Answer:
        self.prompts.append(wire.Prompt(name=f"dynamic_{len(self.prompts)}", description="Came later"))
        await self.bus.publish(PromptsListChanged())
        return done(text("Changed."))

    async def list_tools(self, context: Context, params: Any) -> wire.ListToolsResult:
        return wire.ListToolsResult(tools=[each.declared() for each in self.tools.values()])

    async def call(self, context: Context, params: wire.CallToolRequestParams) -> Answer:
        tool = self.tools.get(params.name)
        if tool is None:
            raise MCPError(wire.INVALID_PARAMS, f"Unknown tool: {params.name}")
        return await tool.work(context, params)

    async def list_prompts(self, context: Context, params: Any) -> wire.ListPromptsResult:
        return wire.ListPromptsResult(prompts=self.prompts)

    async def prompt(
        self, context: Context, params: wire.GetPromptRequestParams
    ) -> wire.GetPromptResult | wire.InputRequiredResult:
        given = params.arguments or {}
        match params.name:
            case "test_simple_prompt":
                return said(text("This is a simple prompt for testing."))
            case "test_prompt_with_arguments":
                return said(
                    text(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'")
                )
            case "test_prompt_with_embedded_resource":
                resource = embedded(
                    given.get("resourceUri", ""), "Embedded resource content for testing.", "text/plain"
                )
                return said(resource, text("Please process the embedded resource above."))
            case "test_prompt_with_image":
                return said(image(), text("Please analyze the image above."))
            case name if name == ASKING_PROMPT:
                return await asking_prompt(params)
        raise MCPError(wire.INVALID_PARAMS, f"Unknown prompt: {params.name}")

    async def list_resources(self, context: Context, params: Any) -> wire.ListResourcesResult:
        return wire.ListResourcesResult(resources=RESOURCES)

    async def list_templates(self, context: Context, params: Any) -> wire.ListResourceTemplatesResult:
        template = wire.ResourceTemplate(
            uri_template="test://template/{id}/data", name="template", mime_type="application/json"
        )
        return wire.ListResourceTemplatesResult(resource_templates=[template])

    async def read(self, context: Context, params: wire.ReadResourceRequestParams) -> wire.ReadResourceResult:
        uri = str(params.uri)
        if uri == "test://static-binary":
            blob = wire.BlobResourceContents(uri=uri, blob=PNG, mime_type="image/png")
            return wire.ReadResourceResult(contents=[blob])

        return wire.ReadResourceResult(contents=[_text_at(uri)])

    async def complete(self, context: Context, params: wire.CompleteRequestParams) -> wire.CompleteResult:
        words = [each for each in ("paris", "park", "party") if each.startswith(params.argument.value)]
        return wire.CompleteResult(completion=wire.Completion(values=words, total=len(words), has_more=False))

    async def nothing(self, context: Context, params: Any) -> wire.EmptyResult:
        return wire.EmptyResult()


def _text_at(uri: str) -> wire.TextResourceContents:
    if uri == "test://static-text":
        told = "This is the content of the static text resource."
        return wire.TextResourceContents(uri=uri, text=told, mime_type="text/plain")

    if uri == "test://watched-resource":
        return wire.TextResourceContents(uri=uri, text="Watched resource content", mime_type="text/plain")

    found = _TEMPLATE.fullmatch(uri)
    if found is None:
        raise MCPError(wire.INVALID_PARAMS, f"Resource not found: {uri}", {"uri": uri})
    data = {"id": found["id"], "templateTest": True, "data": f"Data for ID: {found['id']}"}
    return wire.TextResourceContents(uri=uri, text=json.dumps(data), mime_type="application/json")


def fixture_server() -> Server[Any]:
    """Return the server."""
    fixture = Fixture()
    server: Server[Any] = Server(
        "conformance",
        version="1",
        on_list_tools=fixture.list_tools,
        on_call_tool=fixture.call,
        on_list_prompts=fixture.list_prompts,
        on_get_prompt=fixture.prompt,
        on_list_resources=fixture.list_resources,
        on_list_resource_templates=fixture.list_templates,
        on_read_resource=fixture.read,
        on_completion=fixture.complete,
        on_subscribe_resource=fixture.nothing,
        on_unsubscribe_resource=fixture.nothing,
        on_set_logging_level=fixture.nothing,
        on_subscriptions_listen=ListenHandler(fixture.bus),
    )
    server.middleware.append(
        RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience="conformance")
    )
    changes = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
    told = partial(server.create_initialization_options, changes)
    server.create_initialization_options = told  # type: ignore[method-assign]  # the SDK takes no options elsewhere
    return server


class Events(EventStore):
    """What clients of the older era may come back for, in memory."""

    def __init__(self) -> None:
        self._told: list[tuple[str, wire.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: wire.JSONRPCMessage | None) -> str:
        self._told.append((stream_id, message))
        return str(len(self._told))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        after = int(last_event_id)
        if not 0 < after <= len(self._told):
            return None

        stream = self._told[after - 1][0]
        for number, (each, message) in enumerate(self._told[after:], after + 1):
            if each == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        await anyio.lowlevel.checkpoint()
        return stream
