"""One generation from its first token to its last: what each token adds, and when it is over. Pure."""

from typing import Literal, Protocol

from runtime.backends.engines.contract import StepFrame
from runtime.backends.engines.llama.answer import Answer
from runtime.backends.engines.llama.reasoning import Parts
from runtime.backends.engines.llama.recipe import Picked
from runtime.backends.protocol import Alternative, Choice, Delta, Finished

Reason = Literal["stop", "length", "cancelled"]


class Tokens(Protocol):
    """What tokens look like."""

    def show(self, token: int) -> bytes:
        """Return what the token adds to a text; control tokens add nothing."""

    def name(self, token: int) -> bytes:
        """Return the token as a list of tokens shows it, control tokens too."""


class Seq:
    """Turns picked tokens into frames, and counts them."""

    def __init__(
        self, seq: int, *, prompt_tokens: int, most_tokens: int, answer: Answer, tokens: Tokens
    ) -> None:
        self.seq = seq
        self.prompt_tokens = prompt_tokens
        self.is_started = False
        """Whether Started was sent."""
        self.is_over = False
        """Whether Finished was returned."""
        self._most_tokens = most_tokens
        self._answer = answer
        self._tokens = tokens
        self._completion_tokens = 0
        self._reasoning_tokens = 0
        self._unreported = 0
        self._choices: list[Choice] = []

    def accept(self, picked: Picked, *, is_end: bool) -> list[StepFrame]:
        """Take the next token; return at most one Delta, then Finished if this was the last.

        A token that ends the answer is no part of it, and is not counted.
        """
        if is_end:
            return self._close("stop", Parts("", ""))

        self._completion_tokens += 1
        self._unreported += 1
        if picked.rivals is not None:
            self._choices.append(self._choice(picked))

        was_reasoning = self._answer.is_reasoning
        parts = self._answer.feed(self._tokens.show(picked.token))
        self._reasoning_tokens += was_reasoning or self._answer.is_reasoning
        if self._answer.is_stopped:
            return self._close("stop", parts)

        if self._completion_tokens >= self._most_tokens:
            return self._close("length", parts)

        return self._delta(parts)

    def cut_short(self) -> list[StepFrame]:
        """End as too long, showing what was held back."""
        return self._close("length", Parts("", ""))

    @property
    def has_begun(self) -> bool:
        """Whether any token was generated."""
        return self._completion_tokens > 0

    def finish(self, reason: Reason) -> Finished:
        """End here, whatever was held back."""
        self.is_over = True
        return Finished(
            seq=self.seq,
            reason=reason,
            prompt_tokens=self.prompt_tokens if self.is_started else 0,
            completion_tokens=self._completion_tokens,
            reasoning_tokens=self._reasoning_tokens,
        )

    def _close(self, reason: Reason, parts: Parts) -> list[StepFrame]:
        rest = self._answer.flush()
        last = Parts(parts.text + rest.text, parts.reasoning + rest.reasoning)
        frames = self._delta(last, is_due=self._unreported > 0)
        return [*frames, self.finish("stop" if self._answer.is_stopped else reason)]

    def _delta(self, parts: Parts, *, is_due: bool = False) -> list[StepFrame]:
        """Report what there is to see; tokens with nothing to see wait for the next delta, or the last."""
        if not (is_due or parts.text or parts.reasoning or self._choices):
            return []

        choices, self._choices = self._choices, []
        tokens, self._unreported = self._unreported, 0
        return [
            Delta(seq=self.seq, text=parts.text, reasoning=parts.reasoning, logprobs=choices, tokens=tokens)
        ]

    def _choice(self, picked: Picked) -> Choice:
        rivals = picked.rivals or ()
        return Choice(
            chosen=self._alternative(picked.token, picked.logprob),
            top=[self._alternative(token, logprob) for token, logprob in rivals],
        )

    def _alternative(self, token: int, logprob: float) -> Alternative:
        data = self._tokens.name(token)
        return Alternative(token=data.decode("utf-8", "replace"), logprob=logprob, data=data)
