"""Which tokens of which seqs the next step computes. Pure: it plans, the context computes.

Seqs wait in the order of their arrival until a slot is free and the shared context has room for what they
may grow to. Each step then takes one row per generating seq, and fills up with slices of prompts, oldest
first. A seq whose reader is behind is blocked: it keeps its slot and is passed over. Where seqs outgrow the
context together, the youngest gives way: its cells are freed, it goes back to the head of the queue, and is
computed again from its prompt and what it had generated.

    submit ──► waiting ──plan: a slot and room──► live ──remove──► gone
                  ▲                                 │
                  └───────── gives way ─────────────┘
"""

from collections import deque
from collections.abc import Set
from dataclasses import dataclass
from typing import NamedTuple

from runtime.backends.engines.llama.pace import Budgets

GROWTH_TOKENS = 256
"""Room that a seq finds when it is admitted, if it may grow so far. Answers within it never give way.
Keeping room for the longest answer that is allowed would let few seqs in, since few answers get so long."""


@dataclass(slots=True)
class Job:
    """A seq as the planner sees it."""

    seq: int
    tokens: list[int]
    """The prompt and what was generated."""
    most_tokens: int
    """What `tokens` may grow to."""
    computed: int = 0
    """How many of the tokens are in the context."""
    slot: int = -1
    """Where in the context; meaningful while live."""

    @property
    def pending(self) -> int:
        """How many tokens are still to be computed; 1 means: ready to generate the next."""
        return len(self.tokens) - self.computed


class Span(NamedTuple):
    """Tokens of one seq to compute; the last one of a complete seq wants its logits."""

    seq: int
    slot: int
    start: int
    tokens: list[int]
    is_complete: bool


class Plan(NamedTuple):
    """One step: clear `vacated`, then compute `spans`. `admitted` are the seqs that got a slot."""

    admitted: list[int]
    vacated: list[int]
    spans: list[Span]


class Batcher:
    """Slots, queue and room of one context of `capacity` cells, computed by at most `rows` tokens a step."""

    def __init__(self, *, capacity: int, slots: int, rows: int) -> None:
        assert slots <= rows, "each generating seq needs a row in every step"
        self._capacity = capacity
        self._rows = rows
        self._free = list(range(slots))
        self._waiting: deque[Job] = deque()
        self._live: dict[int, Job] = {}

    def submit(self, seq: int, tokens: list[int], most_tokens: int) -> None:
        """Queue a seq. `most_tokens` bounds prompt and answer together."""
        assert most_tokens <= self._capacity, "a seq that is alone must fit"
        self._waiting.append(Job(seq=seq, tokens=list(tokens), most_tokens=most_tokens))

    def plan(self, blocked: Set[int], budgets: Budgets) -> Plan:
        """Decide the next step. Changes who is live; what is computed changes with `advance`."""
        admitted = self._admit(blocked)
        vacated: list[int] = []
        spans = self._spans(blocked, budgets)
        while self._used + _count(spans) > self._capacity:
            slot = self.give_way()
            assert slot is not None, "a seq that is alone fits"
            vacated.append(slot)
            spans = self._spans(blocked, budgets)

        return Plan(admitted, vacated, spans)

    def advance(self, plan: Plan) -> None:
        """Note that the spans of the plan are in the context now."""
        for span in plan.spans:
            self._live[span.seq].computed += len(span.tokens)

    def extend(self, seq: int, token: int) -> None:
        """Add the token that was generated; the next plan computes it."""
        self._live[seq].tokens.append(token)

    def remove(self, seq: int) -> int | None:
        """Forget a seq. Returns the slot to clear, None if it held none."""
        job = self._live.pop(seq, None)
        if job is None:
            self._waiting = deque(each for each in self._waiting if each.seq != seq)
            return None

        self._release(job)
        return job.slot

    def give_way(self) -> int | None:
        """Send the youngest live seq back to the queue. Returns the slot to clear; None if it is alone."""
        if len(self._live) < 2:
            return None

        _, job = self._live.popitem()
        self._release(job)
        job.computed = 0
        self._waiting.appendleft(job)
        return job.slot

    @property
    def live(self) -> list[int]:
        """The seqs that hold a slot, oldest first."""
        return list(self._live)

    @property
    def _used(self) -> int:
        return sum(job.computed for job in self._live.values())

    def _release(self, job: Job) -> None:
        self._free.append(job.slot)
        self._free.sort()

    def _admit(self, blocked: Set[int]) -> list[int]:
        """Give slots to those who wait, in order; the blocked ones have no use for one yet."""
        admitted: list[int] = []
        kept = sum(_reserve(job) for job in self._live.values())
        for job in [job for job in self._waiting if job.seq not in blocked]:
            is_too_much = kept + _reserve(job) > self._capacity
            if not self._free or (self._live and is_too_much):
                break

            self._waiting.remove(job)
            job.slot = self._free.pop(0)
            self._live[job.seq] = job
            admitted.append(job.seq)
            kept += _reserve(job)

        return admitted

    def _spans(self, blocked: Set[int], budgets: Budgets) -> list[Span]:
        ready = [job for job in self._live.values() if job.seq not in blocked]
        spans = [_span(job, 1) for job in ready if job.pending == 1]
        left = min(budgets.beside if spans else budgets.alone, self._rows - len(spans))
        for job in ready:
            if job.pending > 1 and left > 0:
                spans.append(_span(job, min(job.pending, left)))
                left -= len(spans[-1].tokens)

        return spans


def _reserve(job: Job) -> int:
    return min(len(job.tokens) + GROWTH_TOKENS, job.most_tokens)


def _span(job: Job, count: int) -> Span:
    start, end = job.computed, job.computed + count
    return Span(job.seq, job.slot, start, job.tokens[start:end], is_complete=end == len(job.tokens))


def _count(spans: list[Span]) -> int:
    return sum(len(span.tokens) for span in spans)
