"""The prompt shown before its answer, with what the model thought of each of its tokens where asked."""

import math
from collections.abc import Sequence

from runtime.backends.engines.llama.plan import Span
from runtime.backends.engines.llama.recipe import Picked
from runtime.backends.engines.llama.sampler import Array, with_logprobs
from runtime.backends.engines.llama.seq import Seq, Tokens, choice_of
from runtime.backends.protocol import Choice, RawPrompt


class Echo:
    """Gathers the scores of a prompt while it is computed, then shows it."""

    def __init__(self, tokens: Sequence[int], prompt: RawPrompt, alternatives: int | None) -> None:
        self.is_over = False
        """Whether the prompt was shown."""
        self._prompt = list(tokens)
        self._text = prompt.text
        self._alternatives = alternatives
        self._choices: list[Choice] = []

    def read(self, span: Span, rows: Array, seq: Seq, tokens: Tokens) -> Array:
        """Take the rows of a span; return those that are left for the answer.

        The row of a token scores the one after it, so the first token of a prompt has none: NaN.
        """
        end = span.start + len(span.tokens)
        if self._alternatives is not None:
            if span.start == 0:  # also when it was suspended and begins anew
                self._choices = [choice_of(Picked(self._prompt[0], math.nan, ()), tokens)]
            for place, row in zip(range(span.start + 1, end + 1), rows, strict=True):
                if place < len(self._prompt):
                    picked = with_logprobs(self._prompt[place], row, self._alternatives)
                    self._choices.append(choice_of(picked, tokens))
        if end >= len(self._prompt):
            self.is_over = True
            seq.echo(self._shown(tokens), self._choices)
        return rows[-1:]

    def _shown(self, tokens: Tokens) -> str:
        if self._text is not None:
            return self._text

        return b"".join(tokens.name(token) for token in self._prompt).decode("utf-8", "replace")
