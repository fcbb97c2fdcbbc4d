"""The planner against a context that is played: whatever happens, what is computed is what was asked for."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime.backends.engines.llama.pace import Budgets
from runtime.backends.engines.llama.plan import (
    Drop,
    Job,
    Op,
    Picture,
    Plan,
    Restore,
    Save,
    Share,
    Span,
    Trim,
)
from runtime.backends.engines.llama.planner import Planner

BUDGETS = Budgets(alone=512, beside=64)
NOBODY: frozenset[int] = frozenset()


class Cell(NamedTuple):
    """One token's place in the context; the same object in every sequence that shares it."""

    token: int
    number: int


class Kept(NamedTuple):
    length: int
    key: int
    total: int


class PlayedVault:
    """Keeps everything that is saved."""

    def __init__(self, *, is_exact: bool = False) -> None:
        self.entries: dict[int, tuple[str, list[int]]] = {}
        self._is_exact = is_exact

    def put(self, namespace: str, tokens: Sequence[int]) -> None:
        self.entries[len(self.entries)] = (namespace, list(tokens))

    def find(self, namespace: str, tokens: Sequence[int]) -> Kept | None:
        best: Kept | None = None
        for key, (name, held) in self.entries.items():
            length = common(held, tokens)
            if name != namespace or (self._is_exact and length < len(held)):
                continue
            if length and (best is None or length > best.length):
                best = Kept(length, key, len(held))
        return best


class PlayedContext:
    """Sequences of cells, as llama.cpp keeps them; refuses what llama.cpp would refuse."""

    def __init__(
        self, capacity: int, slots: int, vault: PlayedVault | None, *, is_exact: bool = False
    ) -> None:
        self.capacity = capacity
        self.slots = slots
        self.vault = vault
        self.is_exact = is_exact
        self.held: dict[int, list[Cell]] = {}
        self.breaks_restores = False
        self._count = 0

    @property
    def used(self) -> int:
        return len({id(cell) for path in self.held.values() for cell in path})

    def do(self, planner: Planner, ops: Sequence[Op]) -> None:
        for op in ops:
            match op:
                case Share(source, target, length):
                    assert not self.is_exact, "such a state cannot be shared in part"
                    assert not self.held.get(target)
                    assert length <= len(self.held[source])
                    self.held[target] = self.held[source][:length]
                case Drop(holder):
                    self.held.pop(holder, None)
                case Trim(holder, length):
                    assert length <= len(self.held[holder])
                    del self.held[holder][length:]
                case Save(holder, namespace, tokens):
                    assert [cell.token for cell in self.held[holder]] == tokens
                    assert self.vault is not None
                    self.vault.put(namespace, tokens)
                case Restore(seq, slot, key, length):
                    self._restore(planner, seq, slot, key, length)

    def compute(self, plan: Plan) -> None:
        for span in plan.spans:
            assert span.picture is None or len(plan.spans) == 1, "a picture is computed alone"
            assert span.slot < self.slots, "ids beyond the slots cannot be computed"
            path = self.held.setdefault(span.slot, [])
            assert len(path) == span.start, "positions go on where they ended"
            for token in span.tokens:
                self._count += 1
                path.append(Cell(token, self._count))
        assert self.used <= self.capacity

    def _restore(self, planner: Planner, seq: int, slot: int, key: object, length: int) -> None:
        assert self.vault is not None
        assert not self.held.get(slot)
        if self.breaks_restores:
            planner.lost(seq)
            return

        assert isinstance(key, int)
        _, tokens = self.vault.entries[key]
        assert not self.is_exact or length == len(tokens)
        assert self.used + len(tokens) <= self.capacity, "the whole of it has to fit for a moment"
        cells = []
        for token in tokens[:length]:
            self._count += 1
            cells.append(Cell(token, self._count))
        self.held[slot] = cells


class Rig:
    """A planner with its context, stepped together."""

    def __init__(
        self,
        *,
        capacity: int = 4096,
        slots: int = 4,
        holders: int = 16,
        rows: int = 512,
        with_vault: bool = True,
        is_exact: bool = False,
    ) -> None:
        self.vault = PlayedVault(is_exact=is_exact) if with_vault else None
        self.context = PlayedContext(capacity, slots, self.vault, is_exact=is_exact)
        self.planner = Planner(
            capacity=capacity, slots=slots, rows=rows, holders=holders, store=self.vault, is_exact=is_exact
        )
        self.jobs: dict[int, Job] = {}
        self.asked: dict[int, list[int]] = {}
        self.outputs: list[int] = []
        self.now = 0.0
        self._numbers = iter(range(1, 1_000_000))
        self.next_token = iter(range(1_000_000, 9_000_000))

    def submit(self, tokens: Sequence[int], grow: int = 8, **fields: object) -> int:
        seq = next(self._numbers)
        job = Job(seq=seq, tokens=list(tokens), prompt=len(tokens), most_tokens=len(tokens) + grow, **fields)  # type: ignore[arg-type]  # fields by name
        self.jobs[seq] = job
        self.asked[seq] = list(tokens)
        self.planner.submit(job)
        return seq

    def step(self, blocked: frozenset[int] = NOBODY, budgets: Budgets = BUDGETS) -> Plan:
        """Take a step as the engine does, without generating."""
        self.now += 1
        _, ops = self.planner.admit(blocked, self.now)
        self.context.do(self.planner, ops)
        self.planner.check_integrity()
        plan = self.planner.plan(blocked, budgets, self.now)
        self.context.do(self.planner, plan.ops)
        self.context.compute(plan)
        assert not {span.seq for span in plan.spans} & blocked
        for span in plan.spans:
            job = self.jobs[span.seq]
            self._check_pictures(job, span)
            assert span.tokens == [*job.tokens, *job.draft][span.start : span.start + len(span.tokens)]
            assert job.namespace == plan.namespace
            if span.outputs:
                assert span.start + len(span.tokens) == len(job.tokens) + len(job.draft)
        self.context.do(self.planner, self.planner.advance(plan))
        self.check()
        self.outputs = [span.seq for span in plan.spans if span.outputs]
        return plan

    def _check_pictures(self, job: Job, span: Span) -> None:
        if span.picture is None:
            assert min(span.tokens) >= 0, "a picture is no text"
        else:
            assert span.picture in job.pictures
            assert (span.start, len(span.tokens)) == (span.picture.start, span.picture.length)

    def generate(self, seq: int, tokens: list[int] | None = None) -> None:
        tokens = [next(self.next_token)] if tokens is None else tokens
        self.asked[seq] += tokens
        self.context.do(self.planner, self.planner.accept(seq, tokens))
        assert self.jobs[seq].tokens == self.asked[seq]

    def remove(self, seq: int, **how: bool) -> None:
        self.context.do(self.planner, self.planner.remove(seq, self.now, **how))
        del self.jobs[seq]
        self.check()

    def run(self, seq: int, answer: int = 1) -> int:
        """Let one seq generate so many tokens and end; return how many steps its prompt took."""
        steps = 0
        while answer:
            self.step()
            steps += 1
            if seq in self.outputs:
                self.generate(seq)
                answer -= 1
        self.remove(seq)
        return steps

    def check(self) -> None:
        self.planner.check_integrity()
        assert self.planner.used_cells == self.context.used
        for seq, job in self.jobs.items():
            if seq in self.planner.live:
                held = [cell.token for cell in self.context.held.get(job.slot, [])]
                assert held == [*job.tokens, *job.draft][: job.computed]
                assert job.whole(job.computed) == job.computed, "a picture is there whole or not at all"


def common(left: Sequence[int], right: Sequence[int]) -> int:
    return next(
        (at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )


def prompt(*parts: int, size: int = 100) -> list[int]:
    """Return a prompt of so many parts, each 100 tokens that tell which part it is."""
    return [part * 1000 + at for part in parts for at in range(size)]


def seen(*parts: int, size: int = 100, last: int | None = None) -> tuple[list[int], tuple[Picture, ...]]:
    """Return a prompt like `prompt` does, and its pictures: the negative parts.

    `last` is the length of the last part. A shortened picture is another picture that begins alike.
    """
    tokens: list[int] = []
    pictures: list[Picture] = []
    for place, part in enumerate(parts):
        length = last if last is not None and place == len(parts) - 1 else size
        if part < 0:
            pictures.append(Picture(len(tokens), length, f"{part} {length}"))
        tokens += [part * 1000 + (at if part > 0 else -at) for at in range(length)]
    return tokens, tuple(pictures)


def submit_seen(rig: Rig, *parts: int, last: int | None = None) -> int:
    tokens, pictures = seen(*parts, last=last)
    return rig.submit(tokens, pictures=pictures)


def shape(plan: Plan) -> list[tuple[int, int, bool]]:
    return [(span.start, len(span.tokens), span.picture is not None) for span in plan.spans]


def test_a_picture_is_computed_whole_and_alone_between_the_texts_around_it() -> None:
    rig = Rig(rows=64)
    submit_seen(rig, 1, -2, 3)

    plans = [rig.step(budgets=Budgets(alone=64, beside=64)) for _ in range(5)]

    assert [shape(plan) for plan in plans] == [
        [(0, 64, False)],
        [(64, 36, False)],
        [(100, 100, True)],
        [(200, 64, False)],
        [(264, 36, False)],
    ]
    assert [plan.spans[0].outputs for plan in plans] == [0, 0, 0, 0, 1]


def test_a_prompt_may_end_with_a_picture() -> None:
    rig = Rig()
    submit_seen(rig, 1, -2)
    rig.step()

    plan = rig.step()

    assert [(span.start, span.outputs) for span in plan.spans] == [(100, 1)]


def test_a_stream_goes_on_between_two_pictures() -> None:
    rig = Rig()
    talker = rig.submit(prompt(1), grow=50)
    rig.step()
    rig.generate(talker)
    submit_seen(rig, -2, -3, 4)

    kinds = []
    for _ in range(4):
        plan = rig.step()
        kinds.append([span.picture is not None for span in plan.spans])
        if talker in rig.outputs:
            rig.generate(talker)

    assert kinds == [[True], [False], [True], [False, False]]


def test_a_picture_that_was_seen_before_is_not_computed_again() -> None:
    rig = Rig()
    rig.run(submit_seen(rig, 1, -2, 3))
    again = submit_seen(rig, 1, -2, 4)

    plan = rig.step()

    assert shape(plan) == [(200, 100, False)]
    assert rig.planner.cached_of(again) == 200


def test_a_prefix_that_ends_inside_of_a_picture_is_used_up_to_the_picture() -> None:
    rig = Rig()
    rig.run(submit_seen(rig, 1, -2))
    again = submit_seen(rig, 1, -2)
    rig.step()
    other = submit_seen(rig, 1, -2, 3, last=30)
    rig.generate(again)
    rig.remove(again)
    shorter = submit_seen(rig, 1, -2, last=60)
    rig.remove(other)

    rig.step()

    assert rig.planner.cached_of(shorter) == 100


def test_two_who_show_the_same_picture_compute_it_once() -> None:
    rig = Rig()
    for each in (3, 4):
        submit_seen(rig, 1, -2, each)

    plans = [rig.step() for _ in range(3)]

    assert [shape(plan) for plan in plans] == [
        [(0, 100, False)],
        [(100, 100, True)],
        [(200, 100, False), (200, 100, False)],
    ]


def test_a_prompt_is_computed_whole_when_nobody_else_works() -> None:
    rig = Rig()
    seq = rig.submit(prompt(1))

    plan = rig.step()

    assert [(span.seq, span.start, len(span.tokens), span.outputs) for span in plan.spans] == [
        (seq, 0, 100, 1)
    ]


def test_generating_seqs_come_first_and_a_long_prompt_only_gets_its_budget() -> None:
    rig = Rig()
    talker = rig.submit(prompt(1))
    rig.step()
    rig.generate(talker)
    rig.submit(prompt(2, 3))

    plan = rig.step()

    assert [len(span.tokens) for span in plan.spans] == [1, BUDGETS.beside]


def test_a_finished_prefix_is_shared_by_who_comes_later() -> None:
    rig = Rig()
    rig.run(rig.submit(prompt(1, 2)))
    later = rig.submit(prompt(1, 3))

    plan = rig.step()

    assert [(span.start, len(span.tokens)) for span in plan.spans] == [(100, 100)]
    assert rig.planner.cached_of(later) == 100


def test_the_prefix_of_a_running_seq_is_shared() -> None:
    rig = Rig()
    first = rig.submit(prompt(1, 2))
    rig.step()
    rig.generate(first)
    rig.submit(prompt(1, 3))

    plan = rig.step()

    assert [span.start for span in plan.spans] == [200, 100]


def test_whoever_shares_a_prefix_that_is_being_computed_waits_for_it() -> None:
    rig = Rig()
    budgets = Budgets(alone=60, beside=60)
    for each in range(2, 6):
        rig.submit(prompt(1, each))

    plans = [rig.step(budgets=budgets) for _ in range(2)]

    assert [[len(span.tokens) for span in plan.spans] for plan in plans] == [[60], [60]]
    plan = rig.step(budgets=Budgets(alone=512, beside=512))
    assert [span.start for span in plan.spans] == [120, 100, 100, 100]
    assert rig.planner.computed_tokens == 500


def test_the_same_prompt_asked_twice_computes_one_token() -> None:
    rig = Rig()
    rig.run(rig.submit(prompt(1)))
    rig.submit(prompt(1))

    plan = rig.step()

    assert [(span.start, len(span.tokens)) for span in plan.spans] == [(99, 1)]


def test_nobody_waits_for_a_leader_whose_reader_is_behind() -> None:
    rig = Rig()
    leader = rig.submit(prompt(1, 2))
    rig.step(budgets=Budgets(alone=60, beside=60))
    rig.submit(prompt(1, 3))

    plan = rig.step(blocked=frozenset({leader}))

    assert [span.start for span in plan.spans] == [60]


def test_who_waits_goes_on_when_the_leader_is_cancelled() -> None:
    rig = Rig()
    leader = rig.submit(prompt(1, 2))
    rig.step(budgets=Budgets(alone=60, beside=60))
    rig.submit(prompt(1, 3))
    rig.remove(leader)

    plan = rig.step()

    assert [span.start for span in plan.spans] == [60]


def test_an_urgent_seq_displaces_a_less_urgent_one_which_comes_back_where_it_was() -> None:
    rig = Rig(slots=1)
    slow = rig.submit(prompt(1), rank=2)
    rig.step()
    rig.generate(slow)
    rig.step()
    rig.generate(slow)
    urgent = rig.submit(prompt(2), rank=0)

    rig.step()
    assert rig.planner.live == [urgent]
    rig.generate(urgent)
    rig.remove(urgent)
    plan = rig.step()

    assert [(span.seq, span.start, len(span.tokens)) for span in plan.spans] == [(slow, 101, 1)]


def test_equals_do_not_displace_each_other() -> None:
    rig = Rig(slots=1)
    first = rig.submit(prompt(1))
    rig.step()
    rig.submit(prompt(2))
    rig.step()

    assert rig.planner.live == [first]


def test_a_seq_whose_reader_is_behind_gives_its_slot_to_who_can_use_it() -> None:
    rig = Rig(slots=1)
    stalled = rig.submit(prompt(1))
    rig.step()
    rig.generate(stalled)
    other = rig.submit(prompt(2))

    rig.step(blocked=frozenset({stalled}))

    assert rig.planner.live == [other]


def test_parked_prefixes_leave_when_cells_are_needed_and_come_back_from_the_vault() -> None:
    rig = Rig(capacity=512)
    rig.run(rig.submit(prompt(1)))
    rig.run(rig.submit(prompt(2, 3, 4), grow=200))
    rig.run(rig.submit(prompt(5, 6, 7, 8), grow=100))
    assert rig.vault is not None
    assert rig.vault.entries
    again = rig.submit([*prompt(1), 7])

    rig.step()

    assert rig.planner.cached_of(again) == 100


def test_what_the_vault_lost_is_computed_again() -> None:
    rig = Rig(capacity=512)
    rig.run(rig.submit(prompt(1)))
    rig.run(rig.submit(prompt(5, 6, 7, 8, size=110), grow=20))
    rig.context.breaks_restores = True
    again = rig.submit([*prompt(1), 7])

    plan = rig.step()

    assert [(span.seq, span.start, len(span.tokens)) for span in plan.spans] == [(again, 0, 101)]
    assert rig.planner.cached_of(again) == 0


def test_a_prefix_that_waits_for_a_tool_is_kept_longer_than_others() -> None:
    rig = Rig(capacity=512, with_vault=False)
    agent = rig.submit(prompt(1))
    rig.step()
    rig.generate(agent)
    rig.remove(agent, awaits_tool=True)
    rig.run(rig.submit(prompt(2)))
    rig.run(rig.submit(prompt(3, 4, 5), grow=8))

    back = rig.submit([*prompt(1), 7])
    rig.step()

    assert rig.planner.cached_of(back) == 100


def test_where_seqs_outgrow_the_context_the_youngest_gives_way_and_nothing_is_lost() -> None:
    rig = Rig(capacity=1024, slots=2)
    first, second = rig.submit(prompt(1), grow=800), rig.submit(prompt(2), grow=800)
    for _ in range(500):
        rig.step()
        for seq in rig.outputs:
            rig.generate(seq)

    assert rig.planner.live == [first]
    assert rig.planner.waiting == 1
    rig.remove(first)
    rig.step()
    assert rig.planner.live == [second]


def test_guesses_are_checked_together_and_wrong_ones_are_taken_back() -> None:
    rig = Rig()
    seq = rig.submit(prompt(1), grow=50)
    rig.step()
    rig.generate(seq)
    rig.planner.propose(seq, [11, 12, 13])

    plan = rig.step()
    assert [(len(span.tokens), span.outputs) for span in plan.spans] == [(4, 4)]
    rig.generate(seq, [11, 12, 99])

    assert rig.jobs[seq].pending == 1
    assert rig.jobs[seq].computed == 103


def test_guesses_that_were_all_right_leave_one_token_pending() -> None:
    rig = Rig()
    seq = rig.submit(prompt(1), grow=50)
    rig.step()
    rig.generate(seq)
    rig.planner.propose(seq, [11, 12])
    rig.step()

    rig.generate(seq, [11, 12, 13])

    assert (rig.jobs[seq].computed, rig.jobs[seq].pending) == (103, 1)


def test_adapters_share_nothing_and_are_computed_in_turns() -> None:
    rig = Rig()
    rig.submit(prompt(1), namespace="left")
    rig.submit(prompt(1), namespace="right")

    plans = [rig.step(), rig.step()]

    assert [(plan.namespace, [span.start for span in plan.spans]) for plan in plans] == [
        ("left", [0]),
        ("right", [0]),
    ]


def test_each_principal_gets_its_share() -> None:
    rig = Rig(slots=2)
    for at in range(4):
        rig.submit(prompt(10 + at), principal="greedy")
    modest = rig.submit(prompt(20), principal="modest")

    rig.step()

    assert modest in rig.planner.live


def test_who_waits_past_its_deadline_is_named_once() -> None:
    rig = Rig(slots=1)
    rig.submit(prompt(1))
    late = rig.submit(prompt(2), deadline=5.0)
    rig.step()

    assert rig.planner.expire(4.0) == []
    assert rig.planner.expire(6.0) == [late]
    assert rig.planner.expire(7.0) == []


def test_a_state_that_cannot_be_cut_is_saved_where_prompts_part() -> None:
    rig = Rig(is_exact=True)
    for each in (2, 3):
        rig.submit(prompt(1, each))

    plans = [rig.step() for _ in range(2)]

    assert [[(span.start, len(span.tokens)) for span in plan.spans] for plan in plans] == [
        [(0, 100)],
        [(100, 100), (100, 100)],
    ]


def test_a_conversation_goes_on_from_a_state_that_cannot_be_cut() -> None:
    rig = Rig(is_exact=True)
    seq = rig.submit(prompt(1))
    rig.step()
    rig.generate(seq, [7])
    rig.step()
    rig.generate(seq, [8])
    rig.remove(seq)
    back = rig.submit([*prompt(1), 7, 8, 9])

    rig.step()

    assert rig.planner.cached_of(back) == 101


class Life(RuleBasedStateMachine):
    """Anything in any order; the rig asserts after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig()
        self.blocked: set[int] = set()

    @initialize(
        capacity=st.sampled_from([256, 512, 2048]),
        slots=st.integers(1, 4),
        holders=st.sampled_from([4, 6, 16]),
        vault=st.booleans(),
        exact=st.booleans(),
    )
    def start(self, capacity: int, slots: int, holders: int, vault: bool, exact: bool) -> None:
        self.rig = Rig(
            capacity=capacity,
            slots=slots,
            holders=max(holders, slots),
            rows=64,
            with_vault=vault,
            is_exact=exact,
        )

    @rule(
        parts=st.lists(st.sampled_from([1, 2, 3, -1, -2]), min_size=1, max_size=3),
        cut=st.integers(0, 30),
        rank=st.integers(0, 2),
        principal=st.sampled_from("ab"),
        namespace=st.sampled_from(["", "", "x"]),
        grow=st.integers(1, 60),
    )
    def submit(
        self, parts: list[int], cut: int, rank: int, principal: str, namespace: str, grow: int
    ) -> None:
        tokens, pictures = seen(*parts, size=40, last=40 - cut)
        self.rig.submit(
            tokens, grow=grow, pictures=pictures, rank=rank, principal=principal, namespace=namespace
        )

    @rule(
        beside=st.sampled_from([8, 64]),
        drafts=st.lists(st.integers(5, 6), max_size=4),
        right=st.integers(0, 4),
    )
    def step(self, beside: int, drafts: list[int], right: int) -> None:
        rig = self.rig
        rig.step(frozenset(self.blocked), Budgets(alone=64, beside=beside))
        for seq in rig.outputs:
            job = rig.jobs[seq]
            room = job.most_tokens - len(job.tokens)
            tokens = [*job.draft[:right], next(rig.next_token)][:room]
            if not tokens or room <= len(tokens):
                rig.generate(seq, tokens)
                rig.remove(seq, awaits_tool=bool(right % 2))
                self.blocked.discard(seq)
            else:
                rig.generate(seq, tokens)
                if not rig.context.is_exact:
                    rig.planner.propose(seq, drafts)

    @precondition(lambda self: self.rig.jobs)
    @rule(at=st.integers(0, 100))
    def cancel(self, at: int) -> None:
        seq = sorted(self.rig.jobs)[at % len(self.rig.jobs)]
        self.rig.remove(seq)
        self.blocked.discard(seq)

    @precondition(lambda self: self.rig.jobs)
    @rule(at=st.integers(0, 100))
    def block(self, at: int) -> None:
        self.blocked ^= {sorted(self.rig.jobs)[at % len(self.rig.jobs)]}

    @rule(breaks=st.booleans())
    def break_restores(self, breaks: bool) -> None:
        self.rig.context.breaks_restores = breaks

    @invariant()
    def nothing_is_confused(self) -> None:
        self.rig.check()

    def teardown(self) -> None:
        """Everything ends in a bounded number of steps once every reader reads."""
        for _ in range(2000):
            if not self.rig.jobs:
                return
            self.blocked.clear()
            self.step(64, [], 0)
        pytest.fail(f"seqs that never end: {sorted(self.rig.jobs)}")


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
