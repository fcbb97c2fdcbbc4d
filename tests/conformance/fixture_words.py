"""What the fixture's tools share: their declaration, small pictures and sounds, the suite's schemas."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import mcp.types as wire
from mcp.server.context import ServerRequestContext

Context = ServerRequestContext[Any, Any]
Answer = wire.CallToolResult | wire.InputRequiredResult
Work = Callable[[Context, wire.CallToolRequestParams], Awaitable[Answer]]

PNG = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100"
        "18dd8db00000000049454e44ae426082"
    )
).decode()
WAV = base64.b64encode(
    b"RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00"
    b"\x10\x00data\x02\x00\x00\x00\x00\x00"
).decode()

EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
NAME_SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
SCHEMA_2020 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
DEFAULTS_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
_TITLED = [{"const": f"value{each}", "title": f"Option {each}"} for each in (1, 2, 3)]
_PLAIN = ["option1", "option2", "option3"]
ENUMS_SCHEMA = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": _PLAIN},
        "titledSingle": {"type": "string", "oneOf": _TITLED},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _PLAIN}},
        "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
    },
}


class FixtureTool(NamedTuple):
    """A tool of the fixture."""

    name: str
    description: str
    work: Work
    schema: dict[str, Any] = EMPTY

    def declared(self) -> wire.Tool:
        return wire.Tool(name=self.name, description=self.description, input_schema=self.schema)


def text(said: str) -> wire.TextContent:
    return wire.TextContent(type="text", text=said)


def image() -> wire.ImageContent:
    return wire.ImageContent(type="image", data=PNG, mime_type="image/png")


def embedded(uri: str, said: str, media_type: str) -> wire.EmbeddedResource:
    resource = wire.TextResourceContents(uri=uri, text=said, mime_type=media_type)
    return wire.EmbeddedResource(type="resource", resource=resource)


def done(*blocks: wire.ContentBlock) -> wire.CallToolResult:
    return wire.CallToolResult(content=list(blocks))


def always(*blocks: wire.ContentBlock) -> Work:
    """Return the work of a tool that answers alike whatever it is asked."""

    async def work(context: Context, params: wire.CallToolRequestParams) -> Answer:
        return done(*blocks)

    return work


def strings(*names: str) -> dict[str, Any]:
    return {"type": "object", "properties": {each: {"type": "string"} for each in names}, "required": names}
