"""The words of a chat: what is asked of a model and what comes back, free of any transport.

`ChatRequest` is what `api` decodes into and what the worker protocol is filled from. `Output` values
are what a generation yields, in order, ending in exactly one `Ended` or `Broke`.
"""

from typing import Any, Literal

import msgspec

from runtime.core.errors import Fault
from runtime.core.ids import ModelId

Role = Literal["system", "developer", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]


Priority = Literal["interactive", "agent", "batch"]
"""Who goes first: a person who waits, an agent at work, work that may take all night."""


class TextPart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """A part of a message's content that is text."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="image"):
    """A picture as an encoded file (PNG, JPEG, GIF, BMP); only models with a projector take it."""

    data: bytes


ContentPart = TextPart | ImagePart


class FunctionCall(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model wants called, its arguments as JSON text.

    Of a custom tool, `arguments` is the input as it stands: free text, or text of the tool's grammar.
    """

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call inside an assistant message."""

    id: str
    function: FunctionCall
    type: Literal["function", "custom"] = "function"


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a conversation. Content is text, or parts where a picture is among them."""

    role: Role
    content: str | tuple[ContentPart, ...] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class FunctionTool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A function that the model may call; `parameters` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class CustomTool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool whose input is text of a form: any text, a Lark grammar, or a regular expression."""

    name: str
    description: str | None = None
    syntax: Literal["text", "lark", "regex"] = "text"
    definition: str | None = None
    """The grammar or the expression; None for free text."""


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """How free the model is to call tools; `names` narrows the tools that may be called."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] = ()


class ResponseFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The shape that the answer must have."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are chosen and when to stop. None means: what the model's settings say."""

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
    """How many alternatives to report per token, 0 to 20; None: no log probabilities at all."""
    ignore_eos: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What every request to a model has."""

    model: ModelId
    principal: str = ""
    """Whose share of the model it counts against; set by `Runs.start`."""
    priority: Priority = "interactive"
    choices: int = 1
    """How many independent answers (`n`)."""


class RawPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt that no chat template touches."""

    text: str | None = None
    tokens: tuple[int, ...] | None = None
    """Instead of text."""
    suffix: str | None = None
    """What comes after the answer: fill in the middle."""
    is_echoed: bool = False
    """Whether the answer begins with the prompt, with its log probabilities where these are asked for."""


class ChatRequest(Asked, frozen=True, kw_only=True):
    """One accepted generation: a chat, or the continuation of a raw prompt."""

    messages: tuple[Message, ...] = ()
    prompt: RawPrompt | None = None
    """Instead of messages."""
    tools: tuple[FunctionTool | CustomTool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    response_format: ResponseFormat = ResponseFormat()
    sampling: Sampling = Sampling()
    reasoning_effort: str | None = None
    adapter: str | None = None
    """A LoRA adapter of the model, by its name in lar.toml."""
    deadline_s: float | None = None
    """How long the generation may wait inside the engine for its first step."""


class EmbedRequest(Asked, frozen=True, kw_only=True):
    """Texts to turn into vectors."""

    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    """Keep so many numbers of each vector, and make it unit length again."""


class RerankRequest(Asked, frozen=True, kw_only=True):
    """Documents to score for a query."""

    query: str
    documents: tuple[str, ...]


class TokenizeRequest(Asked, frozen=True, kw_only=True):
    """Text, or a chat as the model's template writes it, to turn into tokens."""

    text: str | None = None
    chat: ChatRequest | None = None
    """Instead of text: its prompt is tokenised, nothing is generated."""
    adds_special: bool = True
    """Whether the tokens that the model expects around a text are added."""
    parses_special: bool = True
    """Whether the text may name control tokens."""


class DetokenizeRequest(Asked, frozen=True, kw_only=True):
    """Tokens to turn into text; it comes as one Delta."""

    tokens: tuple[int, ...]


Request = ChatRequest | EmbedRequest | RerankRequest | TokenizeRequest | DetokenizeRequest


class TokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """The log probability (natural logarithm) of one token."""

    token: str
    logprob: float
    bytes: tuple[int, ...]


class ChosenLogprob(TokenLogprob, frozen=True, kw_only=True):
    """The chosen token with the alternatives at its place."""

    top_logprobs: tuple[TokenLogprob, ...] = ()


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a tool call: id and name come with the first piece of each index."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    type: Literal["function", "custom"] = "function"


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that one generation took."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    drafted_tokens: int = 0
    """Guessed ahead and checked."""
    accepted_tokens: int = 0
    """Of the drafted ones, those that the model agreed to."""
    forced_tokens: int = 0
    """Put there by a grammar that left no choice, without asking the model."""

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class Began(msgspec.Struct, frozen=True, kw_only=True, tag="began"):
    """The prompt was accepted: it fits, and its tokens are counted. Nothing is generated yet."""

    prompt_tokens: int


class Delta(msgspec.Struct, frozen=True, kw_only=True, tag="delta"):
    """What one step added. Any of the fields may be empty."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: tuple[ChosenLogprob, ...] = ()
    tokens: int = 1


class Vectors(msgspec.Struct, frozen=True, kw_only=True, tag="vectors"):
    """Some of the vectors that were asked for, in the order of the inputs."""

    start: int
    """Which input the first of them belongs to."""
    vectors: tuple[bytes, ...]
    """Each as 32-bit floats, little endian."""


class Scores(msgspec.Struct, frozen=True, kw_only=True, tag="scores"):
    """One score per document, in their order; greater is better."""

    scores: tuple[float, ...]


class Tokens(msgspec.Struct, frozen=True, kw_only=True, tag="tokens"):
    """The tokens of a text, and the text that each stands for."""

    tokens: tuple[int, ...]
    pieces: tuple[bytes, ...] = ()


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The generation is complete; nothing follows."""

    reason: FinishReason
    usage: Usage
    stop: str | None = None
    """Of `sampling.stop`, the one that ended it."""


class Broke(msgspec.Struct, frozen=True, kw_only=True, tag="broke"):
    """The generation failed; nothing follows."""

    fault: Fault


Output = Began | Delta | Vectors | Scores | Tokens | Ended | Broke
