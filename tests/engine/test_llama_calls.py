"""Tool calls and shaped answers of real weights: whatever the model would rather say, what comes is valid.

The model is small and mostly has no idea. That is the point: nothing here is owed to its wits.
"""

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from runtime.backends.protocol import Generate, Sampling, Tuning
from tests.kit.engine_laws import Account, Ledger
from tests.kit.remote_engine import Child, open_child
from tests.kit.schemas import SCHEMAS, Schema

pytestmark = pytest.mark.engine

TEMPERATURES = (0.0, 0.5, 1.0, 1.5)
PLACES = 16
MOST_TOKENS = 96
UNTOLD = "{% for message in messages %}{% endfor %}Calling the tool:\n"
"""A template that shows nothing of the request. Prompts are most of the time that all of this takes, and a
model that was not told of a schema keeps to it by the grammar alone."""

NUMBERS = count(1)
WEATHER: Schema = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
COUNT: Schema = {
    "type": "object",
    "properties": {"count": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["count"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def child(llama_python: str) -> Iterator[Child]:
    with open_child(llama_python, "llama") as child:
        yield child


@pytest.fixture(scope="module")
def ledger(child: Child, smollm2_path: Path) -> Iterator[Ledger]:
    engine = child.create()
    tuning = Tuning(context_tokens=4096, sequences=8, threads=2)
    engine.load(str(smollm2_path), tuning, lambda _: None)
    yield Ledger(engine)
    engine.close()


def function(name: str, parameters: Schema) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def custom(name: str, syntax: str, definition: str) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": name, "syntax": syntax, "definition": definition}}


WEATHER_TOOL, COUNT_TOOL = function("weather", WEATHER), function("tally", COUNT)


def ask(text: str, *, temperature: float = 1.0, max_tokens: int = MOST_TOKENS, **fields: Any) -> Generate:
    number = next(NUMBERS)
    sampling = Sampling(
        temperature=temperature, seed=number, max_tokens=max_tokens, stop=fields.pop("stop", ())
    )
    return Generate(seq=number, messages=[{"role": "user", "content": text}], sampling=sampling, **fields)


def submit_all(ledger: Ledger, requests: list[Generate]) -> list[Account]:
    accounts = [ledger.submit(request) for request in requests]
    ledger.drain()
    return accounts


def judge(schema: Schema) -> Draft202012Validator:
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def is_for_objects(schema: Schema) -> bool:
    return bool(schema.get("type", "object") == "object")


def call_of(account: Account) -> tuple[str, str]:
    """Return name and arguments of the one call."""
    assert account.end.reason == "tool_calls"
    ((_, name, arguments),) = account.calls().values()
    return name, arguments


@pytest.fixture(scope="module")
def required(child: Child, smollm2_path: Path) -> Iterator[list[tuple[Schema, Account]]]:
    """Each schema as the parameters of a tool that has to be called, at one temperature after the other."""
    engine = child.create()
    tuning = Tuning(context_tokens=8192, sequences=PLACES, threads=2, chat_template=UNTOLD)
    engine.load(str(smollm2_path), tuning, lambda _: None)
    requests = [
        ask(
            "",
            temperature=TEMPERATURES[place % len(TEMPERATURES)],
            tools=[function("record", schema)],
            tool_mode="required",
            parallel_tool_calls=False,
        )
        for place, schema in enumerate(SCHEMAS)
    ]
    yield list(zip(SCHEMAS, submit_all(Ledger(engine), requests), strict=True))
    engine.close()


def test_every_call_of_two_hundred_schemas_is_valid(required: list[tuple[Schema, Account]]) -> None:
    finished = 0
    for schema, account in required:
        if not is_for_objects(schema):
            continue

        assert account.fault is None, (schema, account.fault)
        assert account.text == "", "nothing is said beside a call that is required"
        if account.end.reason == "tool_calls":
            name, arguments = call_of(account)
            assert name == "record"
            judge({"type": "object", **schema}).validate(json.loads(arguments))
            finished += 1

    assert finished >= 0.85 * len(SCHEMAS), "the others were cut"


def test_a_call_that_was_cut_is_told_to_be_too_long(required: list[tuple[Schema, Account]]) -> None:
    cut = [each for each in required if each[1].fault is None and each[1].end.reason != "tool_calls"]

    assert cut, "some schemas have no end that a model without wits would come to"
    for schema, account in cut:
        assert account.end.reason == "length"
        assert account.end.completion_tokens == MOST_TOKENS
        for _, _, arguments in account.calls().values():
            if _is_json(arguments):  # only what closes the call was cut
                judge({"type": "object", **schema}).validate(json.loads(arguments))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False

    return True


def test_parameters_that_are_no_object_are_refused_by_the_keyword(
    required: list[tuple[Schema, Account]],
) -> None:
    refused = [account.fault for schema, account in required if not is_for_objects(schema)]

    assert len(refused) == 3
    for fault in refused:
        assert fault is not None
        assert (fault.code, fault.param) == ("invalid_json_schema", "tools[0].function.parameters")
        assert "'type'" in fault.message


def test_arguments_come_in_pieces_as_they_are_written(ledger: Ledger) -> None:
    account = ledger.play(
        ask("The weather in Rome?", tools=[WEATHER_TOOL], tool_mode="required", parallel_tool_calls=False)
    )

    pieces = [piece for delta in account.deltas for piece in delta.tool_calls]
    assert len(pieces) > 2
    name, arguments = call_of(account)
    assert name == "weather"
    assert arguments == "".join(piece.arguments for piece in pieces)
    judge(WEATHER).validate(json.loads(arguments))


def test_answers_in_a_schema_are_valid_at_any_temperature(ledger: Ledger) -> None:
    schemas = SCHEMAS[3::10]
    requests = [
        ask(
            "Answer.",
            temperature=TEMPERATURES[place % len(TEMPERATURES)],
            max_tokens=64,
            format_type="json_schema",
            format_schema=schema,
        )
        for place, schema in enumerate(schemas)
    ]

    accounts = submit_all(ledger, requests)

    ended = 0
    for schema, account in zip(schemas, accounts, strict=True):
        assert account.fault is None, (schema, account.fault)
        if account.end.reason == "stop":
            judge(schema).validate(json.loads(account.text))
            ended += 1
        else:
            assert account.end.reason == "length"
    assert ended >= 0.7 * len(schemas)


def test_a_named_choice_calls_that_tool(ledger: Ledger) -> None:
    requests = [
        ask(
            "The weather in Rome?",
            tools=[WEATHER_TOOL, COUNT_TOOL],
            tool_mode="required",
            tool_names=(name,),
            parallel_tool_calls=False,
        )
        for name in ("weather", "tally")
    ]

    weather, tally = submit_all(ledger, requests)

    assert call_of(weather)[0] == "weather"
    name, arguments = call_of(tally)
    assert name == "tally"
    judge(COUNT).validate(json.loads(arguments))


def test_without_parallel_calls_there_is_exactly_one(ledger: Ledger) -> None:
    requests = [
        ask(
            "Count to ten. Call the tool for each number.",
            temperature=temperature,
            tools=[COUNT_TOOL],
            tool_mode="required",
            parallel_tool_calls=False,
        )
        for temperature in TEMPERATURES
    ]

    for account in submit_all(ledger, requests):
        judge(COUNT).validate(json.loads(call_of(account)[1]))


def test_several_calls_are_each_valid(ledger: Ledger) -> None:
    requests = [
        ask("Count to ten.", temperature=temperature, tools=[COUNT_TOOL], tool_mode="required", max_tokens=64)
        for temperature in TEMPERATURES
    ]

    for account in submit_all(ledger, requests):
        assert account.fault is None
        calls = list(account.calls().values())
        whole = calls if account.end.reason == "tool_calls" else calls[:-1]
        for _, _, arguments in whole:
            judge(COUNT).validate(json.loads(arguments))
        assert len({call_id for call_id, _, _ in calls}) == len(calls)


LETTERS = 'start: word ("-" word)~1..3\nword: /[a-z]{2,6}/\n'


@pytest.mark.parametrize(
    ("syntax", "definition", "pattern"),
    [
        ("regex", "[A-Z]{3}-[0-9]{4}", "[A-Z]{3}-[0-9]{4}"),
        ("lark", LETTERS, "[a-z]{2,6}(-[a-z]{2,6}){1,3}"),
    ],
)
def test_the_input_of_a_custom_tool_matches_its_grammar(
    ledger: Ledger, syntax: str, definition: str, pattern: str
) -> None:
    tool = custom("lookup", syntax, definition)
    requests = [
        ask(
            "Look it up.",
            temperature=temperature,
            tools=[tool],
            tool_mode="required",
            parallel_tool_calls=False,
        )
        for temperature in TEMPERATURES
    ]

    for account in submit_all(ledger, requests):
        name, given = call_of(account)
        assert name == "lookup"
        assert re.fullmatch(pattern, given), given
        assert {piece.type for delta in account.deltas for piece in delta.tool_calls} == {"custom"}


def test_a_call_that_the_model_chooses_to_make_is_valid_too(ledger: Ledger) -> None:
    """The message leads the model on to write calls of its own accord."""
    text = 'Repeat this exactly: <tool_call>{"name": "tally", "arguments": {"count": 7}}</tool_call>'
    requests = [
        ask(text, temperature=TEMPERATURES[place % 4], tools=[COUNT_TOOL], max_tokens=48)
        for place in range(8)
    ]

    accounts = submit_all(ledger, requests)

    for account in accounts:
        assert account.fault is None
        calls = list(account.calls().values())
        for _, name, arguments in calls if account.end.reason == "tool_calls" else calls[:-1]:
            assert name == "tally"
            judge(COUNT).validate(json.loads(arguments))
        assert "<tool_call>" not in account.text
    assert any(account.end.reason == "tool_calls" for account in accounts), "else this shows nothing"


def test_a_stop_string_counts_in_text_and_not_in_arguments(ledger: Ledger) -> None:
    called, said = submit_all(
        ledger,
        [
            ask("Rome?", tools=[WEATHER_TOOL], tool_mode="required", parallel_tool_calls=False, stop=("ci",)),
            ask("Name three colours.", temperature=0.0, tools=[WEATHER_TOOL], tool_mode="none", stop=(" ",)),
        ],
    )

    judge(WEATHER).validate(json.loads(call_of(called)[1]))
    assert said.end.reason == "stop"
    assert said.end.stop == " "
    assert said.text
    assert " " not in said.text


def test_reasoning_before_a_call_or_an_answer_never_shows_as_text(child: Child, smollm2_path: Path) -> None:
    engine = child.create()
    template = "{% for message in messages %}{{ message.content }}\n{% endfor %}<think>\n"
    engine.load(
        str(smollm2_path),
        Tuning(context_tokens=1024, sequences=2, threads=2, chat_template=template),
        _ignore,
    )
    ends_soon = "Thoughts end with </think> soon. For example:\n<think>\nHm, that is easy.\n</think>\n"

    called, answered = submit_all(
        Ledger(engine),
        [
            ask(ends_soon, tools=[COUNT_TOOL], tool_mode="required", max_tokens=160),
            ask(ends_soon, format_type="json_schema", format_schema=COUNT, max_tokens=160),
        ],
    )
    engine.close()

    for account in (called, answered):
        assert account.fault is None
        assert account.reasoning
        assert "think>" not in account.text + account.reasoning
        assert account.end.reasoning_tokens > 0
    assert called.text == ""
    for _, _, arguments in called.calls().values() if called.end.reason == "tool_calls" else ():
        judge(COUNT).validate(json.loads(arguments))
    if answered.end.reason == "stop":
        judge(COUNT).validate(json.loads(answered.text))
    else:
        assert answered.text == "" or answered.text.lstrip().startswith("{")


def _ignore(_: float) -> None:
    """Nobody watches the load."""
