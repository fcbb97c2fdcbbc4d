"""The body of a message as it comes over the wire: every field that Anthropic's clients know.

Only shapes and ranges live here. What the fields mean together is in `request`, `conversation` and `tools`.
Fields that are only ever refused are `Any`, so that the refusal names them instead of their content.
`cache_control` is taken everywhere and means nothing: every prefix is kept, as long as there is room.
"""

from typing import Annotated, Any, Literal

import msgspec

STOPS_LIMIT = 64
"""Stop sequences are looked for at every token."""
MESSAGES_LIMIT = 100_000
TOOLS_LIMIT = 1024

NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
TokenCount = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
ThinkingBudget = Annotated[int, msgspec.Meta(ge=1024, le=2**31 - 1)]
Int32 = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what clients send: a field that we do not know is an error."""


# ---- content


class TextBlock(Wire, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text."""

    text: str
    citations: Any = None
    """Answers of Anthropic's own models carry it; it says nothing to a model here."""
    cache_control: Any = None


class Base64Source(Wire, frozen=True, kw_only=True, tag_field="type", tag="base64"):
    """A picture itself. What it is, is read from its bytes."""

    media_type: str
    data: NotEmpty


class UrlSource(Wire, frozen=True, kw_only=True, tag_field="type", tag="url"):
    """Where a picture is; only data URLs are followed."""

    url: NotEmpty


class FileSource(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="file"):
    """A file that was uploaded before; refused by name."""


class ImageBlock(Wire, frozen=True, kw_only=True, tag_field="type", tag="image"):
    """A picture."""

    source: Base64Source | UrlSource | FileSource
    transformations: Any = None
    """Accepted: the model's own projector decides what it does to a picture."""
    cache_control: Any = None


class DocumentBlock(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="document"):
    """A document; refused by name."""


class SearchResultBlock(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="search_result"):
    """A passage with its source; refused by name."""


class ThinkingBlock(Wire, frozen=True, kw_only=True, tag_field="type", tag="thinking"):
    """What the model thought before it said something. The signature is not checked."""

    thinking: str
    signature: str | None = None
    cache_control: Any = None


class RedactedThinkingBlock(Wire, frozen=True, kw_only=True, tag_field="type", tag="redacted_thinking"):
    """Thoughts that only Anthropic's servers can read."""

    data: str
    cache_control: Any = None


class ToolUseBlock(Wire, frozen=True, kw_only=True, tag_field="type", tag="tool_use"):
    """A call that the model made."""

    id: NotEmpty
    name: NotEmpty
    input: dict[str, Any]
    caller: Any = None
    """Who called: always the model itself."""
    cache_control: Any = None


ResultContent = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock


class ToolResultBlock(Wire, frozen=True, kw_only=True, tag_field="type", tag="tool_result"):
    """What came of a call."""

    tool_use_id: NotEmpty
    content: str | list[ResultContent] | None = None
    is_error: bool | None = None
    cache_control: Any = None


Block = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
)


class WireMessage(Wire, frozen=True, kw_only=True):
    """One message of the conversation; which blocks a role may have is checked in `conversation`."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


# ---- tools


class ToolHead(msgspec.Struct, frozen=True, kw_only=True):
    """What tells a tool of the client's from one that Anthropic's servers bring."""

    type: str | None = None


class ToolHeads(msgspec.Struct, frozen=True, kw_only=True):
    """The tools, looked at for their kind only."""

    tools: Annotated[list[ToolHead], msgspec.Meta(max_length=TOOLS_LIMIT)] | None


class WireTool(Wire, frozen=True, kw_only=True):
    """A tool that the client runs."""

    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    input_examples: list[dict[str, Any]] | None = None
    allowed_callers: list[str] | None = None
    defer_loading: bool | None = None
    """Accepted: no tool has to be searched for, since each is shown to the model from the start."""
    eager_input_streaming: bool | None = None
    """Accepted: arguments are always streamed as they come."""
    cache_control: Any = None


class WireTools(msgspec.Struct, frozen=True, kw_only=True):
    """The tools, read in full."""

    tools: list[WireTool] | None


class AutoChoice(Wire, frozen=True, kw_only=True, tag_field="type", tag="auto"):
    """The model may call tools."""

    disable_parallel_tool_use: bool | None = None


class AnyChoice(Wire, frozen=True, kw_only=True, tag_field="type", tag="any"):
    """The model must call a tool."""

    disable_parallel_tool_use: bool | None = None


class NamedChoice(Wire, frozen=True, kw_only=True, tag_field="type", tag="tool"):
    """The model must call this tool."""

    name: NotEmpty
    disable_parallel_tool_use: bool | None = None


class NoChoice(Wire, frozen=True, kw_only=True, tag_field="type", tag="none"):
    """The model may call no tool."""


# ---- thinking and output


class ThinkingOn(Wire, frozen=True, kw_only=True, tag_field="type", tag="enabled"):
    """Think, about so long. A budget above max_tokens is fine: it is a wish here, not a limit."""

    budget_tokens: ThinkingBudget
    display: Literal["summarized", "omitted"] | None = None


class ThinkingAdaptive(Wire, frozen=True, kw_only=True, tag_field="type", tag="adaptive"):
    """Think as long as the model likes."""

    display: Literal["summarized", "omitted"] | None = None


class ThinkingOff(Wire, frozen=True, kw_only=True, tag_field="type", tag="disabled"):
    """Do not think."""


class JsonSchemaFormat(Wire, frozen=True, kw_only=True, tag_field="type", tag="json_schema"):
    """The answer is JSON that follows a schema."""

    schema: dict[str, Any]


class OutputConfig(Wire, frozen=True, kw_only=True):
    """How much effort, and which form."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonSchemaFormat | None = None


class Metadata(Wire, frozen=True, kw_only=True):
    """Who the request is for."""

    user_id: str | None = None


# ---- bodies


class PromptBody(Wire, frozen=True, kw_only=True):
    """POST /v1/messages/count_tokens, and what a message needs besides."""

    model: NotEmpty
    messages: Annotated[list[WireMessage], msgspec.Meta(min_length=1, max_length=MESSAGES_LIMIT)]
    system: str | list[TextBlock] | None = None
    tools: msgspec.Raw = msgspec.Raw(b"null")
    """Read in two steps: server tools have fields of their own, and are refused by name all the same."""
    tool_choice: AutoChoice | AnyChoice | NamedChoice | NoChoice | None = None
    thinking: ThinkingOn | ThinkingAdaptive | ThinkingOff | None = None
    output_config: OutputConfig | None = None
    output_format: JsonSchemaFormat | None = None
    """The older name of `output_config.format`."""

    # bookkeeping of a cloud: accepted, and cannot change the answer
    cache_control: Any = None
    diagnostics: Any = None
    inference_geo: str | None = None
    speed: Literal["standard", "fast"] | None = None
    user_profile_id: str | None = None

    # refused unless they say what is the case anyway
    container: Any = None
    context_management: Any = None
    mcp_servers: Any = None
    thread: Any = None


class MessagesBody(PromptBody, frozen=True, kw_only=True):
    """POST /v1/messages."""

    max_tokens: TokenCount
    temperature: Fraction | None = None
    top_p: Share | None = None
    top_k: Int32 | None = None
    stop_sequences: Annotated[list[NotEmpty], msgspec.Meta(max_length=STOPS_LIMIT)] | None = None
    stream: bool | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
