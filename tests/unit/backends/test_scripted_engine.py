"""The scripted engine's own promises, beyond the contract that all engines share."""

import json
from typing import Any

import pytest

from runtime.backends.engines.scripted.engine import ScriptedEngine
from runtime.backends.protocol import Delta, Finished, Generate, Sampling, Started, Tuning
from tests.kit.engine_laws import Ledger
from tests.kit.surroundings import Accident, QuietSurroundings

CONTEXT_TOKENS = 200
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"const": "Lisbon"}}, "required": ["city"]},
    },
}


class Stage:
    """A loaded engine in quiet surroundings, with a ledger beside it."""

    def __init__(self, sequences: int = 2) -> None:
        self.surroundings = QuietSurroundings()
        self.engine = ScriptedEngine(self.surroundings)
        self.fractions: list[float] = []
        tuning = Tuning(context_tokens=CONTEXT_TOKENS, sequences=sequences)
        self.facts = self.engine.load(None, tuning, self.fractions.append)
        self.ledger = Ledger(self.engine)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def ask(text: str, seq: int = 1, *, sampling: Sampling | None = None, **fields: Any) -> Generate:
    messages = [{"role": "user", "content": text}]
    return Generate(seq=seq, messages=messages, sampling=sampling or Sampling(), **fields)


# ---- text


def test_an_answer_comes_piece_by_piece(stage: Stage) -> None:
    account = stage.ledger.play(ask("Hi there!"))

    assert [delta.text for delta in account.deltas] == ["You", " said", ":", " Hi", " there", "!"]
    assert account.end == Finished(seq=1, reason="stop", prompt_tokens=4, completion_tokens=6)


def test_the_facts_are_those_of_the_tuning(stage: Stage) -> None:
    assert (stage.facts.context_tokens, stage.facts.sequences) == (CONTEXT_TOKENS, 2)
    assert stage.fractions == [1.0]


def test_reasoning_comes_first_and_is_counted(stage: Stage) -> None:
    account = stage.ledger.play(ask("[[reason: Let me see]] Hi"))

    assert [delta.reasoning for delta in account.deltas] == ["Let", " me", " see", "", "", "", ""]
    assert account.text == "You said: Hi"
    assert account.end.reasoning_tokens == 3
    assert account.end.completion_tokens == 7


def test_an_empty_answer_finishes_without_a_delta(stage: Stage) -> None:
    account = stage.ledger.play(ask("[[say:]]"))

    assert account.deltas == []
    assert account.end.reason == "stop"


def test_an_answer_that_fits_exactly_is_not_cut(stage: Stage) -> None:
    assert stage.ledger.play(ask("[[long: 5]]", sampling=Sampling(max_tokens=5))).end.reason == "stop"


@pytest.mark.parametrize(("most", "text"), [(0, ""), (1, "word1"), (4, "word1 word2 word3 word4")])
def test_an_answer_is_cut_at_max_tokens(stage: Stage, most: int, text: str) -> None:
    account = stage.ledger.play(ask("[[long: 5]]", sampling=Sampling(max_tokens=most)))

    assert account.text == text
    assert account.end.reason == "length"
    assert account.end.completion_tokens == most


def test_an_answer_is_cut_where_the_context_ends(stage: Stage) -> None:
    account = stage.ledger.play(ask("[[long: 500]]"))

    assert account.end.reason == "length"
    assert account.end.prompt_tokens + account.end.completion_tokens == CONTEXT_TOKENS


def test_a_prompt_that_leaves_no_room_is_refused_with_numbers_and_fix(stage: Stage) -> None:
    fits = stage.ledger.play(ask("w " * (CONTEXT_TOKENS - 3) + "w"))  # with 1 for the message: 199
    fault = stage.ledger.play(ask("w " * (CONTEXT_TOKENS - 2) + "w", seq=2)).fault

    assert fits.end.completion_tokens == 1
    assert fault is not None
    assert fault.code == "context_length_exceeded"
    assert fault.param == "messages"
    assert "takes 200 tokens" in fault.message
    assert "holds 200" in fault.message
    assert "Shorten the messages" in fault.message


def test_ignore_eos_says_it_again_until_the_limit(stage: Stage) -> None:
    account = stage.ledger.play(ask("[[say: one two]]", sampling=Sampling(max_tokens=5, ignore_eos=True)))

    assert account.text == "one two one two one"
    assert account.end.reason == "length"


# ---- stop strings and log probabilities


def test_a_stop_string_over_several_pieces_cuts_the_text_before_it(stage: Stage) -> None:
    account = stage.ledger.play(ask("[[long: 9]]", sampling=Sampling(stop=("3 wo", "never"))))

    assert account.text == "word1 word2 word"
    assert (account.end.reason, account.end.stop) == ("stop", "3 wo")
    assert account.end.completion_tokens == 4


def test_text_that_was_held_back_comes_out_when_the_answer_ends(stage: Stage) -> None:
    account = stage.ledger.play(ask("[[say: one two]]", sampling=Sampling(stop=("two three",))))

    assert account.text == "one two"
    assert account.end.stop is None
    assert account.end.completion_tokens == 2


def test_text_that_was_held_back_comes_out_before_a_call(stage: Stage) -> None:
    text = "[[say: one two]] [[call: get_weather]]"
    account = stage.ledger.play(ask(text, tools=[WEATHER], sampling=Sampling(stop=("two three",))))

    assert account.text == "one two"
    assert account.end.reason == "tool_calls"


def test_a_stop_string_does_not_reach_into_reasoning_or_calls(stage: Stage) -> None:
    sampling = Sampling(stop=("stop", "Lisbon"))
    text = "[[reason: stop here]] weather"

    account = stage.ledger.play(ask(text, tools=[WEATHER], sampling=sampling))

    assert account.reasoning == "stop here"
    assert account.calls()[0][2] == '{"city": "Lisbon"}'


def test_log_probabilities_travel_with_their_text(stage: Stage) -> None:
    account = stage.ledger.play(ask("[[long: 4]]", sampling=Sampling(logprobs=2, stop=("word1 word9", "4"))))

    tokens = [[choice.chosen.token for choice in delta.logprobs] for delta in account.deltas]
    assert tokens == [["word1", " word2"], [" word3"], [" word4"]]
    assert account.text == "word1 word2 word3 word"


# ---- tools


def test_a_call_streams_its_name_first_then_its_arguments(stage: Stage) -> None:
    account = stage.ledger.play(ask("weather", tools=[WEATHER]))

    first, *rest = (piece for delta in account.deltas for piece in delta.tool_calls)
    assert first.name == "get_weather"
    assert first.arguments == ""
    assert len(rest) > 1
    assert json.loads("".join(piece.arguments for piece in rest)) == {"city": "Lisbon"}
    assert account.end.reason == "tool_calls"
    assert account.text == ""


def test_several_calls_stream_one_after_the_other(stage: Stage) -> None:
    text = '[[call: get_weather {"city": "A"}]] [[call: get_weather {"city": "B"}]]'

    calls = stage.ledger.play(ask(text, tools=[WEATHER])).calls()

    assert [json.loads(arguments)["city"] for _, _, arguments in calls.values()] == ["A", "B"]
    assert calls[0][0] != calls[1][0]


def test_a_call_that_is_cut_says_so(stage: Stage) -> None:
    account = stage.ledger.play(ask("weather", tools=[WEATHER], sampling=Sampling(max_tokens=3)))

    assert account.end.reason == "length"


# ---- cues


def test_fail_ends_the_seq_before_it_starts(stage: Stage) -> None:
    account = stage.ledger.play(ask("[[fail: out of luck]]"))

    assert account.started is None
    assert account.fault is not None
    assert (account.fault.code, account.fault.message) == ("engine_failed", "out of luck")


def test_fail_after_ends_the_seq_after_so_many_deltas(stage: Stage) -> None:
    account = stage.ledger.play(ask("[[long: 10]] [[fail-after: 3]]"))

    assert account.text == "word1 word2 word3"
    assert account.fault is not None
    assert account.fault.code == "engine_failed"
    assert "after 3 deltas" in account.fault.message


def test_fail_after_more_deltas_than_there_are_changes_nothing(stage: Stage) -> None:
    assert stage.ledger.play(ask("[[long: 3]] [[fail-after: 3]]")).end.reason == "stop"


def test_a_bad_cue_fails_its_own_seq_only(stage: Stage) -> None:
    bad = stage.ledger.submit(ask("[[bogus]]"))
    good = stage.ledger.submit(ask("Hi", seq=2))

    stage.ledger.drain()

    assert bad.fault is not None
    assert bad.fault.code == "invalid_request"
    assert good.text == "You said: Hi"


@pytest.mark.parametrize(("cue", "accident"), [("crash", "crash"), ("hang", "hang")])
def test_an_accident_comes_before_the_seq_starts(stage: Stage, cue: str, accident: str) -> None:
    stage.engine.submit(ask(f"[[{cue}]]"))

    with pytest.raises(Accident):
        stage.engine.step(frozenset())

    assert stage.surroundings.accidents == [accident]


def test_crash_after_comes_once_its_deltas_have_left(stage: Stage) -> None:
    account = stage.ledger.submit(ask("[[long: 10]] [[crash-after: 2]]"))
    while len(account.deltas) < 2:
        stage.ledger.step()
    assert stage.surroundings.accidents == []

    with pytest.raises(Accident):
        stage.ledger.step()

    assert stage.surroundings.accidents == ["crash"]


def test_a_seq_goes_on_after_noise_and_after_a_freeze(stage: Stage) -> None:
    account = stage.ledger.play(ask("[[noise]] [[freeze]] Hi"))

    assert stage.surroundings.accidents == ["noise", "freeze"]
    assert account.text == "You said: Hi"


def test_slow_spaces_the_deltas_and_lets_others_pass(stage: Stage) -> None:
    slow = stage.ledger.submit(ask("[[slow: 2s]] [[long: 3]]"))
    quick = stage.ledger.submit(ask("Hi", seq=2))

    while not quick.is_over:
        stage.ledger.step()
    assert slow.started is not None
    assert slow.deltas == []
    for _ in range(3):
        assert stage.ledger.step() == []

    said = []
    while not slow.is_over:
        stage.surroundings.now += 1.0
        stage.ledger.step()
        said.append(slow.text)
    assert said == ["", "word1", "word1", "word1 word2", "word1 word2", "word1 word2 word3"]


def test_a_slow_seq_can_be_cancelled_while_it_waits(stage: Stage) -> None:
    account = stage.ledger.submit(ask("[[slow: 60s]] Hi"))
    stage.ledger.step()

    stage.ledger.cancel(1)
    stage.ledger.step()

    assert account.end.reason == "cancelled"


# ---- places


def test_a_place_goes_to_whoever_came_first() -> None:
    stage = Stage(sequences=1)
    accounts = [stage.ledger.submit(ask("[[long: 2]]", seq=seq)) for seq in (1, 2, 3)]
    stage.ledger.cancel(2)

    stage.ledger.drain()

    assert [account.end.reason for account in accounts] == ["stop", "cancelled", "stop"]
    assert accounts[1].started is None


def test_a_blocked_seq_keeps_its_place() -> None:
    stage = Stage(sequences=1)
    first = stage.ledger.submit(ask("Hi"))
    second = stage.ledger.submit(ask("Ho", seq=2))

    for _ in range(3):
        assert stage.ledger.step({1}) == []

    assert first.started is None
    assert second.started is None
    stage.ledger.drain()


def test_a_cancelled_seq_frees_its_place_in_the_same_step() -> None:
    stage = Stage(sequences=1)
    stage.ledger.submit(ask("Hi"))
    stage.ledger.submit(ask("Ho", seq=2))
    stage.ledger.step()
    stage.ledger.cancel(1)

    frames = stage.ledger.step()

    assert [(type(frame), frame.seq) for frame in frames] == [(Finished, 1), (Started, 2)]
    stage.ledger.drain()


def test_the_last_delta_and_the_end_come_together(stage: Stage) -> None:
    stage.ledger.submit(ask("[[say: hello]]"))
    stage.ledger.step()

    frames = stage.ledger.step()

    assert [type(frame) for frame in frames] == [Delta, Finished]


def test_closing_forgets_what_lives(stage: Stage) -> None:
    stage.engine.submit(ask("Hi"))
    stage.engine.cancel(1)

    stage.engine.close()

    assert not stage.engine.is_busy()
    assert stage.engine.step(frozenset()) == []


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.5, top_p=0.1, top_k=3, min_p=0.5, seed=12),
        Sampling(presence_penalty=1.0, frequency_penalty=-1.0, repeat_penalty=1.3, logit_bias={5: -100.0}),
    ],
)
def test_sampling_is_accepted_and_changes_nothing(stage: Stage, sampling: Sampling) -> None:
    assert stage.ledger.play(ask("Hi", sampling=sampling)).text == "You said: Hi"
