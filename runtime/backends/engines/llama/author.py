"""How one seq chooses its tokens: sampled from logits, kept to its grammar, guessed ahead where that pays."""

from collections.abc import Sequence, Set

from runtime.backends.engines.llama.drafts import Drafts
from runtime.backends.engines.llama.gain import CostCurve
from runtime.backends.engines.llama.grammar.guide import Guide
from runtime.backends.engines.llama.sampler import Array, Sampler
from runtime.backends.engines.llama.seq import Seq

_MOST_FORCED = 16
"""Tokens that a grammar forces are computed so many at a time at most: as many as one row group takes."""


class Author:
    """The choices of one seq."""

    def __init__(
        self,
        seq: Seq,
        sampler: Sampler,
        *,
        ends: Set[int],
        guide: Guide | None,
        curve: CostCurve | None,
        drafts: Drafts | None,
    ) -> None:
        """`curve` and `drafts` are None where nothing is computed ahead."""
        self.seq = seq
        self._sampler = sampler
        self._ends = ends
        self._guide = guide
        self._curve = curve
        self._drafts = drafts

    def read(self, rows: Sequence[Array], draft: Sequence[int], rows_beside: int) -> list[int]:
        """Choose a token per row as long as the guesses were right; return those that go on the seq.

        Raises LogitsBroken, GuideBroken.
        """
        if self._drafts is not None:
            self._drafts.cut(len(draft))
        tokens: list[int] = []
        for place, row in enumerate(rows):
            token = self._choose(row)
            if self.seq.is_over:
                break

            tokens.append(token)
            if place >= len(draft) or draft[place] != token:
                break

        if not self.seq.is_over:
            tokens += self._force(rows_beside)
        if self._drafts is not None:
            self._drafts.took(tokens)
            self.seq.drafted_tokens = self._drafts.drafted_tokens
            self.seq.accepted_tokens = self._drafts.accepted_tokens
        return tokens

    def end_unasked(self) -> list[int]:
        """End without an answer: only the prompt was asked about."""
        self.seq.cut_short()
        return []

    def guess(self, rows_beside: int) -> list[int]:
        """Return what may follow, to be checked in the next step."""
        return [] if self._drafts is None else self._drafts.propose(rows_beside, self.seq.room - 1)

    def _choose(self, row: Array) -> int:
        guide = self._guide
        token = self._sampler.pick(row).token
        if guide is not None and not guide.allows(token):
            token = self._sampler.pick(guide.masked(row)).token
        self._take(token, row)
        return token

    def _take(self, token: int, row: Array | None) -> None:
        is_end = token in self._ends
        if self._guide is not None and not is_end:
            self._guide.accept(token)
        self._sampler.note(token)
        self.seq.accept(self._sampler.explain(token, row), is_end=is_end)
        if self._guide is not None and self._guide.is_over and not self.seq.is_over:
            self.seq.close()

    def _force(self, rows_beside: int) -> list[int]:
        """Write what the grammar leaves no choice about, without asking the model."""
        if self._guide is None or self._curve is None or self._sampler.wants_logprobs:
            return []

        forced = self._guide.forced()[:_MOST_FORCED]
        if not forced or not self._curve.is_worth_forcing(len(forced), rows_beside):
            return []

        taken: list[int] = []
        for token in forced:
            if self.seq.is_over or token in self._ends:
                break
            self._take(token, None)
            taken.append(token)
        self.seq.forced_tokens += len(taken)
        return taken if not self.seq.is_over else taken[:-1]
