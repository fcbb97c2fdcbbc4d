"""The body of a chat completion as it comes over the wire: every field that OpenAI knows, and ours.

Only shapes and ranges live here, and in `sampling` what plain completions take too. What the fields mean
together is in `request`, `conversation` and `tools`. Fields that are only ever refused are `Any`, so that
the refusal names them instead of their content.
"""

from typing import Annotated, Any, Literal

import msgspec

from runtime.api.openai.sampling import Name, NotEmpty, SampledBody, Wire

TOOLS_LIMIT = 128
TOP_LOGPROBS_LIMIT = 20
GRAMMAR_LIMIT_CHARS = 65_536
"""Of a custom tool's grammar: it is compiled, and by hand nobody writes more."""

TokenCount = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class TextPart(Wire, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """A part of a message that is text."""

    text: str
    prompt_cache_breakpoint: Any = None


class RefusalPart(Wire, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """A part of an assistant's message that says no."""

    refusal: str


class ImageUrl(Wire, frozen=True, kw_only=True):
    """Where a picture is: a data URL, since nothing is fetched."""

    url: NotEmpty
    detail: Literal["auto", "low", "high", "original"] | None = None
    """Accepted: the model's own projector decides how closely it looks."""


class ImagePart(Wire, frozen=True, kw_only=True, tag_field="type", tag="image_url"):
    """A picture."""

    image_url: ImageUrl
    prompt_cache_breakpoint: Any = None


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


class WireCustomCall(Wire, frozen=True, kw_only=True):
    """Which custom tool an assistant called, and the text that it gave it."""

    name: NotEmpty
    input: str


class CustomToolCall(Wire, frozen=True, kw_only=True, tag_field="type", tag="custom"):
    """One call of a custom tool."""

    id: NotEmpty
    custom: WireCustomCall


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


class AnyText(Wire, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """The input of a custom tool is free text."""


class WireGrammar(Wire, frozen=True, kw_only=True):
    """What the input of a custom tool must match."""

    syntax: Literal["lark", "regex"]
    definition: Annotated[str, msgspec.Meta(min_length=1, max_length=GRAMMAR_LIMIT_CHARS)]


class GrammarText(Wire, frozen=True, kw_only=True, tag_field="type", tag="grammar"):
    """The input of a custom tool follows a grammar."""

    grammar: WireGrammar


class WireCustom(Wire, frozen=True, kw_only=True):
    """A tool that takes text as it stands."""

    name: str
    description: str | None = None
    format: AnyText | GrammarText | None = None


class WireCustomTool(Wire, frozen=True, kw_only=True, tag_field="type", tag="custom"):
    """A custom tool."""

    custom: WireCustom


AnyTool = WireFunctionTool | WireCustomTool


class NamedTool(Wire, frozen=True, kw_only=True):
    """A tool meant by its name."""

    name: str


class NamedChoice(Wire, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """One function by its name: as `tool_choice`, or one of `allowed_tools`."""

    function: NamedTool


class CustomChoice(Wire, frozen=True, kw_only=True, tag_field="type", tag="custom"):
    """The same of a custom tool."""

    custom: NamedTool


class AllowedTools(Wire, frozen=True, kw_only=True):
    """Which tools may be called, and whether one must be."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedChoice | CustomChoice], msgspec.Meta(min_length=1, max_length=TOOLS_LIMIT)]


class AllowedChoice(Wire, frozen=True, kw_only=True, tag_field="type", tag="allowed_tools"):
    """`tool_choice` that narrows the tools."""

    allowed_tools: AllowedTools


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


class ChatBody(SampledBody, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[WireMessage], msgspec.Meta(min_length=1)]

    # what the answer is made from
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=TOP_LOGPROBS_LIMIT)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    tools: Annotated[list[AnyTool], msgspec.Meta(max_length=TOOLS_LIMIT)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | AllowedChoice | CustomChoice | None = (
        None
    )
    parallel_tool_calls: bool | None = None

    # a wish, as reasoning_effort is: accepted, although the models here have no switch for it
    verbosity: Literal["low", "medium", "high"] | None = None

    # refused unless they say what is the case anyway
    store: bool | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: Any = None
    prediction: Any = None
    moderation: Any = None
    web_search_options: Any = None
    functions: Any = None
    function_call: Any = None
