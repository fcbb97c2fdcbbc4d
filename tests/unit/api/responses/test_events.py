"""The stream of a response, judged by the SDK: any run gives one that its state machines accept."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.api.responses.call_events import CodeReader
from runtime.api.responses.events import StreamFold, fold_stream
from runtime.api.responses.items_out import ItemWords
from runtime.api.responses.object import ResponseFace, response_of
from runtime.api.responses.sealing import Sealer
from runtime.core.agents.happenings import (
    AnyHappening,
    ArgumentsGrew,
    CallMoved,
    ItemBegan,
    ItemEnded,
    RunOver,
    StatusChanged,
    TextGrew,
)
from runtime.core.agents.items import Answered, Called, Said, Text, Thought
from runtime.core.agents.plans import Plan
from runtime.core.agents.ports import NewRun
from runtime.core.agents.steps import RunOpened, RunRecord, RunStatus
from runtime.core.errors import Fault
from runtime.core.gate.principals import OWNER
from runtime.core.ids import ModelId, RunId, TenantId
from tests.kit.fake_agent_runs import FakeAgentRuns, FakeRun
from tests.kit.plots import plots
from tests.kit.responses_oracle import EVENT_TYPES, check_types, heard, heard_over_socket

NOT_GIVEN = frozenset(
    {
        "response.audio.delta",
        "response.audio.done",
        "response.audio.transcript.delta",
        "response.audio.transcript.done",
        "response.image_generation_call.partial_image",
        "response.shell_call_output_content.delta",
        "response.shell_call_output_content.done",
    }
)
"""Nothing here speaks or paints, and shells are the client's: it has their output already."""
_PROMPT = [StatusChanged(status="in_progress", model=ModelId("m"))]


class PlainFace(ItemWords):
    """A response with as few fields as its type allows; items as they really look."""

    def __init__(self) -> None:
        super().__init__(
            TenantId("local"),
            Sealer(bytes(64)),
            ("message.output_text.logprobs", "reasoning.encrypted_content", "file_search_call.results"),
        )

    def response(
        self, status: RunStatus, output: list[dict[str, Any]], record: RunRecord | None
    ) -> dict[str, Any]:
        error = None
        if record is not None and record.fault is not None:
            error = {"code": "server_error", "message": record.fault.message}
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": status,
            "output": list(output),
            "error": error,
            "model": "m",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "metadata": {},
            "incomplete_details": None,
            "instructions": None,
            "temperature": 1.0,
            "top_p": 1.0,
        }


def _over(status: RunStatus = "completed", fault: Fault | None = None, reason: str = "") -> RunOver:
    return RunOver(
        record=RunRecord(
            id=RunId("run_1"),
            tenant="local",
            principal="owner",
            model=ModelId("m"),
            status=status,
            created_at=1.0,
            fault=fault,
            reason=reason,
        )
    )


def _stream(*happenings: AnyHappening) -> list[dict[str, Any]]:
    return fold_stream(happenings, PlainFace())


def _names(events: Sequence[dict[str, Any]]) -> list[str]:
    return [each["type"].removeprefix("response.") for each in events]


@settings(deadline=None)  # the SDK builds its validators at the first use
@given(plots())
def test_any_run_gives_a_stream_that_the_sdk_accepts_and_adds_up_to_the_final_response(
    plot: list[AnyHappening],
) -> None:
    events = _stream(*plot, _over())

    check_types(events)
    assert heard(events).to_dict(exclude_unset=True)["output"] == _parsed(events[-1]["response"]["output"])
    assert heard_over_socket(events) is not None


@given(plots())
def test_the_last_event_shows_the_response_as_it_is_found_afterwards(plot: list[AnyHappening]) -> None:
    plan = Plan(principal=OWNER, models=(ModelId("m"),))
    runs = FakeAgentRuns()
    fake = FakeRun(
        id=RunId("run_1"),
        new=NewRun(plan=plan, input=()),
        opened=RunOpened(at=1.0, plan=plan, input=()),
    )
    words = ItemWords(TenantId("local"), Sealer(bytes(64)))
    face = ResponseFace(fake.record(), plan, words)
    runs.tell(fake, *plot)
    runs.end(fake)

    events = fold_stream([each.happening for each in fake.happenings], face)

    assert events[-1]["response"] == response_of(fake.record(), fake.steps(), words)


def test_every_event_of_the_sdk_is_given_or_known_not_to_apply() -> None:
    seen = {each["type"] for each in _stream(*_PROMPT, _over("incomplete", reason="max_output_tokens"))}
    broken = Fault(code="engine_failed", message="The engine broke.")
    seen |= {each["type"] for each in _stream(*_PROMPT, _over("failed", fault=broken))}
    seen |= {each["type"] for each in _stream(StatusChanged(status="queued"), *_PROMPT, _over())}

    @settings(deadline=None, max_examples=400, derandomize=True, database=None)
    @given(plots())
    def draw(plot: list[AnyHappening]) -> None:
        seen.update(each["type"] for each in _stream(*plot, _over()))

    draw()
    assert sorted(EVENT_TYPES - seen - NOT_GIVEN) == []
    assert sorted(seen & NOT_GIVEN) == []
    assert NOT_GIVEN <= EVENT_TYPES


def _parsed(output: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return items as the SDK gives them back: with what it parsed in them."""
    parsed: list[dict[str, Any]] = json.loads(json.dumps(output))
    for item in parsed:
        if item["type"] == "message":
            for part in item["content"]:
                if part["type"] == "output_text":
                    part["parsed"] = None
        if item["type"] == "function_call":
            item["parsed_arguments"] = None
    return parsed


@given(plots())
def test_events_are_numbered_from_0_without_a_gap(plot: list[AnyHappening]) -> None:
    events = _stream(*plot, _over())

    assert [each["sequence_number"] for each in events] == list(range(len(events)))


@given(plots(is_background=True), st.integers(0, 200))
def test_a_reader_that_folds_anew_gets_exactly_the_rest(plot: list[AnyHappening], after: int) -> None:
    first, again = _stream(*plot, _over()), _stream(*plot, _over())

    kept = [each for each in first if each["sequence_number"] <= after]
    rest = [each for each in again if each["sequence_number"] > after]

    assert [*kept, *rest] == first


@given(plots())
def test_deltas_of_each_item_add_up_to_what_it_holds(plot: list[AnyHappening]) -> None:
    events = _stream(*plot, _over())

    for event in events:
        kind = event["type"]
        if not kind.endswith(".done") or kind in _WITHOUT_DELTAS:
            continue
        whole = next(
            event[name] for name in ("text", "arguments", "input", "code", "refusal") if name in event
        )
        assert whole == _told(events, event, kind.removesuffix(".done") + ".delta")


_WITHOUT_DELTAS = {
    "response.output_item.done",
    "response.content_part.done",
    "response.reasoning_summary_part.done",
    "response.shell_call_command.done",
}


def _told(events: list[dict[str, Any]], done: dict[str, Any], name: str) -> str:
    places = ("output_index", "content_index", "summary_index")
    return "".join(
        each["delta"]
        for each in events
        if each["type"] == name and all(each.get(place) == done.get(place) for place in places)
    )


@given(plots())
def test_every_item_that_is_added_is_done_once_under_the_same_id(plot: list[AnyHappening]) -> None:
    events = _stream(*plot, _over())

    added = [
        (e["output_index"], e["item"]["id"]) for e in events if e["type"] == "response.output_item.added"
    ]
    done = [(e["output_index"], e["item"]["id"]) for e in events if e["type"] == "response.output_item.done"]
    assert added == sorted(done)
    assert [each for each, _ in added] == list(range(len(added)))


def test_a_message_is_told_in_the_canonical_order() -> None:
    said = Said(id="msg_1", role="assistant", parts=(Text(text=""),), status="in_progress")
    done = Said(id="msg_1", role="assistant", parts=(Text(text="Hi"),))

    events = _stream(
        *_PROMPT,
        ItemBegan(place=0, item=said),
        TextGrew(place=0, item_id="msg_1", part=0, delta="Hi"),
        ItemEnded(place=0, item=done),
        _over(),
    )

    assert _names(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[2]["item"]["content"] == []
    assert events[2]["item"]["status"] == "in_progress"
    assert events[7]["item"]["content"][0]["text"] == "Hi"


def test_a_background_response_is_queued_before_it_is_in_progress() -> None:
    events = _stream(StatusChanged(status="queued"), StatusChanged(status="in_progress"), _over())

    assert [(each["type"], each["response"]["status"]) for each in events] == [
        ("response.created", "queued"),
        ("response.queued", "queued"),
        ("response.in_progress", "in_progress"),
        ("response.completed", "completed"),
    ]


def test_a_failure_is_an_error_in_both_shapes_and_then_response_failed() -> None:
    fault = Fault(code="engine_failed", message="The engine broke.")

    events = _stream(*_PROMPT, _over("failed", fault))

    error, failed = events[-2:]
    assert error["type"] == "error"
    assert error["message"] == error["error"]["message"] == "The engine broke."
    assert error["code"] == error["error"]["code"] == "engine_failed"
    assert error["error"]["type"] == "server_error"
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"]["message"] == "The engine broke."
    check_types(events)


@pytest.mark.parametrize("status", ["incomplete", "cancelled"])
def test_a_run_that_was_cut_short_ends_as_incomplete_with_its_status(status: RunStatus) -> None:
    last = _stream(*_PROMPT, _over(status, reason="max_output_tokens"))[-1]

    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == status


def test_nothing_follows_the_end() -> None:
    fold = StreamFold(PlainFace())
    fold.take(_over())

    assert fold.take(_over()) == []
    assert fold.take(StatusChanged(status="in_progress")) == []


def test_a_call_of_mcp_says_its_arguments_before_it_is_made_and_its_failure_after() -> None:
    called = Called(
        id="mcp_1", call_id="call_1", name="read", arguments="", form="mcp", by_client=False, server="files"
    )
    whole = Called(
        id="mcp_1", call_id="call_1", name="read", arguments="{}", form="mcp", by_client=False, server="files"
    )
    result = Answered(id="res_1", call_id="call_1", parts=(Text(text="no"),), form="mcp", is_error=True)

    events = _stream(
        *_PROMPT,
        ItemBegan(place=0, item=called),
        ArgumentsGrew(place=0, item_id="mcp_1", delta="{}"),
        CallMoved(place=0, call_id="call_1", stage="started"),
        ItemEnded(place=0, item=whole, result=result),
        _over(),
    )

    assert _names(events)[2:-1] == [
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.failed",
        "output_item.done",
    ]
    assert events[-2]["item"]["error"]["type"] == "mcp_tool_execution_error"


def test_a_function_that_lar_carries_out_is_told_as_a_call_of_its_own_server() -> None:
    called = Called(id="fc_1", call_id="call_1", name="ask", arguments="{}", by_client=False)
    result = Answered(id="res_1", call_id="call_1", parts=(Text(text="yes"),))

    events = _stream(*_PROMPT, ItemEnded(place=0, item=called, result=result), _over())

    assert "mcp_call.completed" in _names(events)
    assert not any("function_call" in each for each in _names(events))
    assert events[-2]["item"]["output"] == "yes"


def test_an_item_that_was_cut_off_is_done_as_incomplete_without_a_word_that_it_is_whole() -> None:
    called = Called(id="fc_1", call_id="call_1", name="f", arguments="", status="in_progress")
    cut = Called(id="fc_1", call_id="call_1", name="f", arguments='{"a', status="incomplete")

    events = _stream(
        *_PROMPT,
        ItemBegan(place=0, item=called),
        ArgumentsGrew(place=0, item_id="fc_1", delta='{"a'),
        ItemEnded(place=0, item=cut),
        _over("incomplete"),
    )

    assert "function_call_arguments.done" not in _names(events)
    assert events[-2]["item"]["status"] == "incomplete"


def test_what_deltas_left_out_is_told_at_the_end_of_the_item() -> None:
    thought = Thought(id="rs_1", text="", status="in_progress")

    events = _stream(
        *_PROMPT,
        ItemBegan(place=0, item=thought),
        ItemEnded(place=0, item=Thought(id="rs_1", text="Well.", summary=("In short.",))),
        _over(),
    )

    deltas = [each["delta"] for each in events if each["type"].endswith("text.delta")]
    assert deltas == ["Well.", "In short."]


@given(st.text(), st.lists(st.integers(0, 400), max_size=8), st.booleans())
def test_code_is_read_out_of_arguments_that_are_cut_anywhere(
    code: str, cuts: list[int], is_ascii: bool
) -> None:
    text = json.dumps({"note": "x", "code": code, "more": 1}, ensure_ascii=is_ascii)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    reader = CodeReader()

    told = [reader.read(text[one:other]) for one, other in pairwise(places)]

    assert "".join(told) == code
