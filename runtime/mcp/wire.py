"""Lar's words of tools as MCP's, on their way out to clients. Pure."""

import base64
from collections.abc import Sequence
from typing import Any

import mcp.types as wire

from runtime.core.tools import (
    BlobContent,
    Content,
    LinkContent,
    Prompt,
    PromptMessage,
    Resource,
    TextContent,
    Tool,
    ToolHints,
    ToolResult,
)

META_CODE = "lar/code"
"""Why Lar itself said no to a call: in the `_meta` of its result."""
META_APPROVAL = "lar/approval"
_HEADER = "x-mcp-header"
_PLAIN_BYTES = "application/octet-stream"


def tool_of(tool: Tool, name: str) -> wire.Tool:
    """Return a tool under the name that clients see."""
    return wire.Tool(
        name=name,
        title=tool.title or None,
        description=tool.description or tool.title or name,
        input_schema=_plain(tool.input_schema) or {"type": "object"},
        output_schema=tool.output_schema,
        annotations=annotations_of(tool.hints, tool.title or None),
    )


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without wishes that arguments be repeated in headers: nobody reads them there."""
    fields = schema.get("properties")
    if not isinstance(fields, dict) or not any(
        _HEADER in each for each in fields.values() if isinstance(each, dict)
    ):
        return schema

    plain = {
        name: {key: value for key, value in field.items() if key != _HEADER}
        if isinstance(field, dict)
        else field
        for name, field in fields.items()
    }
    return {**schema, "properties": plain}


def annotations_of(hints: ToolHints, title: str | None) -> wire.ToolAnnotations:
    """Return hints as MCP says them."""
    return wire.ToolAnnotations(
        title=title,
        read_only_hint=hints.is_read_only,
        destructive_hint=hints.is_destructive,
        idempotent_hint=hints.is_idempotent,
        open_world_hint=hints.is_open_world,
    )


def result_of(result: ToolResult) -> wire.CallToolResult:
    """Return what a call came to."""
    meta: dict[str, Any] = {}
    if result.code:
        meta[META_CODE] = result.code
    if result.approval:
        meta[META_APPROVAL] = result.approval
    return wire.CallToolResult(
        content=[block_of(each) for each in result.content],
        structured_content=result.structured,
        is_error=result.is_error,
        _meta=meta or None,
    )


def block_of(content: Content) -> wire.ContentBlock:
    """Return a piece of content: pictures and sounds as such, other files as resources in place."""
    match content:
        case TextContent():
            return wire.TextContent(type="text", text=content.text)
        case LinkContent():
            return wire.ResourceLink(
                type="resource_link", uri=content.uri, name=content.name, mime_type=content.media_type
            )
        case BlobContent():
            data = base64.b64encode(content.data).decode("ascii")
            kind = content.media_type.partition("/")[0]
            if kind == "image":
                return wire.ImageContent(type="image", data=data, mime_type=content.media_type)

            if kind == "audio":
                return wire.AudioContent(type="audio", data=data, mime_type=content.media_type)

            blob = wire.BlobResourceContents(
                uri=content.uri or "lar://content", blob=data, mime_type=content.media_type or _PLAIN_BYTES
            )
            return wire.EmbeddedResource(type="resource", resource=blob)


def contents_of(uri: str, result: ToolResult) -> wire.ReadResourceResult:
    """Return what reading a resource gave."""
    read: list[wire.TextResourceContents | wire.BlobResourceContents] = []
    for each in result.content:
        match each:
            case TextContent():
                read.append(wire.TextResourceContents(uri=uri, text=each.text))
            case BlobContent():
                data = base64.b64encode(each.data).decode("ascii")
                place = each.uri or uri
                read.append(wire.BlobResourceContents(uri=place, blob=data, mime_type=each.media_type))
            case LinkContent():
                read.append(wire.TextResourceContents(uri=uri, text=f"{each.name}: {each.uri}"))
    return wire.ReadResourceResult(contents=read)


def resource_of(resource: Resource) -> wire.Resource:
    """Return a resource that can be read as it stands."""
    return wire.Resource(
        uri=resource.uri,
        name=resource.name,
        title=resource.title or None,
        description=resource.description or None,
        mime_type=resource.media_type,
    )


def template_of(resource: Resource) -> wire.ResourceTemplate:
    """Return a pattern of resources."""
    return wire.ResourceTemplate(
        uri_template=resource.uri,
        name=resource.name,
        title=resource.title or None,
        description=resource.description or None,
        mime_type=resource.media_type,
    )


def prompt_of(prompt: Prompt, name: str) -> wire.Prompt:
    """Return a prompt under the name that clients see."""
    arguments = [
        wire.PromptArgument(name=each.name, description=each.description or None, required=each.is_required)
        for each in prompt.arguments
    ]
    return wire.Prompt(
        name=name,
        title=prompt.title or None,
        description=prompt.description or None,
        arguments=arguments or None,
    )


def messages_of(messages: Sequence[PromptMessage]) -> wire.GetPromptResult:
    """Return a filled prompt."""
    return wire.GetPromptResult(
        messages=[wire.PromptMessage(role=each.role, content=block_of(each.content)) for each in messages]
    )
