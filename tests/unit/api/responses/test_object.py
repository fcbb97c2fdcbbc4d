"""The response as an object: every key there, as the official SDK reads it, whatever its run came to."""

from typing import Any

import msgspec
import pytest
from openai.types.responses import Response
from openai.types.responses.response_error import ResponseError

from runtime.api.bodies import decode_body
from runtime.api.responses.body import CreateBody
from runtime.api.responses.object import ResponseFace, echo_of, response_id, response_of, run_id, usage_out
from runtime.api.responses.request import bare_plan, new_run, read_request
from runtime.core.agents.fold import fold, opening_record, record_of
from runtime.core.agents.items import Said, Text
from runtime.core.agents.plans import Plan
from runtime.core.agents.steps import (
    AnyStep,
    PlanChanged,
    RunEnded,
    RunOpened,
    RunRecord,
    TurnBegun,
    TurnEnded,
)
from runtime.core.errors import Fault
from runtime.core.gate.principals import OWNER
from runtime.core.ids import ModelId, RunId
from runtime.core.messages import Usage
from tests.kit.responses import make_outside, make_words
from tests.unit.api.responses.test_tools import EVERY

ALWAYS = frozenset(
    {
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "incomplete_details",
        "model",
        "previous_response_id",
        "instructions",
        "output",
        "error",
        "tools",
        "tool_choice",
        "truncation",
        "parallel_tool_calls",
        "text",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "temperature",
        "reasoning",
        "usage",
        "max_output_tokens",
        "max_tool_calls",
        "store",
        "background",
        "service_tier",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
    }
)
"""The keys that Open Responses demands."""
_ANSWER = Said(id="msg_1", role="assistant", parts=(Text(text="Hello"),), phase="final_answer")
_USAGE = Usage(prompt_tokens=10, completion_tokens=3, cached_tokens=4, reasoning_tokens=1)
_FULL: dict[str, Any] = {
    "model": "m",
    "input": "Hi",
    "instructions": "Be brief.",
    "tools": EVERY,
    "tool_choice": {"type": "function", "name": "add"},
    "metadata": {"a": "b"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {
        "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}},
        "verbosity": "low",
    },
    "temperature": 0,
    "top_p": 1,
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "top_logprobs": 2,
    "max_output_tokens": 100,
    "max_tool_calls": 3,
    "truncation": "auto",
    "service_tier": "priority",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "in-memory",
    "prompt_cache_options": {"prewarm": True},
    "user": "u",
    "background": True,
    "conversation": {"id": "conv_1"},
    "include": ["reasoning.encrypted_content"],
    "parallel_tool_calls": False,
}


async def _lived(*ends: AnyStep, **fields: Any) -> tuple[RunRecord, list[AnyStep]]:
    asked = await read_request(
        decode_body(msgspec.json.encode({"model": "m", "input": "Hi", **fields}), CreateBody), make_outside()
    )
    new = new_run(asked, bare_plan(asked, OWNER, asked.tools.planned({})), ())
    opened = RunOpened(at=1.5, plan=new.plan, input=new.input, session=new.session)
    steps: list[AnyStep] = [opened, *ends]
    record = opening_record(RunId("run_1"), opened, is_background=new.is_background, is_stored=new.is_stored)
    return record_of(fold(steps), record), steps


def _answered() -> list[AnyStep]:
    return [
        TurnBegun(at=2.0, turn=0, model=ModelId("m"), prompt_items=1),
        TurnEnded(at=3.0, turn=0, items=(_ANSWER,), usage=_USAGE, reason="stop"),
    ]


def _ended(status: Any, reason: str = "", fault: Fault | None = None) -> RunEnded:
    return RunEnded(at=4.9, status=status, reason=reason, fault=fault)


_FAULT = Fault(code="queue_full", message="Too many.")
_ENDS: dict[str, list[AnyStep]] = {
    "queued": [],
    "in_progress": _answered()[:1],
    "completed": [*_answered(), _ended("completed")],
    "incomplete": [*_answered(), _ended("incomplete", "max_output_tokens")],
    "failed": [_ended("failed", fault=_FAULT)],
    "cancelled": [_ended("cancelled", "the client left")],
}


@pytest.mark.parametrize("status", _ENDS)
@pytest.mark.parametrize("fields", [{}, _FULL], ids=["bare", "full"])
async def test_a_response_is_what_the_official_sdk_reads_and_open_responses_demands(
    status: str, fields: dict[str, Any]
) -> None:
    record, steps = await _lived(*_ENDS[status], **fields)

    told = msgspec.json.decode(msgspec.json.encode(response_of(record, steps, make_words())))

    parsed = Response.model_validate(told)
    assert told.keys() >= ALWAYS
    assert "output_text" not in told
    assert parsed.status == status
    assert parsed.id == "resp_1"
    assert isinstance(told["created_at"], int)
    assert set(parsed.model_extra or {}) == {"presence_penalty", "frequency_penalty", "store"}
    for number in ("top_p", "presence_penalty", "frequency_penalty", "top_logprobs", "temperature"):
        assert isinstance(told[number], int | float)
    assert isinstance(told["service_tier"], str)
    assert told["tool_choice"] is not None


async def test_a_completed_response_has_its_output_and_usage() -> None:
    record, steps = await _lived(*_ENDS["completed"], **_FULL)

    told = response_of(record, steps, make_words())

    parsed = Response.model_validate(told)
    assert parsed.output_text == "Hello"
    assert (told["completed_at"], told["error"], told["incomplete_details"]) == (4, None, None)
    assert told["conversation"] == {"id": "conv_1"}
    assert told["background"]
    assert told["store"]
    assert told["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 6},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 13,
    }
    assert (told["temperature"], told["prompt_cache_retention"]) == (0, "in_memory")


@pytest.mark.parametrize("status", ["queued", "in_progress"])
async def test_usage_comes_with_the_end(status: str) -> None:
    record, steps = await _lived(*_ENDS[status])

    told = response_of(record, steps, make_words())

    assert told["usage"] is None
    assert told["completed_at"] is None


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("max_output_tokens", "max_output_tokens"),
        ("tokens", "max_output_tokens"),
        ("turns", "max_messages"),
        ("calls", "max_messages"),
        ("loop", "max_messages"),
    ],
)
async def test_limits_are_told_by_the_two_words_of_openai(reason: str, told: str) -> None:
    record, steps = await _lived(*_answered(), _ended("incomplete", reason))

    assert response_of(record, steps, make_words())["incomplete_details"] == {"reason": told}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (_FAULT, "rate_limit_exceeded"),
        (Fault(code="context_length_exceeded", message="Too long."), "invalid_prompt"),
        (Fault(code="worker_died", message="Gone."), "server_error"),
        (None, "server_error"),
    ],
)
async def test_a_failure_has_a_code_of_the_closed_list(fault: Fault | None, code: str) -> None:
    record, steps = await _lived(_ended("failed", fault=fault))

    error = response_of(record, steps, make_words())["error"]

    assert ResponseError.model_validate(error).code == code
    assert error["message"]


async def test_a_handover_changes_the_plan_and_not_what_was_asked() -> None:
    other = Plan(principal=OWNER, agent="clerk", models=(ModelId("other"),))
    changed = PlanChanged(at=2.0, plan=other, reason="handover: clerk")

    record, steps = await _lived(changed, *_ENDS["completed"], instructions="Be brief.")

    told = response_of(record, steps, make_words())
    assert (told["model"], told["instructions"]) == ("m", "Be brief.")


def test_a_run_that_no_request_began_is_shown_by_its_plan() -> None:
    plan = Plan(principal=OWNER, agent="clerk", models=(ModelId("m"),), instructions="File.")
    record = opening_record(RunId("run_1"), RunOpened(at=1.0, plan=plan, input=()))

    told = ResponseFace(record, plan, make_words()).response("waiting", [])

    assert Response.model_validate(told).status == "in_progress"
    assert told["model"] == "clerk"
    assert echo_of(plan).instructions == "File."


def test_ids_of_runs_and_responses_are_two_faces_of_one() -> None:
    assert run_id(response_id(RunId("run_abc"))) == "run_abc"
    assert run_id("run_abc") is None


def test_what_was_cached_is_not_written_again() -> None:
    assert (
        usage_out(Usage(prompt_tokens=5, cached_tokens=5))["input_tokens_details"]["cache_write_tokens"] == 0
    )
