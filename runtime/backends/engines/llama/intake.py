"""From a request to the tokens and numbers that a seq runs on, or to the reason why it cannot.

Pure, but for a template that asks for today's date.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.backends.engines.llama.masking import Piece
from runtime.backends.engines.llama.recipe import Recipe, decide_recipe
from runtime.backends.engines.llama.template import ChatTemplate, TemplateRefused
from runtime.backends.protocol import Fault, Generate, Tuning

_SUSPICIOUS_CHARS = 4
"""Characters per token in plain English. A prompt that would not fit by this measure is counted with care."""

_SLICE_CHARS, _SLICE_SLACK = 16_384, 16
"""Such a prompt is counted in slices; cutting one costs at most so many tokens more than leaving it whole."""


class Encoder(Protocol):
    """Text to tokens."""

    @property
    def size(self) -> int:
        """How many tokens there are."""

    @property
    def longest(self) -> int:
        """No token stands for more bytes of text than this."""

    @property
    def leading(self) -> int | None:
        """The token that every prompt begins with; None where there is none."""

    def encode(self, text: str, *, is_trusted: bool) -> list[int]:
        """Return the tokens of the text; special ones are parsed only if it is trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request that can run."""

    tokens: list[int]
    most_tokens: int
    """How many may be generated."""
    recipe: Recipe
    opens_reasoning: bool


class Intake:
    """Checks and prepares requests for one model; a seq takes at most `limit` tokens."""

    def __init__(self, template: ChatTemplate, encoder: Encoder, tuning: Tuning, limit: int) -> None:
        self._template = template
        self._encoder = encoder
        self._tuning = tuning
        self._limit = limit

    def prepare(self, request: Generate) -> Prepared | Fault:
        """Render, count and check. Modifies nothing."""
        fault = _unsupported(request)
        if fault is not None:
            return fault

        recipe = decide_recipe(request.sampling, self._tuning, self._encoder.size)
        if isinstance(recipe, Fault):
            return recipe

        contents = (message.get("content") for message in request.messages)
        chars = sum(len(content) for content in contents if isinstance(content, str))
        if chars > self._limit * self._encoder.longest:
            return self._too_long(f"at least {chars // self._encoder.longest}")

        try:
            rendered = self._template.render(request.messages, request.reasoning_effort)
        except TemplateRefused as refused:
            return Fault(
                code="invalid_request",
                message=f"This model's chat template does not accept the messages: {refused}",
                param="messages",
            )

        least = self._least_tokens(rendered.pieces)
        if least >= self._limit:
            return self._too_long(f"at least {least}")

        tokens: list[int] = []
        for piece in rendered.pieces:
            tokens += self._encoder.encode(piece.text, is_trusted=piece.is_trusted)

        return self._bounded(self._led(tokens), request, recipe, rendered.opens_reasoning)

    def _least_tokens(self, pieces: Sequence[Piece]) -> int:
        """Count the tokens of a prompt that may be too long, only until that is clear.

        Tokenising megabytes takes seconds, in which no other seq advances. 0 where all is well.
        """
        if sum(len(piece.text) for piece in pieces) < self._limit * _SUSPICIOUS_CHARS:
            return 0

        count = 0
        for piece in pieces:
            for at in range(0, len(piece.text), _SLICE_CHARS):
                part = piece.text[at : at + _SLICE_CHARS]
                tokens = self._encoder.encode(part, is_trusted=piece.is_trusted)
                count += max(0, len(tokens) - _SLICE_SLACK)
                if count >= self._limit:
                    return count

        return count

    def _led(self, tokens: list[int]) -> list[int]:
        """Begin with the token that the model expects first, unless the template wrote it."""
        leading = self._encoder.leading
        return tokens if leading is None or tokens[:1] == [leading] else [leading, *tokens]

    def _bounded(
        self, tokens: list[int], request: Generate, recipe: Recipe, opens_reasoning: bool
    ) -> Prepared | Fault:
        if not tokens:
            return Fault(
                code="invalid_request",
                message="The messages make an empty prompt. Send at least one with text.",
                param="messages",
            )

        room = self._limit - len(tokens)
        if room < 1:
            return self._too_long(str(len(tokens)))

        asked = request.sampling.max_tokens
        return Prepared(
            tokens=tokens,
            most_tokens=room if asked is None else max(1, min(asked, room)),
            recipe=recipe,
            opens_reasoning=opens_reasoning,
        )

    def _too_long(self, count: str) -> Fault:
        return Fault(
            code="context_length_exceeded",
            message=f"The prompt has {count} tokens, but this model takes {self._limit} for prompt and "
            "answer together. Shorten the messages, or raise the model's context_tokens in lar.toml.",
            param="messages",
        )


def _unsupported(request: Generate) -> Fault | None:
    """Name what was asked for and cannot be honoured: ignoring it would pass for an answer."""
    if request.tools and request.tool_mode != "none":
        return Fault(
            code="unsupported_parameter",
            message="This model's engine does not call tools yet. Leave tools out, or set tool_choice "
            "to 'none'.",
            param="tools",
        )

    if request.format_type != "text":
        return Fault(
            code="unsupported_parameter",
            message=f"This model's engine cannot hold an answer to {request.format_type} yet. "
            "Leave response_format out.",
            param="response_format",
        )

    return None
