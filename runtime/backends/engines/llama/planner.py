"""Which seqs run, what each step computes, and which prefixes stay. Pure: the context carries it out.

    submit ──► waiting ──admit: a slot, room, nobody computing its prefix──► live ──remove──► parked prefix
                  ▲                                                           │
                  └──────────────── suspend: more urgent work, no room ───────┘

A seq that gets a slot first takes what is known of its prompt: from a live seq, from a parked prefix, or
from the vault. While another live seq is still computing a prefix that they share, it waits for it instead
of computing the same. A suspended seq is parked like a finished one and waits again with what it generated;
if its prefix had to leave the context meanwhile, it comes back from the vault or is computed again.

Models whose state cannot be cut (a sliding window, recurrent layers) share nothing inside the context:
their state is saved whole, at the end of a seq and where prompts are seen to part, and goes by the vault.
"""

from collections.abc import Set

from runtime.backends.engines.llama.memory import Memory
from runtime.backends.engines.llama.pace import Budgets
from runtime.backends.engines.llama.parking import TOOL_WAIT_S
from runtime.backends.engines.llama.plan import Job, Op, Plan, Save, Span, Store
from runtime.backends.engines.llama.prefixes import Source
from runtime.backends.engines.llama.shares import Shares
from runtime.backends.engines.llama.spans import plan_picture, plan_spans

GROWTH_TOKENS = 256
"""Room that a seq finds when it is admitted, if it may grow so far. Answers within it never give way.
Keeping room for the longest answer that is allowed would let few seqs in, since few answers get so long."""


class Planner:
    """Slots, line and prefixes of a context of `capacity` cells, computed by at most `rows` tokens a step."""

    def __init__(
        self,
        *,
        capacity: int,
        slots: int,
        rows: int,
        holders: int,
        store: Store | None = None,
        is_exact: bool = False,
    ) -> None:
        """`holders` sequence ids exist; those beyond the slots are for parking."""
        assert slots <= rows, "each generating seq needs a row in every step"
        self._capacity = capacity
        self._rows = rows
        self._free = list(range(slots))
        self._waiting: list[Job] = []
        self._live: dict[int, Job] = {}
        self._memory = Memory(capacity, range(slots, holders), store, is_exact=is_exact)
        self._shares = Shares()
        self._arrivals = 0
        self._turn = ""
        self._was_picture = False
        self.computed_tokens = 0
        """Prompt tokens that were computed, ever."""
        self.shared_tokens = 0
        """Prompt tokens that were found instead."""

    # ---- what the engine tells of seqs

    def submit(self, job: Job) -> None:
        """Queue a seq."""
        assert job.most_tokens <= self._capacity, "a seq that is alone must fit"
        self._arrivals += 1
        job.arrived = self._arrivals
        self._shares.enter(job.principal)
        self._waiting.append(job)

    def expire(self, now: float) -> list[int]:
        """Forget those that waited for their first step past their deadline; return them."""
        late = [
            job
            for job in self._waiting
            if job.deadline is not None and now > job.deadline and job.cached is None
        ]
        for job in late:
            self._waiting.remove(job)
            self._shares.leave(job.principal)
        return [job.seq for job in late]

    def accept(self, seq: int, tokens: list[int]) -> list[Op]:
        """Add tokens that were decided after a complete span; the first of them may have been its draft."""
        job = self._live[seq]
        kept = 0
        while kept < min(len(job.draft), len(tokens)) and job.draft[kept] == tokens[kept]:
            kept += 1

        job.computed -= len(job.draft) - kept
        job.draft = []
        job.tokens += tokens
        self._shares.charge(job.principal, answer=len(tokens))
        return self._memory.trim(job)

    def propose(self, seq: int, draft: list[int]) -> None:
        """Let the next step check guesses at what follows the token that is pending."""
        job = self._live[seq]
        if job.pending == 1:
            job.draft = draft[: max(0, job.most_tokens - len(job.tokens) - 1)]

    def remove(
        self, seq: int, now: float, *, awaits_tool: bool = False, is_worth_keeping: bool = True
    ) -> list[Op]:
        """Forget a seq, and keep its prefix where there is room."""
        job = self._live.pop(seq, None)
        if job is None:
            job = next(each for each in self._waiting if each.seq == seq)
            self._waiting.remove(job)
            self._shares.leave(job.principal)
            self._memory.disown(seq)
            return []

        self._shares.leave(job.principal)
        ops = self._settle(job)
        if is_worth_keeping:
            tool_until = now + TOOL_WAIT_S if awaits_tool else 0.0
            ops += self._memory.put_aside(job, now, tool_until=tool_until)
        else:
            ops += self._memory.vacate(job)
        self._leave_slot(job)
        return ops

    def lost(self, seq: int) -> None:
        """Learn that a Restore failed: nothing of the seq is in the context."""
        job = self._live[seq]
        self._memory.lose(job.slot)
        if job.cached is not None and not job.has_begun:
            self.shared_tokens -= job.cached
            job.cached = 0
        job.computed = 0

    # ---- what the engine asks for, in this order, at each step

    def admit(self, blocked: Set[int], now: float) -> tuple[list[int], list[Op]]:
        """Give slots to those whose turn it is; return who got one for the first time, and what to do."""
        admitted: list[int] = []
        ops: list[Op] = []
        line = self._line(blocked)
        while line:
            job = line.pop(0)
            if not self._free and self._victim(job.rank, blocked) is None:
                break

            if self._follows(job, blocked):
                continue

            source = self._memory.prefixes.find(job)
            if self._has_leader(job, source, blocked):
                continue

            way, is_free = self._make_way(job, source, blocked, now)
            ops += way
            if not is_free:
                break

            ops += self._enter(job, self._memory.prefixes.find(job) if way else source, now)
            if job.cached is None:
                job.cached = job.computed
                self.shared_tokens += job.cached
                admitted.append(job.seq)
            line = self._shares.order(line)  # its principal has had something of its share by this

        return admitted, ops

    def plan(self, blocked: Set[int], budgets: Budgets, now: float) -> Plan:
        """Decide the next step, making room for it. What is computed changes with `advance`."""
        ops: list[Op] = []
        while True:
            ready = [job for job in self._live.values() if job.seq not in blocked]
            namespace, spans = self._spans(ready, budgets)
            if self._memory.used + sum(len(span.tokens) for span in spans) <= self._capacity:
                self._turn = namespace
                self._was_picture = any(span.picture is not None for span in spans)
                return Plan(ops, spans, namespace)

            ops += self._free_cells(now)

    def advance(self, plan: Plan) -> list[Op]:
        """Note that the spans of the plan are in the context now; return what to save of it."""
        ops: list[Op] = []
        for span in plan.spans:
            job = self._live[span.seq]
            job.computed += len(span.tokens)
            self._memory.grow(job, span)
            self.computed_tokens += min(job.computed, job.prompt) - min(span.start, job.prompt)
            if job.marks and job.marks[0] <= job.computed:
                at = job.marks.pop(0)
                if at == job.computed:
                    ops.append(Save(job.slot, job.namespace, job.tokens[:at]))
            if job.computed >= job.prompt:
                self._memory.prefixes.fulfil(job)
        return ops

    def give_way(self, now: float) -> list[Op] | None:
        """Free cells where the context is fuller than planned; None where only one seq is left."""
        return self._free_cells(now) if len(self._memory.parking) or len(self._live) > 1 else None

    def shelve(self) -> list[Op]:
        """Return what to save of all that is in the context before it closes, the latest first."""
        if not self._memory.has_store:
            return []

        live = sorted(self._live.values(), key=lambda job: -job.arrived)
        ops: list[Op] = [
            Save(job.slot, job.namespace, job.tokens[: job.computed]) for job in live if job.computed
        ]
        return [*ops, *self._memory.save_parked()]

    # ---- what can be seen from outside

    @property
    def live(self) -> list[int]:
        """The seqs that hold a slot, oldest first."""
        return list(self._live)

    @property
    def waiting(self) -> int:
        """How many seqs hold none."""
        return len(self._waiting)

    @property
    def parked(self) -> int:
        """How many prefixes are kept in the context for later."""
        return len(self._memory.parking)

    @property
    def used_cells(self) -> int:
        """How many cells of the context hold anything."""
        return self._memory.used

    def cached_of(self, seq: int) -> int:
        """Return how many tokens of the prompt of a live seq were found instead of computed."""
        return self._live[seq].cached or 0

    def job_of(self, seq: int) -> Job:
        """Return a live seq. Not to be changed."""
        return self._live[seq]

    def check_integrity(self) -> None:
        """Assert what must hold between calls."""
        slots = [job.slot for job in self._live.values()]
        assert len({*slots, *self._free}) == len(slots) + len(self._free)
        self._memory.check_integrity(self._live.values())

    # ---- how

    def _spans(self, ready: list[Job], budgets: Budgets) -> tuple[str, list[Span]]:
        picture = plan_picture(ready, was_picture=self._was_picture)
        if picture is not None:
            return picture[0], [picture[1]]

        return plan_spans(ready, budgets, self._rows, self._turn)

    def _line(self, blocked: Set[int]) -> list[Job]:
        return self._shares.order(job for job in self._waiting if job.seq not in blocked)

    def _follows(self, job: Job, blocked: Set[int]) -> bool:
        """Whether the job still waits for the leader that was found at an earlier step."""
        leader = None if job.leader is None else self._live.get(job.leader)
        if leader is None or leader.seq in blocked or leader.computed >= job.parting:
            job.leader = None
            return False

        return True

    def _has_leader(self, job: Job, source: Source, blocked: Set[int]) -> bool:
        """Whether a live seq is computing a prefix of this job that is worth waiting for."""
        memory = self._memory
        if memory.is_exact and not memory.has_store:
            return False

        found = memory.prefixes.promised(job, source.length, lambda seq: seq not in blocked)
        leader = None if found is None else self._live[found.seq]
        if found is None or leader is None or leader.computed >= found.length:
            return False

        self._mark(leader, found.length)
        leader.rank = min(leader.rank, job.rank)
        job.leader, job.parting = leader.seq, found.length
        return True

    def _mark(self, job: Job, length: int) -> None:
        """Let the job's state be saved at this length, where it could not be cut back to it later."""
        memory = self._memory
        is_ahead = job.computed < length < len(job.tokens)
        if memory.is_exact and memory.has_store and is_ahead and length not in job.marks:
            job.marks = sorted([*job.marks, length])

    def _make_way(self, job: Job, source: Source, blocked: Set[int], now: float) -> tuple[list[Op], bool]:
        """Find a slot and room, at the cost of those that are less urgent or stand still; say if there is."""
        ops: list[Op] = []
        while not (self._free and self._fits(job, source)):
            victim = self._victim(job.rank, blocked)
            if victim is None:
                return ops, False

            ops += self._suspend(victim, now)
            source = self._memory.prefixes.find(job)
        return ops, True

    def _fits(self, job: Job, source: Source) -> bool:
        """Whether the job and all live ones find room for some growth; one that is alone always fits."""
        if not self._live:
            return True

        taken = self._memory.used_with([each.slot for each in self._live.values()], source)
        taken += sum(_growth(each) for each in self._live.values())
        shared = 0 if source.holder is None else source.length
        return taken + min(len(job.tokens) + GROWTH_TOKENS, job.most_tokens) - shared <= self._capacity

    def _victim(self, rank: int, blocked: Set[int]) -> Job | None:
        """Return whom a job of this rank may displace: the least urgent, or one whose reader is behind."""
        less = [job for job in self._live.values() if job.rank > rank]
        stalled = [job for job in self._live.values() if job.seq in blocked and job.rank >= rank]
        return max(less or stalled, key=lambda job: (job.rank, job.arrived), default=None)

    def _enter(self, job: Job, source: Source, now: float) -> list[Op]:
        """Give the job a slot and what is known of its prompt."""
        self._waiting.remove(job)
        job.slot = self._free.pop(0)
        self._live[job.seq] = job
        ops = self._memory.fill(job, source, now)
        for mark in self._memory.prefixes.partings(job):
            self._mark(job, mark)
        self._shares.charge(job.principal, prompt=max(0, job.prompt - job.computed))
        self._memory.prefixes.promise(job)
        return ops

    def _free_cells(self, now: float) -> list[Op]:
        """Let the least valuable parked prefix go, or else suspend the least urgent, youngest seq."""
        ops = self._memory.free_least(now)
        if ops is not None:
            return ops

        assert len(self._live) > 1, "a seq that is alone fits"
        return self._suspend(max(self._live.values(), key=lambda job: (job.rank, job.arrived)), now)

    def _suspend(self, job: Job, now: float) -> list[Op]:
        """Send a live seq back to the line, with its prefix kept as long as there is room."""
        del self._live[job.seq]
        self._waiting.append(job)
        ops = [*self._settle(job), *self._memory.put_aside(job, now, owner=job.seq)]
        self._leave_slot(job)
        return ops

    def _settle(self, job: Job) -> list[Op]:
        """Take back guesses that nobody will check."""
        job.draft = []
        job.computed = min(job.computed, len(job.tokens))
        return self._memory.trim(job)

    def _leave_slot(self, job: Job) -> None:
        self._free.append(job.slot)
        self._free.sort()
        job.slot, job.computed = -1, 0


def _growth(job: Job) -> int:
    """Return what a live job may still take: what is to be computed, and some room for its answer."""
    return min(job.pending + GROWTH_TOKENS, job.most_tokens - job.computed)
