from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.backends.engines.llama.batcher import GROWTH_TOKENS, Batcher, Plan, Span
from runtime.backends.engines.llama.pace import Budgets

BUDGETS = Budgets(alone=8, beside=4)
NOBODY: frozenset[int] = frozenset()


def next_token(context: list[int]) -> int:
    """A model whose choice depends on every token before it, and on their order."""
    return hash(tuple(context)) % 1000


def answer_to(prompt: list[int], count: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(next_token(tokens))

    return tokens[len(prompt) :]


@dataclass
class Bench:
    """A batcher beside a model of the context that refuses what a real one would refuse."""

    capacity: int = 40
    slots: int = 3
    rows: int = 12
    cells: dict[int, list[int]] = field(default_factory=dict)
    wanted: dict[int, int] = field(default_factory=dict)
    answers: dict[int, list[int]] = field(default_factory=dict)
    admitted: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.batcher = Batcher(capacity=self.capacity, slots=self.slots, rows=self.rows)

    def submit(self, seq: int, prompt: list[int], count: int) -> None:
        self.batcher.submit(seq, prompt, len(prompt) + count)
        self.wanted[seq] = count
        self.answers[seq] = []

    def step(self, blocked: frozenset[int] = NOBODY, *, is_full: bool = False) -> Plan:
        plan = self.batcher.plan(blocked, BUDGETS)
        for slot in plan.vacated:
            self.cells.pop(slot, None)

        self.admitted += [seq for seq in plan.admitted if seq not in self.admitted]
        if is_full:
            victim = self.batcher.give_way()
            self.cells.pop(-1 if victim is None else victim, None)
            return plan

        self.check(plan, blocked)
        for span in plan.spans:
            self.cells.setdefault(span.slot, []).extend(span.tokens)

        self.batcher.advance(plan)
        for span in plan.spans:
            if span.is_complete:
                self.generate(span)

        return plan

    def check(self, plan: Plan, blocked: frozenset[int]) -> None:
        rows = sum(len(span.tokens) for span in plan.spans)
        assert rows <= self.rows
        assert rows + sum(map(len, self.cells.values())) <= self.capacity
        assert len({span.slot for span in plan.spans}) == len(plan.spans)
        assert all(0 <= span.slot < self.slots for span in plan.spans)
        assert not blocked & {span.seq for span in plan.spans}
        assert all(span.tokens for span in plan.spans)
        for span in plan.spans:
            assert span.start == len(self.cells.get(span.slot, []))

    def generate(self, span: Span) -> None:
        token = next_token(self.cells[span.slot])
        self.answers[span.seq].append(token)
        if len(self.answers[span.seq]) == self.wanted[span.seq]:
            self.remove(span.seq)
        else:
            self.batcher.extend(span.seq, token)

    def remove(self, seq: int) -> None:
        slot = self.batcher.remove(seq)
        if slot is not None:
            self.cells.pop(slot, None)

        del self.wanted[seq]

    def run_until_idle(self) -> None:
        for _ in range(10_000):
            if not self.wanted:
                return
            self.step()

        pytest.fail("the batcher makes no progress")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.run_until_idle()
    assert bench.batcher.live == []
    assert bench.cells == {}


requests = st.tuples(st.lists(st.integers(0, 99), min_size=1, max_size=20), st.integers(1, 20))


@settings(deadline=None)
@given(st.lists(requests, max_size=8), st.data())
def test_every_answer_is_what_the_seq_alone_would_have_got(
    asked: list[tuple[list[int], int]], data: st.DataObject
) -> None:
    bench = Bench()
    arrivals = list(enumerate(asked))
    for _ in range(30):
        is_arriving = data.draw(st.booleans())
        if arrivals and is_arriving:
            seq, (prompt, count) = arrivals.pop(0)
            bench.submit(seq, prompt, count)

        blocked = data.draw(st.frozensets(st.integers(0, 8), max_size=3))
        bench.step(blocked, is_full=data.draw(st.integers(0, 9)) == 0)

    for seq, (prompt, count) in arrivals:
        bench.submit(seq, prompt, count)

    bench.run_until_idle()
    assert bench.answers == {seq: answer_to(prompt, count) for seq, (prompt, count) in enumerate(asked)}
    assert bench.cells == {}


@settings(deadline=None)
@given(st.lists(requests, min_size=1, max_size=6), st.data())
def test_removing_a_seq_at_any_time_disturbs_no_other(
    asked: list[tuple[list[int], int]], data: st.DataObject
) -> None:
    bench = Bench()
    for seq, (prompt, count) in enumerate(asked):
        bench.submit(seq, prompt, count)

    gone = data.draw(st.integers(0, len(asked) - 1))
    for _ in range(data.draw(st.integers(0, 20))):
        bench.step()

    if gone in bench.wanted:
        bench.remove(gone)

    bench.run_until_idle()
    for seq, (prompt, count) in enumerate(asked):
        assert seq == gone or bench.answers[seq] == answer_to(prompt, count)


def test_a_short_prompt_alone_is_computed_in_one_step(bench: Bench) -> None:
    bench.submit(1, [5, 6, 7], 2)
    plan = bench.step()
    assert plan == Plan(
        admitted=[1],
        vacated=[],
        spans=[Span(seq=1, slot=0, start=0, tokens=[5, 6, 7], is_complete=True)],
    )


def test_a_long_prompt_is_computed_in_slices(bench: Bench) -> None:
    bench.submit(1, list(range(20)), 1)
    sizes = [[len(span.tokens) for span in bench.step().spans] for _ in range(3)]
    assert sizes == [[8], [8], [4]]


def test_streams_come_first_and_leave_prompts_a_smaller_slice(bench: Bench) -> None:
    bench.submit(1, [1, 2], 10)
    bench.step()
    bench.submit(2, list(range(10)), 1)
    plan = bench.step()
    assert [(span.seq, len(span.tokens)) for span in plan.spans] == [(1, 1), (2, 4)]


def test_a_blocked_stream_does_not_slow_the_prompts_of_others(bench: Bench) -> None:
    bench.submit(1, [1, 2], 10)
    bench.step()
    bench.submit(2, list(range(10)), 1)
    plan = bench.step(frozenset({1}))
    assert [(span.seq, len(span.tokens)) for span in plan.spans] == [(2, 8)]


def test_more_seqs_than_slots_wait_in_order(bench: Bench) -> None:
    for seq in range(5):
        bench.submit(seq, [seq], 1 + seq)

    assert bench.step().admitted == [0, 1, 2]
    bench.run_until_idle()
    assert bench.admitted == [0, 1, 2, 3, 4]


def test_a_waiting_seq_that_is_blocked_lets_others_pass(bench: Bench) -> None:
    bench.submit(1, [1], 2)
    bench.submit(2, [2], 2)
    assert bench.step(frozenset({1})).admitted == [2]
    assert bench.step().admitted == [1]


def test_a_seq_waits_until_there_is_room_for_its_answer(bench: Bench) -> None:
    bench.submit(1, [1] * 10, 20)
    bench.submit(2, [2] * 10, 5)
    assert bench.step().admitted == [1]
    assert bench.step().admitted == []
    bench.remove(1)
    assert bench.step().admitted == [2]


def test_long_answers_are_let_in_together_and_the_youngest_gives_way() -> None:
    capacity = 2 * GROWTH_TOKENS + 100
    bench = Bench(capacity=capacity, slots=2)
    for seq in (1, 2):
        bench.submit(seq, [seq] * 10, GROWTH_TOKENS + 200)

    vacated: list[int] = []
    while bench.wanted:
        vacated += bench.step().vacated

    assert vacated == [1], "slot 1 belongs to the younger"
    for seq in (1, 2):
        assert bench.answers[seq] == answer_to([seq] * 10, GROWTH_TOKENS + 200)


def test_a_seq_that_is_alone_never_gives_way(bench: Bench) -> None:
    assert bench.batcher.give_way() is None
    bench.submit(1, [1] * 10, 30)
    bench.step()
    assert bench.batcher.give_way() is None


def test_removing_an_unknown_seq_changes_nothing(bench: Bench) -> None:
    assert bench.batcher.remove(7) is None


def test_removing_a_waiting_seq_frees_no_slot(bench: Bench) -> None:
    bench.submit(1, [1], 1)
    bench.remove(1)
    assert bench.step() == Plan(admitted=[], vacated=[], spans=[])
