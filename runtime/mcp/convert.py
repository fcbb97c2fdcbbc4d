"""MCP's results and lists as Lar's words, on their way in; what is too long is cut off, and says so. Pure."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import mcp.types as wire
import msgspec

from runtime.core.tools import (
    BlobContent,
    Content,
    LinkContent,
    Prompt,
    PromptArgument,
    PromptMessage,
    Resource,
    TextContent,
    ToolHints,
    ToolResult,
)
from runtime.mcp.suspicions import strip_hidden

_PLAIN = "application/octet-stream"


def hints_of(tool: wire.Tool) -> ToolHints:
    """Return what a server says about its tool; the spec's own defaults where it is silent."""
    told = tool.annotations
    if told is None:
        return ToolHints()
    return ToolHints(
        is_read_only=bool(told.read_only_hint),
        is_destructive=told.destructive_hint is not False,
        is_idempotent=bool(told.idempotent_hint),
        is_open_world=told.open_world_hint is not False,
    )


def annotations_of(tool: wire.Tool) -> dict[str, Any]:
    """Return the hints as the server gave them."""
    told = tool.annotations
    return {} if told is None else told.model_dump(mode="json", by_alias=True, exclude_none=True)


def title_of(tool: wire.Tool) -> str:
    """Return what people call a tool."""
    return tool.title or (tool.annotations.title if tool.annotations else None) or ""


def result_of(result: wire.CallToolResult, most_bytes: int) -> ToolResult:
    """Return what a call came to, within `most_bytes`."""
    contents = [content_of(each) for each in result.content]
    return bounded(contents, result.structured_content, is_error=bool(result.is_error), most_bytes=most_bytes)


def reading_of(result: wire.ReadResourceResult, most_bytes: int) -> ToolResult:
    """Return what was read, within `most_bytes`."""
    return bounded([_resource_content(each) for each in result.contents], None, False, most_bytes)


def content_of(block: wire.ContentBlock) -> Content:
    """Return a piece of content."""
    match block:
        case wire.TextContent():
            return TextContent(text=block.text)
        case wire.ImageContent() | wire.AudioContent():
            return BlobContent(data=_decoded(block.data), media_type=block.mime_type)
        case wire.ResourceLink():
            return LinkContent(uri=str(block.uri), name=block.name, media_type=block.mime_type)
        case wire.EmbeddedResource():
            return _resource_content(block.resource)


def _resource_content(told: wire.TextResourceContents | wire.BlobResourceContents) -> Content:
    if isinstance(told, wire.TextResourceContents):
        return TextContent(text=told.text)
    return BlobContent(data=_decoded(told.blob), media_type=told.mime_type or _PLAIN, uri=str(told.uri))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        return b""


def bounded(contents: Sequence[Content], structured: Any, is_error: bool, most_bytes: int) -> ToolResult:
    """Return a result of at most so many bytes; a longer one begins alike and has the code `too_large`."""
    sizes = [size_of(each) for each in contents]
    structured_bytes = 0 if structured is None else len(msgspec.json.encode(structured))
    if max(sum(sizes), structured_bytes) <= most_bytes:
        return ToolResult(content=tuple(contents), structured=structured, is_error=is_error)

    kept: list[Content] = []
    left = most_bytes
    for each, size in zip(contents, sizes, strict=True):
        if size <= left:
            kept.append(each)
            left -= size
        elif isinstance(each, TextContent):
            kept.append(TextContent(text=each.text.encode()[:left].decode(errors="ignore")))
            left = 0
    total = sum(sizes) or structured_bytes
    note = (
        f"[Lar has cut this result: {total} bytes came, {most_bytes} may be passed on. "
        "Ask for less at a time, or for another part.]"
    )
    return ToolResult(content=(*kept, TextContent(text=note)), is_error=is_error, code="too_large")


def size_of(content: Content) -> int:
    """Return how many bytes a piece of content has."""
    match content:
        case TextContent():
            return len(content.text) if content.text.isascii() else len(content.text.encode())
        case BlobContent():
            return len(content.data)
        case LinkContent():
            return len(content.uri) + len(content.name)


def resource_of(server: str, told: wire.Resource | wire.ResourceTemplate) -> Resource:
    """Return something that can be read."""
    is_template = isinstance(told, wire.ResourceTemplate)
    return Resource(
        server=server,
        uri=told.uri_template if isinstance(told, wire.ResourceTemplate) else str(told.uri),
        name=strip_hidden(told.name),
        title=strip_hidden(told.title or ""),
        description=strip_hidden(told.description or ""),
        media_type=told.mime_type,
        is_template=is_template,
    )


def prompt_of(server: str, told: wire.Prompt) -> Prompt:
    """Return a prompt."""
    return Prompt(
        server=server,
        name=told.name,
        title=strip_hidden(told.title or ""),
        description=strip_hidden(told.description or ""),
        arguments=tuple(
            PromptArgument(
                name=each.name,
                description=strip_hidden(each.description or ""),
                is_required=bool(each.required),
            )
            for each in told.arguments or ()
        ),
    )


def messages_of(result: wire.GetPromptResult) -> list[PromptMessage]:
    """Return a filled prompt."""
    return [PromptMessage(role=each.role, content=content_of(each.content)) for each in result.messages]
