"""From a body to a new run: what fields mean together, for a bare model and for an agent."""

from typing import Any

import msgspec
import pytest

from runtime.api.bodies import decode_body
from runtime.api.errors import Refused
from runtime.api.responses.body import CountBody, CreateBody
from runtime.api.responses.errors import prompt_not_found
from runtime.api.responses.object import echo_of
from runtime.api.responses.prompts import PromptTemplate
from runtime.api.responses.request import (
    PICTURE_LEFT_OUT,
    WHEN_NEARLY_FULL,
    Asked,
    bare_plan,
    context_of,
    create_body_of,
    first_request,
    leave_out_pictures,
    new_run,
    plan_shaper,
    read_request,
)
from runtime.core.agents.items import AnyItem, Called, Compacted, Said, Text
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.ports import NewRun
from runtime.core.agents.steps import ContextCompacted, RunOpened
from runtime.core.gate.principals import OWNER
from runtime.core.ids import ModelId, TenantId
from runtime.core.messages import ImagePart, Sampling
from tests.kit.responses import make_outside
from tests.unit.api.responses.samples import PNG_URL, SAMPLES

_ADD = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}


class _Prompts:
    """One template."""

    async def find(self, tenant: TenantId, prompt: str, version: str | None) -> PromptTemplate:
        """Return it. Raises Refused."""
        if prompt != "pmpt_1":
            raise prompt_not_found(prompt, version)
        return PromptTemplate(
            id="pmpt_1",
            model="m",
            instructions="Speak {{ language }}.",
            input=({"role": "user", "content": "Look at {{thing}}, please."},),
        )


async def _asked(**fields: Any) -> Asked:
    body = {"model": "m", "input": "Hi", **fields}
    kept = {name: value for name, value in body.items() if value is not ...}
    return await read_request(decode_body(msgspec.json.encode(kept), CreateBody), make_outside(), _Prompts())


async def _run(**fields: Any) -> NewRun:
    asked = await _asked(**fields)
    return new_run(asked, bare_plan(asked, OWNER, asked.tools.planned({})), ())


async def test_a_request_becomes_a_run() -> None:
    run = await _run(
        instructions="Be brief.",
        tools=[_ADD],
        temperature=0.5,
        max_output_tokens=16,
        max_tool_calls=2,
        parallel_tool_calls=False,
        truncation="auto",
        reasoning={"effort": "low"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        metadata={"a": "b"},
    )

    plan = run.plan
    assert plan.models == (ModelId("m"),)
    assert plan.instructions == "Be brief."
    assert plan.sampling == Sampling(temperature=0.5, max_tokens=16)
    assert plan.hosted_calls == 2
    assert not plan.parallel_tool_calls
    assert plan.is_truncated
    assert plan.reasoning_effort == "low"
    assert plan.response_format.schema == {"type": "object"}
    assert plan.door == "responses"
    assert plan.priority == "interactive"
    assert [each.name for each in plan.tools] == ["add"]
    assert run.is_stored
    assert not run.is_background
    assert [each.text for each in run.input if isinstance(each, Said)] == ["Hi"]
    assert echo_of(plan).metadata == {"a": "b"}
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


@pytest.mark.parametrize(
    ("fields", "priority"),
    [
        ({"service_tier": "flex"}, "batch"),
        ({"background": True}, "agent"),
        ({"background": True, "service_tier": "priority"}, "agent"),
        ({"priority": "batch"}, "batch"),
        ({"service_tier": "auto"}, "interactive"),
    ],
)
async def test_the_tier_says_who_goes_first(fields: dict[str, Any], priority: str) -> None:
    assert (await _run(**fields)).plan.priority == priority


async def test_an_agent_speaks_first_and_keeps_what_the_request_says_nothing_about() -> None:
    own = PlannedTool(name="search", executor="hub", form="mcp", server="recall", tool="search")
    plan = Plan(
        principal=OWNER,
        agent="clerk",
        models=(ModelId("big"), ModelId("small")),
        instructions="You file papers.",
        tools=(own,),
        sampling=Sampling(temperature=0.1, top_p=0.9),
        reasoning_effort="high",
    )
    asked = await _asked(model="clerk", instructions="In French.", tools=[_ADD], temperature=0.7)

    shaped = plan_shaper(asked, {})(plan)

    assert shaped.models == plan.models
    assert shaped.instructions == "You file papers.\n\nIn French."
    assert [each.name for each in shaped.tools] == ["search", "add"]
    assert shaped.sampling == Sampling(temperature=0.7, top_p=0.9)
    assert shaped.reasoning_effort == "high"
    assert shaped.tool_choice == plan.tool_choice
    assert shaped.compact_at_tokens == WHEN_NEARLY_FULL
    assert echo_of(shaped).model == "clerk"
    assert echo_of(shaped).instructions == "In French."


async def test_probabilities_are_asked_of_the_model_only_where_they_are_shown() -> None:
    shown = await _run(top_logprobs=3, include=["message.output_text.logprobs"])
    hidden = await _run(top_logprobs=3)

    assert shown.plan.sampling.logprobs == 3
    assert hidden.plan.sampling.logprobs is None


async def test_a_template_is_filled_and_stands_before_the_request() -> None:
    variables = {"language": "French", "thing": {"type": "input_image", "image_url": PNG_URL}}
    run = await _run(model=..., prompt={"id": "pmpt_1", "variables": variables}, instructions="Be brief.")

    assert run.plan.models == (ModelId("m"),)
    assert run.plan.instructions == "Speak French.\n\nBe brief."
    first = run.input[0]
    assert isinstance(first, Said)
    assert [type(each).__name__ for each in first.parts] == ["Text", "Picture", "Text"]
    assert isinstance(first_request(run).messages[1].content, tuple)
    assert len(run.input) == 2


@pytest.mark.parametrize(
    ("variables", "param"),
    [({"thing": "x"}, "prompt.variables.language"), ({"language": "French"}, "prompt.variables.thing")],
)
async def test_a_template_wants_all_its_variables(variables: dict[str, str], param: str) -> None:
    with pytest.raises(Refused) as refused:
        await _asked(prompt={"id": "pmpt_1", "variables": variables})

    assert refused.value.refusal.param == param


async def test_what_continues_a_run_has_its_conversation_and_not_its_instructions() -> None:
    question, answer = _said("user", "Hi"), _said("assistant", "Hello")
    plan = Plan(principal=OWNER, models=(ModelId("m"),), instructions="Be brief.")
    opened = RunOpened(at=1.0, plan=plan, input=(question,), context=(answer,))
    summary = Compacted(id="cmp_1", summary="They greeted each other.")

    assert context_of([opened]) == (answer, question)
    compacted = ContextCompacted(at=2.0, summary=summary, dropped=1)
    assert context_of([opened, compacted]) == (summary, question)


async def test_calls_of_servers_are_named_as_the_tools_of_the_run_are() -> None:
    tool = PlannedTool(name="mcp__dice__roll", executor="hub", form="mcp", server="dice", tool="roll")
    asked = await _asked()
    plan = bare_plan(asked, OWNER, [tool])

    run = new_run(asked, plan, SAMPLES["a call of a server"])

    called = run.context[0]
    assert isinstance(called, Called)
    assert called.name == "mcp__dice__roll"


async def test_the_first_prompt_is_what_the_model_will_be_asked() -> None:
    run = await _run(instructions="Be brief.", tools=[_ADD])

    request = first_request(run)

    assert [each.role for each in request.messages] == ["system", "user"]
    assert [each.name for each in request.tools] == ["add"]


async def test_stored_pictures_count_in_the_first_prompt() -> None:
    run = await _run(input=[{"role": "user", "content": [{"type": "input_image", "image_url": PNG_URL}]}])

    content = first_request(run).messages[0].content

    assert isinstance(content, tuple)
    assert isinstance(content[0], ImagePart)


def test_a_model_that_sees_nothing_is_told_where_pictures_were() -> None:
    items = leave_out_pictures(SAMPLES["a question with a picture"])

    assert isinstance(items[0], Said)
    assert items[0].parts[1] == Text(text=PICTURE_LEFT_OUT)


def test_counting_takes_what_creating_takes() -> None:
    counted = decode_body(b'{"model": "m", "input": "Hi", "personality": "friendly"}', CountBody)

    body = create_body_of(counted)

    assert (body.model, body.input, body.store) == ("m", "Hi", False)


async def test_compaction_can_be_asked_for_by_threshold_and_by_item() -> None:
    by_threshold = await _run(context_management=[{"type": "compaction", "compact_threshold": 2000}])
    by_item = await _run(input=[{"role": "user", "content": "Hi"}, {"type": "compaction_trigger"}])

    by_share = await _run(context_management=[{"type": "compaction"}])

    assert by_threshold.plan.compact_at_tokens == 2000
    assert by_item.plan.compact_at_tokens == 1
    assert by_share.plan.compact_at_tokens == WHEN_NEARLY_FULL
    assert (await _run()).plan.compact_at_tokens is None


async def test_tools_that_come_as_items_are_tools() -> None:
    run = await _run(
        input=[
            {"type": "additional_tools", "role": "developer", "tools": [_ADD]},
            {"role": "user", "content": "Hi"},
        ]
    )

    assert [each.name for each in run.plan.tools] == ["add"]


async def test_words_of_a_client_that_nobody_knows_are_let_through() -> None:
    run = await _run(client_metadata={"a": 1}, access_programs={"cyber": "standard"}, moderation=None)

    assert run.plan.models == (ModelId("m"),)


def _said(role: Any, text: str) -> AnyItem:
    return Said(id=f"msg_{role}", role=role, parts=(Text(text=text),))
