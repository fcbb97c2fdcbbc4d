"""One generation from its first token to its last: what each token adds, and when it is over. Pure."""

from typing import Literal, Protocol

from runtime.backends.engines.contract import StepFrame
from runtime.backends.engines.llama.calls.reader import Parts
from runtime.backends.engines.llama.recipe import Picked
from runtime.backends.protocol import Alternative, Choice, Delta, Failed, Fault, Finished, ToolCallPiece

Reason = Literal["stop", "length", "tool_calls", "cancelled"]


class Tokens(Protocol):
    """What tokens look like."""

    def show(self, token: int) -> bytes:
        """Return what the token adds to a text; control tokens add nothing."""

    def name(self, token: int) -> bytes:
        """Return the token as a list of tokens shows it, control tokens too."""


class Reading(Protocol):
    """Bytes of tokens in, what a reader may see out."""

    def feed(self, piece: bytes) -> Parts:
        """Take a token's bytes; return what may be shown now."""

    def flush(self, *, is_cut: bool) -> Parts:
        """Return what was held back, at the end; `is_cut`: the answer was not finished."""

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string was completed."""

    @property
    def stop(self) -> str | None:
        """The stop string that was completed."""

    @property
    def is_reasoning(self) -> bool:
        """Whether the model is thinking."""

    @property
    def has_calls(self) -> bool:
        """Whether a tool call was completed."""

    @property
    def fault(self) -> Fault | None:
        """Why what was written is not what was asked for; looked at after the flush."""


class Seq:
    """Gathers what the tokens of one step come to, counts them, and makes frames of it."""

    def __init__(
        self, seq: int, *, prompt_tokens: int, most_tokens: int, answer: Reading, tokens: Tokens
    ) -> None:
        self.seq = seq
        self.prompt_tokens = prompt_tokens
        self.cached_tokens = 0
        self.drafted_tokens = 0
        self.accepted_tokens = 0
        self.forced_tokens = 0
        self.is_started = False
        """Whether Started was sent."""
        self.reason: Reason | None = None
        """Why it is over; None while it is not."""
        self.generated: list[int] = []
        """The tokens of the answer; one that ends it is not among them."""
        self._most_tokens = most_tokens
        self._answer = answer
        self._tokens = tokens
        self._reasoning_tokens = 0
        self._unreported = 0
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCallPiece] = []
        self._choices: list[Choice] = []
        self._is_flushed = False

    @property
    def is_over(self) -> bool:
        """Whether nothing follows."""
        return self.reason is not None

    @property
    def room(self) -> int:
        """How many tokens may still be generated."""
        return self._most_tokens - len(self.generated)

    def accept(self, picked: Picked, *, is_end: bool) -> None:
        """Take the next token. One that ends the answer is no part of it, and is not counted."""
        assert not self.is_over
        if is_end:
            self._end("stop")
            return

        self.generated.append(picked.token)
        self._unreported += 1
        was_reasoning = self._answer.is_reasoning
        self._show(self._answer.feed(self._tokens.show(picked.token)))
        self._reasoning_tokens += was_reasoning or self._answer.is_reasoning
        if picked.rivals is not None:
            self._choices.append(self._choice(picked))

        if self._answer.is_stopped:
            self._end("stop")
        elif self.room <= 0:
            self._end("length")

    def close(self) -> None:
        """End where the grammar says that all is said."""
        if not self.is_over:
            self._end("stop")

    def cut_short(self) -> None:
        """End as too long, showing what was held back."""
        self._end("length")

    def echo(self, text: str, choices: list[Choice]) -> None:
        """Show the prompt before the answer."""
        self._text.append(text)
        self._choices += choices

    def frames(self) -> list[StepFrame]:
        """Return what the step came to: at most one Delta, then the end if this was it."""
        frames = self._delta()
        if self.reason is None:
            return frames

        fault = self._answer.fault if self.reason != "cancelled" else None
        return [*frames, self._finished() if fault is None else Failed(seq=self.seq, fault=fault)]

    def cancel(self) -> Finished:
        """End here, whatever was held back."""
        self.reason = "cancelled"
        return self._finished()

    def _end(self, reason: Reason) -> None:
        is_cut = reason == "length" and not self._answer.is_stopped
        self._show(self._answer.flush(is_cut=is_cut))
        if self._answer.is_stopped:
            reason = "stop"
        self.reason = "tool_calls" if reason == "stop" and self._answer.has_calls else reason

    def _show(self, parts: Parts) -> None:
        self._text.append(parts.text)
        self._reasoning.append(parts.reasoning)
        self._calls += parts.calls

    def _delta(self) -> list[StepFrame]:
        """Report what there is to see; tokens with nothing to see wait for the next delta, or the last."""
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        is_due = self.is_over and self._unreported > 0
        if not (is_due or text or reasoning or self._calls or self._choices):
            return []

        delta = Delta(
            seq=self.seq,
            text=text,
            reasoning=reasoning,
            tool_calls=_merged(self._calls),
            logprobs=self._choices,
            tokens=self._unreported,
        )
        self._text, self._reasoning, self._calls, self._choices, self._unreported = [], [], [], [], 0
        return [delta]

    def _finished(self) -> Finished:
        assert self.reason is not None
        return Finished(
            seq=self.seq,
            reason=self.reason,
            prompt_tokens=self.prompt_tokens if self.is_started else 0,
            completion_tokens=len(self.generated),
            cached_tokens=self.cached_tokens,
            reasoning_tokens=self._reasoning_tokens,
            drafted_tokens=self.drafted_tokens,
            accepted_tokens=self.accepted_tokens,
            forced_tokens=self.forced_tokens,
            stop=self._answer.stop if self.reason == "stop" else None,
        )

    def _choice(self, picked: Picked) -> Choice:
        return choice_of(picked, self._tokens)


def choice_of(picked: Picked, tokens: Tokens) -> Choice:
    """Return a token with its rivals as the protocol shows them."""
    rivals = picked.rivals or ()
    return Choice(
        chosen=_alternative(picked.token, picked.logprob, tokens),
        top=[_alternative(token, logprob, tokens) for token, logprob in rivals],
    )


def _alternative(token: int, logprob: float, tokens: Tokens) -> Alternative:
    data = tokens.name(token)
    return Alternative(token=data.decode("utf-8", "replace"), logprob=logprob, data=data)


def _merged(pieces: list[ToolCallPiece]) -> list[ToolCallPiece]:
    """Join neighbouring pieces of one call: a step says each call once."""
    merged: list[ToolCallPiece] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if last is not None and last.index == piece.index:
            merged[-1] = ToolCallPiece(
                index=last.index,
                id=last.id,
                name=last.name,
                arguments=last.arguments + piece.arguments,
                type=last.type,
            )
        else:
            merged.append(piece)
    return merged
