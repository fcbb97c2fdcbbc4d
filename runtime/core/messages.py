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


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of a message's content. Only text reaches engines today; `api` refuses the rest."""

    type: Literal["text", "refusal"] = "text"
    text: str = ""


class FunctionCall(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model wants called, its arguments as JSON text."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call inside an assistant message."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a conversation; content is text once `api` has joined its parts."""

    role: Role
    content: str | None = None
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


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted chat completion."""

    model: ModelId
    messages: tuple[Message, ...]
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    response_format: ResponseFormat = ResponseFormat()
    sampling: Sampling = Sampling()
    reasoning_effort: str | None = None
    choices: int = 1
    """How many independent answers (`n`)."""


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


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that one generation took."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

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


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The generation is complete; nothing follows."""

    reason: FinishReason
    usage: Usage


class Broke(msgspec.Struct, frozen=True, kw_only=True, tag="broke"):
    """The generation failed; nothing follows."""

    fault: Fault


Output = Began | Delta | Ended | Broke
