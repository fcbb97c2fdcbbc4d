"""What server and worker say to each other: msgspec structs, one per frame, at the level of chat.

Messages and tools travel as plain objects in the OpenAI chat form, since that is what chat templates
take. The worker's side imports only msgspec and the standard library, so this module does too; it is
independent of `core.messages`, which may change without breaking a worker of an older build.

    parent                                worker
      │  spawn                              │
      │ ◄───────────────── Hello(version)   │   within HELLO_DEADLINE_S
      │  Load ────────────────────────────► │
      │ ◄──────── Loading(fraction) …       │
      │ ◄───────────────── Ready(facts)     │   or LoadFailed
      │  Generate(seq, credits) ──────────► │
      │ ◄── Started, Delta …, Finished      │   or Failed, once
      │  Embed, Rerank, Tokenize, … ──────► │
      │ ◄── Started, what was asked, Finished   or Failed, once
      │  Credit(seq, n), Cancel(seq) ─────► │
      │  Ping(token) ─────────────────────► │
      │ ◄───────────────── Pong(token)      │   answered beside the engine's own thread
      │  Shutdown ────────────────────────► │   exit 0; end of stdin means the same, at once
"""

from typing import Any, Literal

import msgspec

PROTOCOL_VERSION = 2


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", omit_defaults=True):
    """Base of all frames."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a seq or a load failed; `code` is one of `core.errors.FaultCode`."""

    code: str
    message: str
    param: str | None = None


# ---- parent to worker


class Tuning(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the engine runs the model, with every default already decided by the parent."""

    context_tokens: int = 4096
    sequences: int = 8
    threads: int = 1
    batch_tokens: int = 512
    gpu_layers: int = 0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    chat_template: str | None = None
    kv_type: str = "f16"
    """How keys and values are stored: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0."""
    cache_ram_bytes: int = 0
    """Prefixes that left the context are kept in memory up to so much; 0: not at all."""
    cache_disk_bytes: int = 0
    """The same on disk."""
    cache_folder: str | None = None
    """Where on disk; the engine may delete what is in it."""
    speculation: bool = True
    """Whether tokens may be guessed ahead where that pays."""
    adapters: dict[str, str] = {}
    """LoRA adapters that requests may ask for: name to path of the file."""
    projector: str | None = None
    """The weights that turn pictures into tokens."""


class Load(Frame, frozen=True, kw_only=True, tag="load"):
    """Load this model; sent once, first."""

    version: int
    model: str
    path: str | None
    tuning: Tuning


class Sampling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How tokens are chosen. None: the engine's tuning, then the engine's own default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    logit_bias: dict[int, float] = {}
    logprobs: int | None = None
    ignore_eos: bool = False


class RawPrompt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A prompt that no chat template touches: text or tokens, and what may come after the answer."""

    text: str | None = None
    tokens: tuple[int, ...] | None = None
    suffix: str | None = None
    is_echoed: bool = False


class Asking(Frame, frozen=True, kw_only=True):
    """Base of the frames that begin a seq. `seq` is unique in the life of the worker."""

    seq: int
    credits: int = 64
    """Frames of content that may be sent before the parent grants more."""
    principal: str = ""
    """Whose share of the model it counts against."""
    priority: Literal["interactive", "agent", "batch"] = "interactive"


class Generate(Asking, frozen=True, kw_only=True, tag="generate"):
    """Begin one generation."""

    messages: list[dict[str, Any]] = []
    """In the OpenAI chat form; a picture is a part {"type": "image", "data": bytes}."""
    prompt: RawPrompt | None = None
    """Instead of messages."""
    sampling: Sampling = Sampling()
    tools: list[dict[str, Any]] = []
    """Each as {"type": "function", "function": {name, description?, parameters?}} or
    {"type": "custom", "custom": {name, description?, syntax, definition?}}."""
    tool_mode: Literal["none", "auto", "required"] = "auto"
    tool_names: tuple[str, ...] = ()
    """When not empty, only these tools may be called."""
    parallel_tool_calls: bool = True
    format_type: Literal["text", "json_object", "json_schema"] = "text"
    format_schema: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    adapter: str | None = None
    """A LoRA adapter, by its name in the tuning."""
    deadline_s: float | None = None
    """How long it may wait for its first step."""


class Embed(Asking, frozen=True, kw_only=True, tag="embed"):
    """Turn texts into vectors of unit length."""

    inputs: list[str | list[int]]
    dimensions: int | None = None
    """Keep so many numbers of each, and make it unit length again."""


class Rerank(Asking, frozen=True, kw_only=True, tag="rerank"):
    """Score documents for a query."""

    query: str
    documents: list[str]


class Tokenize(Asking, frozen=True, kw_only=True, tag="tokenize"):
    """Turn text, or the prompt of a chat, into tokens."""

    text: str | None = None
    chat: Generate | None = None
    adds_special: bool = True
    parses_special: bool = True


class Detokenize(Asking, frozen=True, kw_only=True, tag="detokenize"):
    """Turn tokens into text; it comes as one Delta."""

    tokens: list[int]


Work = Generate | Embed | Rerank | Tokenize | Detokenize


class Credit(Frame, frozen=True, kw_only=True, tag="credit"):
    """The parent took `count` deltas of this seq: so many more may be sent."""

    seq: int
    count: int


class Cancel(Frame, frozen=True, kw_only=True, tag="cancel"):
    """Stop this seq within one step; it ends with Finished(reason="cancelled"). Unknown seqs are ignored."""

    seq: int


class Ping(Frame, frozen=True, kw_only=True, tag="ping"):
    """Answer with the same token."""

    token: int


class Shutdown(Frame, frozen=True, kw_only=True, tag="shutdown"):
    """Free the model and exit with status 0."""


ToWorker = Load | Work | Credit | Cancel | Ping | Shutdown


# ---- worker to parent


class Hello(Frame, frozen=True, kw_only=True, tag="hello"):
    """First frame of a worker: it runs, and this is what it is."""

    version: int
    engine: str
    engine_version: str
    pid: int


class Loading(Frame, frozen=True, kw_only=True, tag="loading"):
    """How much of the model is read, 0 to 1."""

    fraction: float


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the engine found out about the loaded model."""

    context_tokens: int
    """What one sequence may take: prompt and answer together."""
    sequences: int
    vocabulary: int = 0
    parameters: int = 0
    description: str = ""
    dimensions: int = 0
    """Numbers in a vector, where the model makes any."""
    features: tuple[str, ...] | None = None
    """What this model can be asked for, where that is less than its engine offers."""


class Ready(Frame, frozen=True, kw_only=True, tag="ready"):
    """The model is loaded; Generate is welcome."""

    facts: ModelFacts


class LoadFailed(Frame, frozen=True, kw_only=True, tag="load_failed"):
    """The model cannot be loaded; the worker exits next."""

    fault: Fault


class Started(Frame, frozen=True, kw_only=True, tag="started"):
    """The prompt was rendered, counted and fits; computing it begins."""

    seq: int
    prompt_tokens: int


class ToolCallPiece(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Part of a tool call; id and name come with the first piece of an index."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    type: Literal["function", "custom"] = "function"


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """A token and its log probability (natural logarithm); `data` is the token's bytes."""

    token: str
    logprob: float
    data: bytes


class Choice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The token that was chosen, and what else stood at its place."""

    chosen: Alternative
    top: list[Alternative] = []


class Delta(Frame, frozen=True, kw_only=True, tag="delta"):
    """What one step added to a seq. Costs one credit."""

    seq: int
    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallPiece] = []
    logprobs: list[Choice] = []
    tokens: int = 1
    """Tokens generated since the last delta (a step may hold text back at a split character)."""


class Embedded(Frame, frozen=True, kw_only=True, tag="embedded"):
    """Vectors as 32-bit floats, little endian; the first belongs to input `start`. Costs one credit."""

    seq: int
    start: int
    vectors: list[bytes]


class Scored(Frame, frozen=True, kw_only=True, tag="scored"):
    """One score per document. Costs one credit."""

    seq: int
    scores: list[float]


class Tokenized(Frame, frozen=True, kw_only=True, tag="tokenized"):
    """The tokens, and the bytes that each stands for. Costs one credit."""

    seq: int
    tokens: list[int]
    pieces: list[bytes] = []


class Finished(Frame, frozen=True, kw_only=True, tag="finished"):
    """The seq ended; nothing follows."""

    seq: int
    reason: Literal["stop", "length", "tool_calls", "cancelled"]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    """Of the prompt, those that were not computed for this seq."""
    reasoning_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    forced_tokens: int = 0
    stop: str | None = None
    """Of the stop strings, the one that ended it."""


class Failed(Frame, frozen=True, kw_only=True, tag="failed"):
    """The seq broke or was refused; nothing follows."""

    seq: int
    fault: Fault


class Pong(Frame, frozen=True, kw_only=True, tag="pong"):
    """Alive. `step_s` is how long the engine's current step has lasted; 0 when it waits for work."""

    token: int
    step_s: float
    gauges: dict[str, float] = {}
    """What the engine counts of itself, by name."""


Content = Delta | Embedded | Scored | Tokenized
"""What a seq yields between Started and its end; each costs a credit."""

OfSeq = Started | Content | Finished | Failed

FromWorker = Hello | Loading | Ready | LoadFailed | OfSeq | Pong

_encoder = msgspec.msgpack.Encoder()
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


def encode(frame: ToWorker | FromWorker) -> bytes:
    """Return the frame's payload."""
    return _encoder.encode(frame)


def decode_to_worker(payload: bytes) -> ToWorker:
    """Read a frame on the worker's side. Raises msgspec.DecodeError."""
    return _to_worker.decode(payload)


def decode_from_worker(payload: bytes) -> FromWorker:
    """Read a frame on the parent's side. Raises msgspec.DecodeError."""
    return _from_worker.decode(payload)
