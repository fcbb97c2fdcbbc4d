"""The fixture's tools of both eras, and those with which the server asks its client in the older one."""

import json
from typing import Any

import anyio
import mcp.types as wire
from mcp.shared.exceptions import MCPError

from tests.conformance.fixture_words import (
    DEFAULTS_SCHEMA,
    ENUMS_SCHEMA,
    SCHEMA_2020,
    WAV,
    Answer,
    Context,
    FixtureTool,
    always,
    done,
    embedded,
    image,
    strings,
    text,
)

MISSING_CAPABILITY = -32021
PAUSE_S = 0.05


async def fail(context: Context, params: wire.CallToolRequestParams) -> Answer:
    said = text("This tool intentionally returns an error for testing")
    return wire.CallToolResult(content=[said], is_error=True)


async def log(context: Context, params: wire.CallToolRequestParams) -> Answer:
    for each in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.session.send_log_message("info", each, related_request_id=context.request_id)
        await anyio.sleep(PAUSE_S)
    return done(text("Logged three messages."))


async def progress(context: Context, params: wire.CallToolRequestParams) -> Answer:
    for each in (0, 50, 100):
        await context.session.report_progress(each, 100, f"{each} of 100")
        await anyio.sleep(PAUSE_S)
    return done(text("Done."))


async def sample(context: Context, params: wire.CallToolRequestParams) -> Answer:
    prompt = str((params.arguments or {}).get("prompt", ""))
    asked = wire.SamplingMessage(role="user", content=text(prompt))
    answer = await context.session.create_message(
        [asked], max_tokens=100, related_request_id=context.request_id
    )
    return done(text(f"LLM response: {getattr(answer.content, 'text', '')}"))


async def elicit(context: Context, params: wire.CallToolRequestParams) -> Answer:
    message = str((params.arguments or {}).get("message", ""))
    answer = await context.session.elicit_form(message, strings("response"), context.request_id)
    return done(text(f"User response: action={answer.action}, content={json.dumps(answer.content)}"))


async def elicit_defaults(context: Context, params: wire.CallToolRequestParams) -> Answer:
    answer = await context.session.elicit_form("Please check", DEFAULTS_SCHEMA, context.request_id)
    return done(text(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}"))


async def elicit_enums(context: Context, params: wire.CallToolRequestParams) -> Answer:
    answer = await context.session.elicit_form("Please choose", ENUMS_SCHEMA, context.request_id)
    return done(text(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}"))


async def reconnect(context: Context, params: wire.CallToolRequestParams) -> Answer:
    """Close the stream of the call and answer once its client has come back for it."""
    await context.session.send_log_message("info", "Before", related_request_id=context.request_id)
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
    await anyio.sleep(4 * PAUSE_S)
    await context.session.send_log_message("info", "After", related_request_id=context.request_id)
    return done(text("The client came back."))


async def need_sampling(context: Context, params: wire.CallToolRequestParams) -> Answer:
    declared = context.session.client_capabilities
    if declared is None or declared.sampling is None:
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_CAPABILITY, "This tool needs a client that samples.", needed)
    return done(text("The client samples."))


async def stream(context: Context, params: wire.CallToolRequestParams) -> Answer:
    """Send notifications on the call's own stream, and no request."""
    for each in (1, 2):
        await context.session.report_progress(each, 2)
        await anyio.sleep(PAUSE_S)
    return done(text("Streamed."))


async def region(context: Context, params: wire.CallToolRequestParams) -> Answer:
    return done(text(f"Region: {(params.arguments or {}).get('region', '')}"))


TOOLS = (
    FixtureTool(
        "test_simple_text", "Says a text.", always(text("This is a simple text response for testing."))
    ),
    FixtureTool("test_image_content", "Gives a picture.", always(image())),
    FixtureTool(
        "test_audio_content",
        "Gives a sound.",
        always(wire.AudioContent(type="audio", data=WAV, mime_type="audio/wav")),
    ),
    FixtureTool(
        "test_embedded_resource",
        "Gives a resource.",
        always(embedded("test://embedded-resource", "This is an embedded resource content.", "text/plain")),
    ),
    FixtureTool(
        "test_multiple_content_types",
        "Gives a text, a picture and a resource.",
        always(
            text("Multiple content types test:"),
            image(),
            embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
        ),
    ),
    FixtureTool("test_error_handling", "Always fails.", fail),
    FixtureTool("test_tool_with_logging", "Logs three messages.", log),
    FixtureTool("test_logging_tool", "Logs three messages, where they are wanted.", log),
    FixtureTool("test_tool_with_progress", "Tells how far it is.", progress),
    FixtureTool("test_sampling", "Asks the client's model.", sample, strings("prompt")),
    FixtureTool("test_elicitation", "Asks the user.", elicit, strings("message")),
    FixtureTool("test_elicitation_sep1034_defaults", "Asks with defaults.", elicit_defaults),
    FixtureTool("test_elicitation_sep1330_enums", "Asks with choices.", elicit_enums),
    FixtureTool("test_reconnection", "Closes its stream in between.", reconnect),
    FixtureTool("test_missing_capability", "Needs a client that samples.", need_sampling),
    FixtureTool("test_streaming_elicitation", "Streams notifications.", stream),
    FixtureTool(
        "test_x_mcp_header",
        "Takes an argument that a header repeats.",
        region,
        {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
    ),
    FixtureTool(
        "json_schema_2020_12_tool",
        "Tool with JSON Schema 2020-12 features",
        always(text("Taken.")),
        SCHEMA_2020,
    ),
)
