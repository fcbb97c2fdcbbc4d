"""Guesses of one seq from its own text: proposed where they pay, rehearsed where it is not known yet. Pure.

A rehearsal is a draft that nobody computes: it is compared with the tokens that come one by one, and
teaches the gate as much as one that was computed, at the price of the lookup. So a text that begins to
repeat itself turns guessing on by itself, and one that does not never pays for trying.

    propose ──gate: how many?──┬─ some: computed beside the next token ─┐
                               └─ none: kept here, a rehearsal ─────────┴─► took: compared, the gate learns
"""

from collections.abc import Sequence

from runtime.backends.engines.llama.gain import CostCurve, Gate
from runtime.backends.engines.llama.lookup import Lookup

REHEARSED_TOKENS = 8
"""How far a rehearsal looks ahead: long enough that a good one counts, short enough to be up to date."""


class Drafts:
    """The guesses of one seq. `tokens` are its prompt."""

    def __init__(self, tokens: Sequence[int], curve: CostCurve) -> None:
        self.drafted_tokens = 0
        """Proposed to be computed."""
        self.accepted_tokens = 0
        """Of these, those that came indeed."""
        self._lookup = Lookup(tokens)
        self._gate = Gate(curve)
        self._expected: list[int] = []
        """What should come next, by the last proposal or rehearsal."""
        self._met = 0
        """How much of it has come."""
        self._is_proposed = False

    def propose(self, rows_beside: int, room: int) -> list[int]:
        """Return up to `room` tokens worth computing ahead in the next step; often none."""
        length = min(self._gate.length(rows_beside), room)
        if length < 1:
            if not self._expected:
                self._expect(self._lookup.draft(REHEARSED_TOKENS), is_proposed=False)
            return []

        if self._expected:
            self._learn()
        self._expect(self._lookup.draft(length), is_proposed=True)
        return list(self._expected)

    def cut(self, length: int) -> None:
        """Note that only so much of what was just proposed is computed (a grammar forbids the rest)."""
        if self._is_proposed and length < len(self._expected):
            self.drafted_tokens -= len(self._expected) - length
            del self._expected[length:]

    def took(self, tokens: Sequence[int]) -> None:
        """Note the tokens that a step brought, whether they had been guessed or not."""
        for token in tokens:
            self._lookup.extend(token)
            if self._expected:
                self._compare(token)
        if self._is_proposed and self._expected:
            self._learn()

    def _expect(self, tokens: list[int], *, is_proposed: bool) -> None:
        self._expected, self._met, self._is_proposed = tokens, 0, is_proposed
        if is_proposed:
            self.drafted_tokens += len(tokens)

    def _compare(self, token: int) -> None:
        is_met = token == self._expected[self._met]
        self._met += is_met
        if is_met and self._is_proposed:
            self.accepted_tokens += 1
        if not is_met:
            self._learn(failed=1)
        elif self._met == len(self._expected):
            self._learn()

    def _learn(self, *, failed: int = 0) -> None:
        """Teach the gate what is known of the expectation so far, and drop it."""
        if self._met or failed:
            self._gate.seen(self._met + failed, self._met)
        self._expected, self._met, self._is_proposed = [], 0, False
