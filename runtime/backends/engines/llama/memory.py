"""What the sequences of one context hold, and where prefixes stay when their seqs are over. Pure.

Keeps cells, parked prefixes and the knowledge of prefixes true to each other; every change is returned as
operations for the context.
"""

from collections.abc import Collection, Iterable

from runtime.backends.engines.llama.cells import Cells
from runtime.backends.engines.llama.parking import Parked, Parking
from runtime.backends.engines.llama.plan import Drop, Job, Op, Restore, Save, Share, Span, Store, Trim
from runtime.backends.engines.llama.prefixes import Prefixes, Source


class Memory:
    """The cells of one context. `parking` are the sequence ids for prefixes that nobody uses now."""

    def __init__(self, capacity: int, parking: Iterable[int], store: Store | None, *, is_exact: bool) -> None:
        self.capacity = capacity
        self.is_exact = is_exact
        """Whether states can only be used whole: nothing is shared inside the context then."""
        self.has_store = store is not None
        self.prefixes = Prefixes(store, is_exact=is_exact)
        self.parking = Parking(() if is_exact else parking)
        self._cells = Cells()

    @property
    def used(self) -> int:
        """How many cells hold anything."""
        return self._cells.used

    def used_with(self, slots: Collection[int], source: Source) -> int:
        """Return how many cells the slots hold, and what the source would add to them."""
        taken = self._cells.used_by(slots)
        if source.holder is not None:
            taken += self._cells.unshared(source.holder, source.length, slots)
        return taken

    def grow(self, job: Job, span: Span) -> None:
        """Note that a span was computed."""
        self._cells.grow(span.slot, len(span.tokens))
        self.prefixes.grow(span.slot, job.namespace, span.tokens)

    def trim(self, job: Job) -> list[Op]:
        """Take back what is beyond the job's computed tokens."""
        if self._cells.length(job.slot) <= job.computed:
            return []

        self._cells.trim(job.slot, job.computed)
        self.prefixes.trim(job.slot, job.computed)
        return [Trim(job.slot, job.computed)]

    def lose(self, slot: int) -> None:
        """Note that a slot holds nothing after all."""
        self._cells.drop(slot)
        self.prefixes.drop(slot)

    def fill(self, job: Job, source: Source, now: float) -> list[Op]:
        """Bring the beginning of the job's tokens into its empty slot; sets how much is computed by it."""
        job.computed = source.length
        if source.holder is not None:
            ops = self._copy(source.holder, job, now)
        elif source.key is not None:
            ops = self._fetch(job, source, now)
        else:
            ops = []
        own = self.parking.of(job.seq)
        return ops if own is None else [*ops, *self._unpark(own.holder)]  # the job has what it was kept for

    def put_aside(
        self, job: Job, now: float, *, tool_until: float = 0.0, owner: int | None = None
    ) -> list[Op]:
        """Empty the slot of a job that is no longer live; park or save its prefix."""
        tokens = job.tokens[: job.computed]
        if self.is_exact:
            self.prefixes.remember(job.namespace, tokens)
            saved: list[Op] = [Save(job.slot, job.namespace, tokens)] if self.has_store and tokens else []
            return [*saved, *self.vacate(job)]

        if not tokens or self._is_covered(job, tokens, now):
            return self.vacate(job)

        ops: list[Op] = []
        if self.parking.is_full:
            least = self.parking.least(now)
            if least is None:
                return self.vacate(job)
            ops += self._evict(least)
        covered = self.prefixes.covered_by(job.namespace, tokens, self.parking)
        ops += self._park(job, tokens, now, tool_until=tool_until, owner=owner)
        for each in covered:
            ops += self._unpark(each)
        return [*ops, *self.vacate(job)]

    def vacate(self, job: Job) -> list[Op]:
        """Empty the slot of a job that is no longer live."""
        self.prefixes.fulfil(job)
        self.prefixes.drop(job.slot)
        self._cells.drop(job.slot)
        return [Drop(job.slot)]

    def free_least(self, now: float) -> list[Op] | None:
        """Let the least valuable parked prefix leave the context; None where there is none."""
        least = self.parking.least(now)
        return None if least is None else self._evict(least)

    def disown(self, seq: int) -> None:
        """Note that a suspended seq will not come back: its prefix is like any other."""
        parked = self.parking.of(seq)
        if parked is not None:
            parked.owner = None

    def save_parked(self) -> list[Op]:
        """Return what to save of the parked prefixes, the most lately used first."""
        return [
            Save(each.holder, each.namespace, self.prefixes.tokens_of(each.holder))
            for each in self.parking.all()
        ]

    def check_integrity(self, jobs: Iterable[Job]) -> None:
        """Assert what must hold between calls."""
        assert self._cells.used <= self.capacity
        for job in jobs:
            assert self._cells.length(job.slot) == job.computed <= len(job.tokens) + len(job.draft)
            if self.prefixes.knows(job.slot):
                assert len(self.prefixes.tokens_of(job.slot)) == job.computed
        for parked in self.parking.all():
            assert self._cells.length(parked.holder) == parked.length > 0

    def _copy(self, holder: int, job: Job, now: float) -> list[Op]:
        self._cells.share(holder, job.slot, job.computed)
        self.prefixes.hold(job.slot, job.namespace, job.tokens[: job.computed])
        parked = self.parking.get(holder)
        if parked is not None:
            parked.used_at = now
        return [Share(holder, job.slot, job.computed)]

    def _fetch(self, job: Job, source: Source, now: float) -> list[Op]:
        """Bring a prefix back from the vault; the whole of it has to fit for a moment."""
        assert source.key is not None
        ops: list[Op] = []
        while self._cells.used + source.total > self.capacity:
            least = self.parking.least(now)
            if least is None:
                job.computed = 0
                return ops
            ops += self._evict(least)
        self._cells.grow(job.slot, source.length)
        self.prefixes.hold(job.slot, job.namespace, job.tokens[: source.length])
        return [*ops, Restore(job.seq, job.slot, source.key, source.length)]

    def _park(
        self, job: Job, tokens: list[int], now: float, *, tool_until: float, owner: int | None
    ) -> list[Op]:
        holder = self.parking.take_free()
        self._cells.share(job.slot, holder, job.computed)
        parked = Parked(holder=holder, namespace=job.namespace, length=job.computed, used_at=now)
        parked.tool_until, parked.owner = tool_until, owner
        self.parking.add(parked)
        self.prefixes.hold(holder, job.namespace, tokens)
        return [Share(job.slot, holder, job.computed)]

    def _is_covered(self, job: Job, tokens: list[int], now: float) -> bool:
        """Whether a parked prefix holds all of these tokens already."""
        holder = self.prefixes.holder_of_all(job.namespace, tokens, self.parking)
        parked = None if holder is None else self.parking.get(holder)
        if parked is None:
            return False

        parked.used_at = now
        return True

    def _evict(self, parked: Parked) -> list[Op]:
        """Let a parked prefix leave the context; what only it holds goes to the vault."""
        saved: list[Op] = []
        if self.has_store and self._cells.exclusive(parked.holder):
            saved = [Save(parked.holder, parked.namespace, self.prefixes.tokens_of(parked.holder))]
        return [*saved, *self._unpark(parked.holder)]

    def _unpark(self, holder: int) -> list[Op]:
        self.parking.remove(holder)
        self.prefixes.drop(holder)
        self._cells.drop(holder)
        return [Drop(holder)]
