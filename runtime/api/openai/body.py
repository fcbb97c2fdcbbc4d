"""The body of a chat completion as it comes over the wire: every field that OpenAI knows, and ours.

Only shapes and ranges live here. What the fields mean together is in `request`, `conversation` and `tools`.
Fields that are only ever refused are `Any`, so that the refusal names them instead of their content.
"""

from typing import Annotated, Any, Literal

import msgspec

CHOICES_LIMIT = 8
TOOLS_LIMIT = 128
STOPS_LIMIT = 4
TOP_LOGPROBS_LIMIT = 20

Int32 = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
TokenCount = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what clients send: a field that we do not know is an error."""


class TextPart(Wire, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """A part of a message that is text."""

    text: str
    prompt_cache_breakpoint: Any = None


class RefusalPart(Wire, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """A part of an assistant's message that says no."""

    refusal: str


class ImagePart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="image_url"):
    """A picture; refused by name."""


class AudioPart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="input_audio"):
    """Sound; refused by name."""


class FilePart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="file"):
    """A file; refused by name."""


AnyPart = TextPart | RefusalPart | ImagePart | AudioPart | FilePart


class WireFunctionCall(Wire, frozen=True, kw_only=True):
    """What an assistant called."""

    name: NotEmpty
    arguments: str


class FunctionToolCall(Wire, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """One call of a function tool."""

    id: NotEmpty
    function: WireFunctionCall


class CustomToolCall(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="custom"):
    """One call of a custom tool; refused by name."""


class WireMessage(Wire, frozen=True, kw_only=True):
    """One message of the conversation; which fields a role may have is checked in `conversation`."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[AnyPart] | None = None
    name: Name | None = None
    tool_calls: list[FunctionToolCall | CustomToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    annotations: Any = None
    """OpenAI's answers carry it, so clients send it back; it says nothing to a model."""
    audio: Any = None
    function_call: Any = None


class WireFunction(Wire, frozen=True, kw_only=True):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class WireFunctionTool(Wire, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """A function tool."""

    function: WireFunction


class CustomTool(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="custom"):
    """A free-text tool; refused by name."""


class NamedFunction(Wire, frozen=True, kw_only=True):
    """A function meant by its name."""

    name: str


class NamedChoice(Wire, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """`tool_choice` that names one function."""

    function: NamedFunction


class AllowedTool(Wire, frozen=True, kw_only=True):
    """One tool of `allowed_tools`."""

    type: Literal["function"]
    function: NamedFunction


class AllowedTools(Wire, frozen=True, kw_only=True):
    """Which tools may be called, and whether one must be."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[AllowedTool], msgspec.Meta(min_length=1, max_length=TOOLS_LIMIT)]


class AllowedChoice(Wire, frozen=True, kw_only=True, tag_field="type", tag="allowed_tools"):
    """`tool_choice` that narrows the tools."""

    allowed_tools: AllowedTools


class CustomChoice(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="custom"):
    """`tool_choice` that names a custom tool; refused by name."""


class TextFormat(Wire, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Free text."""


class JsonObjectFormat(Wire, frozen=True, kw_only=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class WireSchema(Wire, frozen=True, kw_only=True):
    """A JSON Schema with a name."""

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class JsonSchemaFormat(Wire, frozen=True, kw_only=True, tag_field="type", tag="json_schema"):
    """JSON that follows a schema."""

    json_schema: WireSchema


class StreamOptions(Wire, frozen=True, kw_only=True):
    """What a stream carries besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatBody(Wire, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    model: NotEmpty
    messages: Annotated[list[WireMessage], msgspec.Meta(min_length=1)]

    # what the answer is made from
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Int32 | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repeat_penalty: Annotated[float, msgspec.Meta(gt=0, le=2)] | None = None
    seed: Int64 | None = None
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    stop: NotEmpty | Annotated[list[NotEmpty], msgspec.Meta(max_length=STOPS_LIMIT)] | None = None
    logit_bias: dict[str, Annotated[float, msgspec.Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=TOP_LOGPROBS_LIMIT)] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=CHOICES_LIMIT)] | None = None
    ignore_eos: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    tools: Annotated[list[WireFunctionTool | CustomTool], msgspec.Meta(max_length=TOOLS_LIMIT)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | AllowedChoice | CustomChoice | None = (
        None
    )
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    # bookkeeping of a cloud: accepted, and cannot change the answer
    user: str | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]],
            msgspec.Meta(max_length=16),
        ]
        | None
    ) = None
    safety_identifier: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None

    # refused unless they say what is the case anyway
    store: bool | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    audio: Any = None
    prediction: Any = None
    moderation: Any = None
    web_search_options: Any = None
    functions: Any = None
    function_call: Any = None
