"""The bodies of Ollama's API as they come over the wire: every field that Ollama knows.

Only shapes and ranges live here; what the fields mean is in `options`, `conversation` and `request`. Fields
that are only ever refused, or that cannot change the answer, are `Any`.
"""

from typing import Annotated, Any, Literal

import msgspec

TOOLS_LIMIT = 128
STOPS_LIMIT = 64
INPUTS_LIMIT = 2048
TOP_LOGPROBS_LIMIT = 20

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
KeepAlive = float | str | None
"""Seconds, or a duration such as "5m"; `keep_alive` reads it."""


class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what clients send: a field that we do not know is an error."""


class Options(Wire, frozen=True, kw_only=True):
    """`options`: how tokens are chosen, and how Ollama would load the model."""

    temperature: Annotated[float, msgspec.Meta(ge=0)] | None = None
    top_k: Int32 | None = None
    """0 or less: off."""
    top_p: Share | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    typical_p: Share | None = None
    seed: Int64 | None = None
    """-1: another one each time."""
    num_predict: Annotated[int, msgspec.Meta(ge=-2, le=2**31 - 1)] | None = None
    """0 or less: as many tokens as the context holds."""
    stop: NotEmpty | Annotated[list[NotEmpty], msgspec.Meta(max_length=STOPS_LIMIT)] | None = None
    repeat_penalty: Annotated[float, msgspec.Meta(gt=0)] | None = None
    repeat_last_n: Int32 | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    num_ctx: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None

    # other ways to choose tokens: refused unless they are off
    mirostat: int | None = None
    tfs_z: float | None = None
    penalize_newline: bool | None = None
    vocab_only: bool | None = None

    # how to compute, or only of meaning beside what is off: cannot change the answer
    mirostat_tau: Any = None
    mirostat_eta: Any = None
    num_keep: Any = None
    num_batch: Any = None
    num_gpu: Any = None
    main_gpu: Any = None
    num_thread: Any = None
    numa: Any = None
    low_vram: Any = None
    f16_kv: Any = None
    use_mmap: Any = None
    use_mlock: Any = None
    logits_all: Any = None
    embedding_only: Any = None
    draft_num_predict: Any = None


class WireFunctionCall(Wire, frozen=True, kw_only=True):
    """What an assistant called; the arguments are an object here, not text."""

    name: NotEmpty
    arguments: dict[str, Any] = {}
    index: int | None = None


class WireToolCall(Wire, frozen=True, kw_only=True):
    """One call of a tool."""

    function: WireFunctionCall
    id: str | None = None
    type: Literal["function"] | None = None


class WireMessage(Wire, frozen=True, kw_only=True):
    """One message of the conversation; which fields a role may have is checked in `conversation`."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    """Base64, without the head of a data URL."""
    tool_calls: list[WireToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class WireFunction(Wire, frozen=True, kw_only=True):
    """A function that the model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class WireTool(Wire, frozen=True, kw_only=True):
    """A tool that the model may call."""

    function: WireFunction
    type: Literal["function"] = "function"
    items: Any = None


class Generating(Wire, frozen=True, kw_only=True):
    """What chats and generations have in common."""

    model: NotEmpty
    options: Options | None = None
    format: Literal["", "json"] | dict[str, Any] | None = None
    think: bool | Literal["low", "medium", "high", "max"] | None = None
    stream: bool | None = None
    """None means yes."""
    keep_alive: KeepAlive = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=TOP_LOGPROBS_LIMIT)] | None = None
    truncate: bool | None = None
    shift: bool | None = None
    """Both say what Ollama drops of a prompt that is too long. Lar drops nothing and answers an error."""
    debug_render_only: Any = msgspec.field(name="_debug_render_only", default=None)


class ChatBody(Generating, frozen=True, kw_only=True):
    """POST /api/chat."""

    messages: list[WireMessage] | None = None
    tools: Annotated[list[WireTool], msgspec.Meta(max_length=TOOLS_LIMIT)] | None = None


class GenerateBody(Generating, frozen=True, kw_only=True):
    """POST /api/generate."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    images: list[str] | None = None
    raw: bool | None = None

    # refused unless they are empty
    template: Any = None
    context: Any = None
    width: Any = None
    height: Any = None
    steps: Any = None


class EmbedBody(Wire, frozen=True, kw_only=True):
    """POST /api/embed."""

    model: NotEmpty
    input: str | Annotated[list[str], msgspec.Meta(max_length=INPUTS_LIMIT)] | None = None
    truncate: bool | None = None
    """None means yes."""
    dimensions: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    """0: all."""
    options: Options | None = None
    keep_alive: KeepAlive = None


class EmbeddingsBody(Wire, frozen=True, kw_only=True):
    """POST /api/embeddings, the older form."""

    model: NotEmpty
    prompt: str | None = None
    options: Options | None = None
    keep_alive: KeepAlive = None


class ShowBody(Wire, frozen=True, kw_only=True):
    """POST /api/show; `name` is what older clients say."""

    model: str | None = None
    name: str | None = None
    verbose: bool | None = None


class PullBody(Wire, frozen=True, kw_only=True):
    """POST /api/pull."""

    model: str | None = None
    name: str | None = None
    stream: bool | None = None
    insecure: Any = None
    """Cannot matter: sources and their hashes are the catalogue's."""
