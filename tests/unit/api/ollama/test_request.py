"""What Ollama's requests mean to the core, without a server; and how tool calls are put together."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api.bodies import decode_body
from runtime.api.errors import Refused
from runtime.api.images import IMAGES_LIMIT
from runtime.api.ollama.body import ChatBody, Options
from runtime.api.ollama.calls import Calls
from runtime.api.ollama.keep_alive import is_release
from runtime.api.ollama.lines import rfc3339
from runtime.api.ollama.options import check_context, sampling_of
from runtime.api.ollama.request import chat_of
from runtime.api.runs import RunOver
from runtime.core.ids import ModelId
from runtime.core.messages import ChatRequest, Sampling, ToolCallDelta
from tests.kit.fake_models import known_model

CALL: Any = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def ask(**body: Any) -> ChatRequest:
    """Return what a chat body asks."""
    filled = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **body}
    request = chat_of(decode_body(msgspec.json.encode(filled), ChatBody), ModelId("m")).request
    assert request is not None
    return request


def refused(**body: Any) -> str:
    """Return the sentence with which a chat body is refused."""
    with pytest.raises(Refused) as caught:
        ask(**body)
    assert caught.value.refusal.status == 400
    return caught.value.refusal.message


def test_every_way_to_choose_tokens_reaches_the_core() -> None:
    options = {
        "temperature": 0.5,
        "top_k": 20,
        "top_p": 0.9,
        "min_p": 0.1,
        "typical_p": 0.7,
        "seed": 42,
        "num_predict": 100,
        "stop": ["\n", "user:", "\n"],
        "repeat_penalty": 1.2,
        "repeat_last_n": 64,
        "presence_penalty": 1.5,
        "frequency_penalty": 1.0,
    }

    assert ask(options=options).sampling == Sampling(
        temperature=0.5,
        top_k=20,
        top_p=0.9,
        min_p=0.1,
        typical_p=0.7,
        seed=42,
        max_tokens=100,
        stop=("\n", "user:"),
        repeat_penalty=1.2,
        presence_penalty=1.5,
        frequency_penalty=1.0,
    )


@pytest.mark.parametrize(
    "options",
    [
        None,
        {},
        {"num_predict": -1},
        {"num_predict": -2},
        {"num_predict": 0},
        {"seed": -1},
        {"num_gpu": 99, "num_thread": 8, "num_batch": 2, "use_mmap": True, "numa": False, "num_keep": 5},
        {"main_gpu": 0, "low_vram": False, "use_mlock": True, "f16_kv": True, "logits_all": False},
        {"mirostat": 0, "mirostat_tau": 0.8, "mirostat_eta": 0.6, "tfs_z": 1.0, "vocab_only": False},
        {"repeat_last_n": -1, "penalize_newline": False, "repeat_penalty": 1.0},
        {"temperature": None, "stop": None},
    ],
)
def test_what_cannot_change_the_answer_is_accepted(options: Any) -> None:
    assert ask(options=options).sampling == Sampling()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"mirostat": 1}, "mirostat"),
        ({"tfs_z": 0.9}, "tfs_z"),
        ({"vocab_only": True}, "vocab_only"),
        ({"repeat_penalty": 1.1, "repeat_last_n": 128}, "repeat_last_n"),
        ({"repeat_penalty": 1.1, "penalize_newline": False}, "penalize_newline"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"num_predict": -3}, "num_predict"),
        ({"stop": [""]}, "stop"),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(options: Any, name: str) -> None:
    assert f"options.{name}" in refused(options=options)


def test_a_top_k_of_nothing_is_none_at_all() -> None:
    assert ask(options={"top_k": 0}).sampling.top_k == ask(options={"top_k": -1}).sampling.top_k == 0


def test_stop_may_be_one_text() -> None:
    assert sampling_of(Options(stop="x")).stop == ("x",)


@pytest.mark.parametrize(("wanted", "limit"), [(4096, 4096), (1, 4096), (9000, None), (0, 10), (None, 10)])
def test_a_context_within_the_models_is_accepted(wanted: int | None, limit: int | None) -> None:
    model = msgspec.structs.replace(known_model("m"), context_tokens=limit)

    check_context(Options(num_ctx=wanted), model)
    check_context(None, model)


def test_a_context_beyond_the_models_is_refused_with_limit_and_setting() -> None:
    model = msgspec.structs.replace(known_model("m"), context_tokens=4096)

    with pytest.raises(Refused) as caught:
        check_context(Options(num_ctx=8192), model)

    assert "4096" in caught.value.refusal.message
    assert 'context_tokens under [model."m"]' in caught.value.refusal.message


def test_results_find_their_calls_by_name_then_by_order() -> None:
    calls: list[Any] = [{"function": {"name": name, "arguments": {}}} for name in ("f", "g", "f")]
    results: list[Any] = [
        {"role": "tool", "content": "1", "tool_name": "g"},
        {"role": "tool", "content": "2"},
        {"role": "tool", "content": "3", "tool_name": "f"},
        {"role": "tool", "content": "4", "tool_name": "f"},
    ]
    first, *answers = ask(messages=[{"role": "assistant", "tool_calls": calls}, *results]).messages

    ids = [each.id for each in first.tool_calls]
    assert len(set(ids)) == 3
    assert [each.tool_call_id for each in answers[:3]] == [ids[1], ids[0], ids[2]]
    assert answers[3].tool_call_id not in ids
    assert [each.name for each in answers] == ["g", "f", "f", "f"]


def test_ids_that_are_given_are_kept() -> None:
    call = {"id": "c9", "type": "function", "function": {"name": "f", "arguments": {"a": 1}, "index": 0}}
    result = {"role": "tool", "content": "1", "tool_call_id": "c9"}
    first, answer = ask(messages=[{"role": "assistant", "tool_calls": [call]}, result]).messages

    assert first.tool_calls[0].id == answer.tool_call_id == "c9"
    assert first.tool_calls[0].function.arguments == '{"a":1}'
    assert answer.name == "f"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{**CALL, "role": "user"}], "messages[0].tool_calls"),
        ([{"role": "user", "content": "x", "thinking": "y"}], "messages[0].thinking"),
        ([{"role": "user", "content": "x", "tool_name": "f"}], "messages[0].tool_name"),
        ([{"role": "user", "images": ["!"]}], "messages[0].images[0]"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content"),
        ([{"role": "user", "images": ["aGk="] * (IMAGES_LIMIT + 1)}], "more than 64 pictures"),
    ],
)
def test_a_message_that_makes_no_sense_is_refused_by_its_place(messages: Any, words: str) -> None:
    assert words in refused(messages=messages)


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([{"function": {"name": "f"}}] * 2, "Two tools are named 'f'"),
        ([{"function": {"name": ""}}], "tools[0].function.name"),
        ([{"function": {"name": "f", "parameters": {"type": "array"}}}], "must be of type 'object'"),
        ([{"type": "retrieval", "function": {"name": "f"}}], "tools[0].type"),
    ],
)
def test_a_tool_that_makes_no_sense_is_refused(tools: Any, words: str) -> None:
    assert words in refused(tools=tools)


@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-9, 9)))
def test_only_nothing_frees_the_model(seconds: float) -> None:
    assert is_release(seconds) == (seconds == 0)


@given(hours=st.integers(0, 99), minutes=st.integers(0, 99), seconds=st.integers(0, 99))
def test_a_duration_of_nothing_frees_the_model_however_it_is_written(
    hours: int, minutes: int, seconds: int
) -> None:
    assert is_release(f"{hours}h{minutes}m{seconds}.0s") == (hours == minutes == seconds == 0)


def test_a_moment_has_nine_digits_below_the_second() -> None:
    assert rfc3339(1_700_000_000.25) == "2023-11-14T22:13:20.250000000Z"


@given(
    calls=st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), min_size=1, max_size=4),
    size=st.integers(1, 9),
    indent=st.sampled_from([0, 2]),
)
def test_calls_are_the_same_wherever_their_pieces_are_cut(
    calls: list[dict[str, Any]], size: int, indent: int
) -> None:
    told: list[Any] = []
    gathered = Calls()
    for index, arguments in enumerate(calls):
        text = msgspec.json.format(msgspec.json.encode(arguments), indent=indent).decode()
        told += gathered.add([ToolCallDelta(index=index, id=f"c{index}", name=f"f{index}")])
        for at in range(0, len(text), size):
            told += gathered.add([ToolCallDelta(index=index, arguments=text[at : at + size])])
    told += gathered.end("tool_calls")

    lines = [msgspec.json.encode(each) for each in told]
    assert not any(b"\n" in each for each in lines)
    assert [msgspec.json.decode(each) for each in lines] == [
        {"id": f"c{index}", "function": {"index": index, "name": f"f{index}", "arguments": arguments}}
        for index, arguments in enumerate(calls)
    ]


@pytest.mark.parametrize("arguments", ["[1]", '{"a":', "nonsense", '"text"'])
def test_arguments_that_are_no_object_are_a_failure_unless_a_limit_cut_them(arguments: str) -> None:
    piece = ToolCallDelta(index=0, id="c", name="f", arguments=arguments)
    cut, broken = Calls(), Calls()
    cut.add([piece])
    broken.add([piece])

    assert cut.end("length") == []
    with pytest.raises(RunOver, match="no JSON object"):
        broken.end("tool_calls")


def test_a_whole_call_before_the_limit_is_a_call() -> None:
    calls = Calls()
    calls.add([ToolCallDelta(index=0, id="c", name="f", arguments='{"a":1}')])

    assert [each.id for each in calls.end("length")] == ["c"]
