"""The scripted engine beyond chats: raw prompts, custom tools, pictures, adapters, tokens, vectors."""

from typing import Any

import pytest

from runtime.backends.engines.embedding.vectors import cosine
from runtime.backends.engines.scripted.engine import ScriptedEngine
from runtime.backends.engines.scripted.pieces import count_pieces
from runtime.backends.protocol import (
    Detokenize,
    Embed,
    Fault,
    Generate,
    RawPrompt,
    Sampling,
    Tokenize,
    Tuning,
)
from tests.kit.engine_laws import Account, Ledger
from tests.kit.surroundings import QuietSurroundings


def open_ledger(**tuning: Any) -> Ledger:
    engine = ScriptedEngine(QuietSurroundings())
    engine.load(None, Tuning(context_tokens=300, **tuning), lambda _: None)
    return Ledger(engine)


@pytest.fixture
def ledger() -> Ledger:
    return open_ledger()


def custom(name: str = "run", **more: Any) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": name, "syntax": "text", **more}}


def ask(text: str, **fields: Any) -> Generate:
    return Generate(seq=1, messages=[{"role": "user", "content": text}], **fields)


def fault_of(account: Account) -> Fault:
    assert account.fault is not None
    return account.fault


# ---- raw prompts


def test_a_raw_prompt_is_answered_and_counted_without_a_role(ledger: Ledger) -> None:
    account = ledger.play(Generate(seq=1, prompt=RawPrompt(text="Once upon a time")))

    assert account.text == "You said: Once upon a time"
    assert account.end.prompt_tokens == count_pieces("Once upon a time")


def test_an_empty_prompt_takes_one_token(ledger: Ledger) -> None:
    account = ledger.play(Generate(seq=1, prompt=RawPrompt(text="")))

    assert (account.text, account.end.prompt_tokens) == ("You said nothing.", 1)


def test_a_suffix_is_seen_and_counted(ledger: Ledger) -> None:
    account = ledger.play(Generate(seq=1, prompt=RawPrompt(text="def f():", suffix="return x")))

    assert account.text == 'Between "def f():" and "return x".'
    assert account.end.prompt_tokens == count_pieces("def f():") + count_pieces("return x")


def test_an_echo_comes_first_with_its_log_probabilities_and_is_not_counted(ledger: Ledger) -> None:
    account = ledger.play(
        Generate(seq=1, prompt=RawPrompt(text="Hello house", is_echoed=True), sampling=Sampling(logprobs=1))
    )

    assert account.text == "Hello houseYou said: Hello house"
    assert account.deltas[0].text == "Hello house"
    assert [choice.chosen.token for choice in account.deltas[0].logprobs] == ["Hello", " house"]
    assert account.end.completion_tokens == count_pieces("You said: Hello house")


def test_a_prompt_can_be_scored_without_an_answer(ledger: Ledger) -> None:
    account = ledger.play(
        Generate(
            seq=1,
            prompt=RawPrompt(text="Hello house", is_echoed=True),
            sampling=Sampling(max_tokens=0, logprobs=0),
        )
    )

    assert account.text == "Hello house"
    assert (account.end.reason, account.end.completion_tokens) == ("length", 0)


def test_a_stop_string_in_the_echo_stops_nothing(ledger: Ledger) -> None:
    account = ledger.play(
        Generate(seq=1, prompt=RawPrompt(text="one two", is_echoed=True), sampling=Sampling(stop=("said",)))
    )

    assert account.text == "one twoYou "


def test_a_prompt_of_tokens_is_the_text_that_they_stand_for(ledger: Ledger) -> None:
    told = ledger.play(Tokenize(seq=1, text="Good morning")).told
    assert told is not None

    account = ledger.play(Generate(seq=2, prompt=RawPrompt(tokens=tuple(told.tokens), is_echoed=True)))

    assert account.text == "Good morningYou said: Good morning"
    assert account.end.prompt_tokens == len(told.tokens)


def test_a_cue_in_a_raw_prompt_is_followed_and_a_wrong_one_named(ledger: Ledger) -> None:
    said = ledger.play(Generate(seq=1, prompt=RawPrompt(text="[[say: fine]]")))
    refused = ledger.play(Generate(seq=2, prompt=RawPrompt(text="[[sing]]")))

    assert said.text == "fine"
    assert fault_of(refused).param == "prompt"


# ---- custom tools


def test_a_custom_tool_gets_the_words_of_the_user(ledger: Ledger) -> None:
    account = ledger.play(ask("print this", tools=[custom()], tool_mode="required"))

    ((call_id, name, given),) = account.calls().values()
    assert call_id.startswith("call_")
    assert (name, given) == ("run", "print this")
    assert {piece.type for delta in account.deltas for piece in delta.tool_calls} == {"custom"}
    assert account.end.reason == "tool_calls"


@pytest.mark.parametrize(
    ("expression", "text", "given"),
    [("[a-z ]+", "all small", "all small"), ("a{3,5}", "Something else", "aaa"), ("(yes|no)", "no", "no")],
)
def test_an_input_matches_the_regular_expression_of_its_tool(
    ledger: Ledger, expression: str, text: str, given: str
) -> None:
    tool = custom(syntax="regex", definition=expression)

    account = ledger.play(ask(text, tools=[tool], tool_mode="required"))

    ((_, _, told),) = account.calls().values()
    assert told == given


@pytest.mark.parametrize(
    ("syntax", "definition", "code"),
    [("regex", "[0-9]{7}x", "invalid_request"), ("lark", 'start: "a"', "unsupported_parameter")],
)
def test_an_input_that_no_rule_finds_is_refused_by_its_place_and_can_be_given(
    ledger: Ledger, syntax: str, definition: str, code: str
) -> None:
    tool = custom(syntax=syntax, definition=definition)

    refused = ledger.play(ask("Hi", tools=[tool], tool_mode="required"))
    given = ledger.play(
        Generate(seq=2, messages=[{"role": "user", "content": '[[call: run "1 ]] 2"]]'}], tools=[tool])
    )

    assert (fault_of(refused).code, fault_of(refused).param) == (code, "tools[0].custom.format")
    ((_, _, told),) = given.calls().values()
    assert told == "1 ]] 2"


def test_a_text_for_a_function_is_refused(ledger: Ledger) -> None:
    tool = {"type": "function", "function": {"name": "add"}}

    account = ledger.play(ask('[[call: add "text"]]', tools=[tool]))

    assert "JSON object" in fault_of(account).message


def test_functions_and_custom_tools_are_chosen_alike(ledger: Ledger) -> None:
    tools = [{"type": "function", "function": {"name": "add"}}, custom("search", description="Finds houses.")]

    account = ledger.play(ask("Which houses are there?", tools=tools))

    ((_, name, given),) = account.calls().values()
    assert (name, given) == ("search", "Which houses are there?")


# ---- pictures and adapters


@pytest.mark.parametrize(
    ("parts", "answer", "tokens"),
    [
        ([{"type": "text", "text": "Look"}, {"type": "image", "data": b"x"}],
         "You said: Look\nYou showed 1 picture.", 3),
        ([{"type": "image", "data": b"x"}] * 2, "You showed 2 pictures.", 3),
    ],
)  # fmt: skip
def test_pictures_are_acknowledged_and_take_a_token_each(
    ledger: Ledger, parts: list[dict[str, Any]], answer: str, tokens: int
) -> None:
    account = ledger.play(Generate(seq=1, messages=[{"role": "user", "content": parts}]))

    assert (account.text, account.end.prompt_tokens) == (answer, tokens)


def test_an_adapter_must_be_one_of_the_tuning() -> None:
    ledger = open_ledger(adapters={"formal": "/adapters/formal.gguf"})

    known = ledger.play(ask("Hi", adapter="formal"))
    unknown = ledger.play(Generate(seq=2, messages=[{"role": "user", "content": "Hi"}], adapter="rude"))

    assert known.text == "You said: Hi"
    assert fault_of(unknown).param == "adapter"
    assert "formal" in fault_of(unknown).message


def test_a_refusal_waits_while_it_is_blocked_and_can_be_cancelled() -> None:
    ledger = open_ledger()
    account = ledger.submit(ask("Hi", adapter="rude"))

    assert ledger.step({1}) == []
    ledger.cancel(1)
    ledger.step({1})

    assert account.end.reason == "cancelled"


# ---- tokens and vectors


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "Hello, house!"}],
        [{"role": "system", "content": "Be  kind. "}, {"role": "user", "content": "你好 🏠"}],
        [{"role": "user", "content": [{"type": "image", "data": b"x"}, {"type": "text", "text": "this"}]}],
    ],
)
def test_a_chat_has_the_tokens_that_its_usage_counts(ledger: Ledger, messages: list[dict[str, Any]]) -> None:
    told = ledger.play(Tokenize(seq=1, chat=Generate(seq=1, messages=messages))).told
    played = ledger.play(Generate(seq=2, messages=messages))

    assert told is not None
    assert len(told.tokens) == played.end.prompt_tokens


def test_tokens_are_the_same_in_every_process_and_below_two_to_the_31st() -> None:
    first, second = (open_ledger().play(Tokenize(seq=1, text="one two one")).told for _ in range(2))

    assert first is not None
    assert first == second
    assert first.tokens[0] != first.tokens[2], "the second one has a space before it"
    assert all(0 <= token < 2**31 for token in first.tokens)


def test_a_token_that_was_never_given_out_reads_as_its_number(ledger: Ledger) -> None:
    assert ledger.play(Detokenize(seq=1, tokens=[12345])).text == "<12345>"


def test_order_and_case_of_words_make_no_other_vector_but_other_words_do(ledger: Ledger) -> None:
    one, same, half, other = ledger.play(
        Embed(seq=1, inputs=["The red house", "house, the RED!", "the red boat", "interest rates rose"])
    ).vectors

    assert cosine(one, same) == pytest.approx(1, abs=1e-6)
    assert cosine(one, half) > 0.5
    assert abs(cosine(one, other)) < 0.3


def test_vectors_are_the_same_in_every_process() -> None:
    first, second = (open_ledger().play(Embed(seq=1, inputs=["a house", "…"])).vectors for _ in range(2))

    assert first == second
