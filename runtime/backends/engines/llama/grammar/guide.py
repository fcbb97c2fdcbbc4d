"""The grammar of one seq, token by token: what may come, what must come, and when it is over.

A token is asked for by itself, since a mask of the whole vocabulary costs a hundred times as much: sample
first, ask, and mask only the row whose token was refused. Measured with SmolLM2's 49,152 tokens on one core,
in microseconds, median and most over the tokens of a tool call: `allows` 2 and 3, `may_end` 0.4, `accept` 19
and 130, `forced` 50 and 75 (1 inside of a string), `masked` 190 and 260, `copy` 2. Compiling takes 2 ms for a
tool call, 20 for numbers, 60 for an object of anything; building the tokenizer 370, once.

llguidance never raises for a bad token; it falls silent for ever. So every step is looked at.
"""

import math
import re
from collections.abc import Collection
from typing import Any

from llguidance import LLMatcher

Array = Any
"""A numpy array: numpy lives only in the engine's environment, so its types are not at hand."""

_SHOWN = 200
"""Characters of llguidance's reason that are passed on."""


class GuideBroken(Exception):
    """The grammar cannot be followed any further; the seq cannot end well."""


class Guide:
    """Where one seq stands in its grammar. Every token that the seq takes must be accepted, in order."""

    def __init__(self, matcher: LLMatcher, ends: Collection[int]) -> None:
        self._matcher = matcher
        self._ends = frozenset(ends)
        self._ended = 0
        """Tokens that end a text, and were accepted; at most one in a text that is over."""

    @property
    def may_end(self) -> bool:
        """Whether the text is complete as it stands, so that a token that ends it may follow."""
        return self._ended == 0 and self._matcher.is_accepting()

    @property
    def is_over(self) -> bool:
        """Whether it is known that nothing can follow but a token that ends the text.

        A text that may end can be over without this being known: the next token that is asked for tells.
        """
        return self._ended > 0 or self._matcher.is_stopped()

    def allows(self, token: int) -> bool:
        """Whether this token may come next. Modifies nothing. Raises GuideBroken."""
        if self.is_over:
            return self.may_end and token in self._ends

        if token in self._ends:
            return self.may_end or self._mask()[token] != 0  # the grammar itself may name one

        is_allowed = self._matcher.validate_tokens([token]) == 1
        self._look()
        return is_allowed

    def masked(self, row: Array) -> Array:
        """Return a copy of the logits with minus infinity for all that may not come. Raises GuideBroken."""
        marks = bytearray(row.shape[-1])
        if not self.is_over:
            allowed = self._mask()[: len(marks)]
            marks[: len(allowed)] = allowed

        if self.may_end:
            for token in self._ends:
                marks[token] = 1

        if marks.count(0) == len(marks):
            raise GuideBroken("the grammar allows no token at all")

        arrays = row.__array_namespace__()
        return arrays.where(arrays.asarray(memoryview(marks)) != 0, row, -math.inf)

    def accept(self, token: int) -> None:
        """Go on by one token. Raises GuideBroken if it may not come; the guide is then as it was."""
        if not self.allows(token):
            raise GuideBroken(f"token {token} does not fit the grammar")

        if token in self._ends and self.may_end:
            self._ended += 1
            return

        self._matcher.consume_token(token)
        self._look()

    def forced(self) -> list[int]:
        """Return the tokens that must come next, as a tokenizer would write them; [] if there is a choice.

        Modifies nothing: each must still be accepted. Raises GuideBroken.
        """
        if self.is_over:
            return []

        tokens = self._matcher.compute_ff_tokens()
        self._look()
        return tokens

    def rollback(self, count: int) -> None:
        """Take the last `count` accepted tokens back. Raises GuideBroken if there are fewer."""
        ended = min(self._ended, count)
        self._ended -= ended
        if count > ended and not self._matcher.rollback(count - ended):
            raise GuideBroken(self._reason())

    def copy(self) -> "Guide":
        """Return a guide that stands where this one does, and goes on by itself."""
        twin = Guide(self._matcher.deep_copy(), self._ends)
        twin._ended = self._ended
        return twin

    def _mask(self) -> bytes:
        mask = self._matcher.compute_logit_bias()
        self._look()
        return mask

    def _look(self) -> None:
        if self._matcher.is_error():
            raise GuideBroken(self._reason())

    def _reason(self) -> str:
        return plain(self._matcher.get_error()) or self._matcher.stop_reason()


def plain(problem: str) -> str:
    """Return what llguidance says, without the lines that it quotes, cut to a length that can be read."""
    said = _QUOTED.sub("", problem.partition("<state>")[0])
    return " ".join(said.split())[:_SHOWN]


_QUOTED = re.compile(r"\n *\d+ \|[^\n]*|\n *\^+ *(?=\n|$)")
