"""One suite of laws for every engine. An engine joins by a Subject in SUBJECTS; nothing else changes.

The ledger (tests.kit.engine_laws) asserts the laws of frames at each step; the tests here bring about the
situations in which an engine could break them.
"""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from runtime.backends.catalog.manifests import load_engines
from runtime.backends.engines.contract import Engine, LoadRefused
from runtime.backends.engines.scripted.engine import ScriptedEngine
from runtime.backends.protocol import (
    Detokenize,
    Embed,
    Generate,
    ModelFacts,
    Rerank,
    Sampling,
    Tokenize,
    Tuning,
)
from tests.kit.engine_laws import Ledger
from tests.kit.surroundings import QuietSurroundings

PLACES = 3
CONTEXT_TOKENS = 512
TUNING = Tuning(context_tokens=CONTEXT_TOKENS, sequences=PLACES)


class Subject(NamedTuple):
    """An engine under test."""

    create: Callable[[], Engine]
    path: str | None
    """The weights to load; None where there are none."""
    examples: int
    """Random schedules to try; fewer for an engine that takes its time."""
    features: frozenset[str]
    """What the engine honours, in the words of its manifest."""
    predict: Callable[[str], str] | None
    """The whole answer to a message; None where only weights could tell."""
    writes: bool = True
    """Whether it generates; an embedding model does not."""


SUBJECTS = {
    "scripted": Subject(
        create=lambda: ScriptedEngine(QuietSurroundings(pace=0.01)),
        path=None,
        examples=60,
        features=load_engines()["scripted"].features,
        predict=lambda text: f"You said: {text}",
    ),
}


class Desk:
    """A loaded engine, and the numbers of its seqs, which are never used twice."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.engine = subject.create()
        self.fractions: list[float] = []
        self.facts: ModelFacts = self.engine.load(subject.path, TUNING, self.fractions.append)
        self._numbers = count(1)

    def require(self, feature: str) -> None:
        """Skip the test where the engine does not claim the feature."""
        if feature not in self.subject.features:
            pytest.skip(f"the engine does not offer {feature}")

    def ask(self, text: str, *, sampling: Sampling | None = None, **fields: Any) -> Generate:
        return Generate(
            seq=next(self._numbers),
            messages=[{"role": "user", "content": text}],
            sampling=sampling or Sampling(temperature=0.0, seed=7, max_tokens=12),
            **fields,
        )

    def embed(self, *inputs: str | list[int], **fields: Any) -> Embed:
        self.require("embeddings")
        return Embed(seq=next(self._numbers), inputs=list(inputs), **fields)

    def rerank(self, query: str, *documents: str) -> Rerank:
        self.require("rerank")
        return Rerank(seq=next(self._numbers), query=query, documents=list(documents))

    def tokenize(self, text: str, **fields: Any) -> Tokenize:
        self.require("tokenize")
        return Tokenize(seq=next(self._numbers), text=text, **fields)

    def detokenize(self, *tokens: int) -> Detokenize:
        self.require("tokenize")
        return Detokenize(seq=next(self._numbers), tokens=list(tokens))


@pytest.fixture(scope="module", params=list(SUBJECTS.values()), ids=list(SUBJECTS))
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    desk = Desk(request.param)
    yield desk
    desk.engine.close()
    assert not desk.engine.is_busy()


@pytest.fixture
def ledger(desk: Desk) -> Iterator[Ledger]:
    ledger = Ledger(desk.engine)
    yield ledger
    ledger.drain()


def test_an_engine_says_what_it_loaded(desk: Desk) -> None:
    assert desk.engine.name
    assert desk.engine.version
    assert desk.facts.sequences == PLACES
    assert 0 < desk.facts.context_tokens <= CONTEXT_TOKENS
    assert desk.fractions == sorted(desk.fractions)
    assert all(0 <= fraction <= 1 for fraction in desk.fractions)


def test_a_path_with_nothing_at_it_is_refused_with_a_reason(desk: Desk) -> None:
    with pytest.raises(LoadRefused) as refused:
        desk.subject.create().load("/nowhere/at/all.weights", TUNING, lambda _: None)

    assert refused.value.fault.code == "model_broken"
    assert "/nowhere/at/all.weights" in refused.value.fault.message


def test_an_engine_without_work_does_nothing(desk: Desk) -> None:
    assert not desk.engine.is_busy()
    assert desk.engine.step(frozenset()) == []


def test_a_seq_starts_then_speaks_then_finishes_once(desk: Desk, ledger: Ledger) -> None:
    account = ledger.play(desk.ask("Say hello to the house."))

    assert account.started is not None
    assert account.deltas
    assert account.end.reason in ("stop", "length")


def test_joined_deltas_are_the_whole_answer(desk: Desk, ledger: Ledger) -> None:
    text = "Good morning, house! 你好 🏠 ok"

    account = ledger.play(desk.ask(text, sampling=Sampling(temperature=0.0, max_tokens=100, logprobs=2)))

    assert b"".join(choice.chosen.data for choice in account.choices).decode() == account.text
    if desk.subject.predict:
        assert account.text == desk.subject.predict(text)


def test_the_same_request_with_the_same_seed_is_answered_alike(desk: Desk, ledger: Ledger) -> None:
    one = ledger.play(desk.ask("Count to three."))
    other = ledger.play(desk.ask("Count to three."))

    assert one.text == other.text
    assert one.end.completion_tokens == other.end.completion_tokens


def test_several_seqs_advance_side_by_side(desk: Desk, ledger: Ledger) -> None:
    accounts = [ledger.submit(desk.ask(f"Tell me about house number {number}.")) for number in range(PLACES)]

    while not any(account.is_over for account in accounts):
        ledger.step()

    assert all(account.deltas for account in accounts)


def test_seqs_beyond_the_places_wait_and_are_all_served(desk: Desk, ledger: Ledger) -> None:
    accounts = [ledger.submit(desk.ask(f"Number {number}")) for number in range(3 * PLACES)]

    ledger.step()
    assert sum(account.started is not None for account in accounts) <= PLACES

    ledger.drain()
    assert all(account.end.completion_tokens > 0 for account in accounts)


def test_seqs_start_in_the_order_of_their_arrival(desk: Desk, ledger: Ledger) -> None:
    accounts = [ledger.submit(desk.ask(f"Number {number}")) for number in range(3 * PLACES)]
    order: list[int] = []

    while not all(account.is_over for account in accounts):
        ledger.step()
        order += [
            account.request.seq
            for account in accounts
            if account.started and account.request.seq not in order
        ]

    assert order == sorted(order)


def test_a_blocked_seq_stands_still_until_it_is_let_go(desk: Desk, ledger: Ledger) -> None:
    held = ledger.submit(desk.ask("Wait for me, please."))
    free = ledger.submit(desk.ask("Go on without me."))
    while not held.deltas:
        ledger.step()
    said = held.text

    while not free.is_over:
        ledger.step({held.request.seq})
    for _ in range(5):
        assert ledger.step({held.request.seq}) == []

    assert held.text == said
    assert not held.is_over
    ledger.drain()
    assert held.end.reason in ("stop", "length")


def test_a_blocked_seq_can_be_cancelled(desk: Desk, ledger: Ledger) -> None:
    account = ledger.submit(desk.ask("Wait for me, please."))
    while not account.deltas:
        ledger.step()

    ledger.cancel(account.request.seq)
    ledger.step({account.request.seq})

    assert account.end.reason == "cancelled"


def test_a_seq_can_be_cancelled_before_its_first_frame(desk: Desk, ledger: Ledger) -> None:
    accounts = [ledger.submit(desk.ask("Never mind.")) for _ in range(PLACES + 1)]

    for account in accounts:
        ledger.cancel(account.request.seq)
    ledger.step()

    assert [account.end.reason for account in accounts] == ["cancelled"] * (PLACES + 1)


def test_cancelling_twice_or_after_the_end_changes_nothing(desk: Desk, ledger: Ledger) -> None:
    ended = ledger.play(desk.ask("Short."))
    account = ledger.submit(desk.ask("Long."))

    ledger.cancel(ended.request.seq)
    ledger.cancel(account.request.seq)
    ledger.cancel(account.request.seq)
    ledger.step()

    assert account.end.reason == "cancelled"
    assert ended.end.reason != "cancelled"


def test_cancelling_an_unknown_seq_is_ignored(desk: Desk, ledger: Ledger) -> None:
    ledger.cancel(987_654_321)
    account = ledger.play(desk.ask("Go on."))

    assert account.end.reason in ("stop", "length")


def test_a_prompt_beyond_the_context_fails_with_both_numbers(desk: Desk, ledger: Ledger) -> None:
    account = ledger.play(desk.ask("house " * CONTEXT_TOKENS))

    assert account.fault is not None
    assert account.fault.code == "context_length_exceeded"
    assert str(desk.facts.context_tokens) in account.fault.message
    assert account.started is None


def test_an_answer_that_fills_the_context_is_cut_for_its_length(desk: Desk, ledger: Ledger) -> None:
    sampling = Sampling(temperature=0.0, ignore_eos=True)

    account = ledger.play(desk.ask("Go on for ever.", sampling=sampling))

    assert account.end.reason == "length"
    assert account.end.prompt_tokens + account.end.completion_tokens <= desk.facts.context_tokens


def test_an_answer_is_cut_at_max_tokens(desk: Desk, ledger: Ledger) -> None:
    sampling = Sampling(temperature=0.0, max_tokens=5, ignore_eos=True)

    account = ledger.play(desk.ask("Say something long.", sampling=sampling))

    assert account.end.reason == "length"
    assert account.end.completion_tokens == 5


def test_an_answer_ends_before_its_stop_string(desk: Desk, ledger: Ledger) -> None:
    whole = ledger.play(desk.ask("Say hello to the house.")).text
    assert len(whole) > 6
    stop = whole[3:6]

    account = ledger.play(
        desk.ask("Say hello to the house.", sampling=Sampling(temperature=0.0, seed=7, stop=(stop, "~~~")))
    )

    assert account.text == whole[: whole.index(stop)]
    assert account.end.reason == "stop"


@pytest.mark.parametrize("alternatives", [0, 1, 20])
def test_each_token_of_text_has_its_log_probability(desk: Desk, ledger: Ledger, alternatives: int) -> None:
    sampling = Sampling(temperature=0.0, max_tokens=6, logprobs=alternatives)

    account = ledger.play(desk.ask("Say hello.", sampling=sampling))

    assert account.choices
    assert all(len(choice.top) == alternatives for choice in account.choices)


class Schedule(RuleBasedStateMachine):
    """Submits, cancels, blocks and steps in any order; the ledger checks the laws all along."""

    desk: ClassVar[Desk]

    def __init__(self) -> None:
        super().__init__()
        self._ledger = Ledger(self.desk.engine)
        self._blocked: set[int] = set()

    @precondition(lambda self: self.desk.subject.writes)
    @rule(
        text=st.sampled_from(
            ["Hello, house!", "One two three four five six seven", "?", "[[1, 2]] is a list"]
        ),
        max_tokens=st.sampled_from([1, 2, 8]),
        stop=st.sampled_from([(), ("house",), (" t", "wo")]),
        logprobs=st.sampled_from([None, 0, 2]),
    )
    def submit(self, text: str, max_tokens: int, stop: tuple[str, ...], logprobs: int | None) -> None:
        sampling = Sampling(temperature=0.0, max_tokens=max_tokens, stop=stop, logprobs=logprobs)
        self._ledger.submit(self.desk.ask(text, sampling=sampling))

    @precondition(lambda self: self.desk.subject.writes)
    @rule()
    def submit_what_must_fail(self) -> None:
        self._ledger.submit(self.desk.ask("house " * CONTEXT_TOKENS))

    @precondition(lambda self: "embeddings" in self.desk.subject.features)
    @rule(
        texts=st.lists(st.sampled_from(["a house", "Two words", "house " * 40, ""]), min_size=1, max_size=6),
        priority=st.sampled_from(["interactive", "agent", "batch"]),
        dimensions=st.sampled_from([None, 3, 10**6]),
    )
    def submit_texts(self, texts: list[str], priority: str, dimensions: int | None) -> None:
        # A text that has no words may be a vector or a fault, but it is no crash.
        self._ledger.submit(self.desk.embed(*texts, priority=priority, dimensions=dimensions))

    @precondition(lambda self: "rerank" in self.desk.subject.features)
    @rule(documents=st.lists(st.sampled_from(["a house", "house " * CONTEXT_TOKENS, "sea"]), max_size=4))
    def submit_documents(self, documents: list[str]) -> None:
        self._ledger.submit(self.desk.rerank("where is the house?", *documents))

    @precondition(lambda self: "tokenize" in self.desk.subject.features)
    @rule(text=st.sampled_from(["", "a house", "Two words"]))
    def submit_tokens(self, text: str) -> None:
        self._ledger.submit(self.desk.tokenize(text))

    @precondition(lambda self: self._ledger.accounts)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self._ledger.cancel(self._pick(data))

    @rule()
    def cancel_unknown(self) -> None:
        self._ledger.cancel(987_654_321)

    @precondition(lambda self: self._ledger.accounts)
    @rule(data=st.data())
    def block_or_let_go(self, data: st.DataObject) -> None:
        self._blocked ^= {self._pick(data)}

    @rule(times=st.integers(1, 4))
    def step(self, times: int) -> None:
        for _ in range(times):
            self._ledger.step(frozenset(self._blocked))

    def teardown(self) -> None:
        self._ledger.drain()

    def _pick(self, data: st.DataObject) -> int:
        index = data.draw(st.integers(0, len(self._ledger.accounts) - 1), label="which seq")
        return list(self._ledger.accounts)[index]


def test_the_laws_hold_under_any_schedule(desk: Desk) -> None:
    class OnThisDesk(Schedule):
        pass

    OnThisDesk.desk = desk
    run_state_machine_as_test(
        OnThisDesk,
        settings=settings(
            max_examples=desk.subject.examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_a_required_tool_is_called_with_a_json_object(desk: Desk, ledger: Ledger) -> None:
    desk.require("tools")
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]
    sampling = Sampling(temperature=0.0, max_tokens=100)

    account = ledger.play(desk.ask("Weather?", sampling=sampling, tools=tools, tool_mode="required"))

    (call,) = account.calls().values()
    assert call[1] == "get_weather"
    assert isinstance(json.loads(call[2])["city"], str)
    assert account.end.reason == "tool_calls"


def test_an_answer_in_a_json_schema_is_json_of_that_shape(desk: Desk, ledger: Ledger) -> None:
    desk.require("response_format")
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    sampling = Sampling(temperature=0.0, max_tokens=100)

    account = ledger.play(
        desk.ask("How old?", sampling=sampling, format_type="json_schema", format_schema=schema)
    )

    assert isinstance(json.loads(account.text)["age"], int)
    assert account.end.reason == "stop"
