"""The bodies of requests to /v1/responses: every parameter that OpenAI and Open Responses know, and ours.

Shapes and ranges only. Unknown parameters are let through: clients send words of their own. Items, tools and
choices come as they are; `item_bodies`, `tool_bodies` and `choosing` take them apart by their type.
"""

from typing import Annotated, Any, Literal

import msgspec

from runtime.api.openai.sampling import Int32, Int64, NotEmpty, Penalty
from runtime.core.messages import Priority

MIN_OUTPUT_TOKENS = 16
"""Below that OpenAI takes nothing: not even a call fits."""

Metadata = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]],
    msgspec.Meta(max_length=16),
]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Include = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
TopP = Annotated[float, msgspec.Meta(ge=0, le=1)]
WireItems = str | list[dict[str, Any]]


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what clients send here: fields that we do not know are let through."""


class AnyTextFormat(Open, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Free text."""


class JsonObjectFormat(Open, frozen=True, kw_only=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JsonSchemaFormat(Open, frozen=True, kw_only=True, tag_field="type", tag="json_schema"):
    """JSON that follows a schema."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextWishes(Open, frozen=True, kw_only=True):
    """The shape of the answer's text."""

    format: AnyTextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningWishes(Open, frozen=True, kw_only=True):
    """How long the model may think, and what is shown of it."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: str | None = None


class ConversationNamed(Open, frozen=True, kw_only=True):
    """The conversation that the response continues."""

    id: NotEmpty


class PromptNamed(Open, frozen=True, kw_only=True):
    """A template, and what fills it: texts or parts of content."""

    id: NotEmpty
    version: str | None = None
    variables: dict[str, str | dict[str, Any]] | None = None


class StreamOptions(Open, frozen=True, kw_only=True):
    """What a stream carries besides the answer."""

    include_obfuscation: bool | None = None


class ContextManagement(Open, frozen=True, kw_only=True):
    """What happens to a long context."""

    type: Literal["compaction"]
    compact_threshold: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None


class AskedBody(Open, frozen=True, kw_only=True):
    """What a response, and the count of its tokens, are made from."""

    model: NotEmpty | None = None
    input: WireItems | None = None
    instructions: str | None = None
    previous_response_id: NotEmpty | None = None
    conversation: NotEmpty | ConversationNamed | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextWishes | None = None
    reasoning: ReasoningWishes | None = None
    truncation: Literal["auto", "disabled"] | None = None
    prompt: PromptNamed | None = None


class CreateBody(AskedBody, frozen=True, kw_only=True):
    """POST /v1/responses."""

    background: bool | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    include: list[Include] | None = None

    # what the answer is made from
    max_output_tokens: Annotated[int, msgspec.Meta(ge=MIN_OUTPUT_TOKENS, le=2**31 - 1)] | None = None
    max_tool_calls: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    context_management: list[ContextManagement] | None = None

    # Lar's own
    top_k: Int32 | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    seed: Int64 | None = None
    priority: Priority | None = None

    # bookkeeping of a cloud: accepted and shown again
    metadata: Metadata | None = None
    user: str | None = None
    safety_identifier: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    service_tier: ServiceTier | None = None
    prompt_cache_key: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    moderation: Any = None
    access_programs: Any = None
    image: Any = None


class CompactBody(Open, frozen=True, kw_only=True):
    """POST /v1/responses/compact."""

    model: NotEmpty
    input: WireItems | None = None
    instructions: str | None = None
    previous_response_id: NotEmpty | None = None
    prompt_cache_key: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    service_tier: ServiceTier | None = None


class CountBody(AskedBody, frozen=True, kw_only=True):
    """POST /v1/responses/input_tokens."""

    personality: str | None = None


def conversation_id(named: str | ConversationNamed | None) -> str | None:
    """Return which conversation is meant."""
    return named.id if isinstance(named, ConversationNamed) else named
