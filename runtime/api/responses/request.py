"""From the body of a request to a new run: what its fields mean together.

read_request   what is asked, with everything looked up that it names
shape_plan     a plan as the request wants it: of a bare model, or of an agent, whose own words come first
new_run        the run, once its context is known
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from runtime.api.bodies import check_plain_json
from runtime.api.errors import Refused, invalid
from runtime.api.openai.body import JsonObjectFormat as ChatJsonObject
from runtime.api.openai.body import JsonSchemaFormat as ChatJsonSchema
from runtime.api.openai.body import WireSchema
from runtime.api.openai.tools import response_format_of
from runtime.api.responses.body import (
    AskedBody,
    CreateBody,
    JsonObjectFormat,
    JsonSchemaFormat,
    TextWishes,
    conversation_id,
)
from runtime.api.responses.choosing import choice_of
from runtime.api.responses.echoing import echo_request
from runtime.api.responses.errors import (
    background_unstored,
    both_previous,
    in_words_of_responses,
    previous_not_found,
)
from runtime.api.responses.items_in import Outside, check_pairs, read_input
from runtime.api.responses.items_out import LOGPROBS
from runtime.api.responses.object import Echo, run_id, with_echo
from runtime.api.responses.prompts import Filled, Prompts, PromptTemplate, fill_prompt
from runtime.api.responses.tools_in import ToolWishes, read_tools
from runtime.core.agents.fold import fold
from runtime.core.agents.items import Answered, AnyItem, Called, Picture, Said, Text, Wanted
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.ports import NewRun
from runtime.core.agents.prompting import request_of
from runtime.core.agents.steps import AnyStep, RunOpened
from runtime.core.gate.principals import Principal
from runtime.core.ids import ModelId, RunId
from runtime.core.messages import ChatRequest, Priority, ResponseFormat

DOOR = "responses"
WHEN_NEARLY_FULL = 2**31 - 1
"""A threshold above every context: its share of the context is what counts."""
PICTURE_LEFT_OUT = "[image omitted: this model cannot see pictures]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a request asks for."""

    body: CreateBody
    model: str
    """Of a model, or of an agent."""
    instructions: str
    items: tuple[AnyItem, ...]
    tools: ToolWishes
    echo: Echo
    response_format: ResponseFormat | None
    """None: nothing was said about it."""
    previous: RunId | None
    session: str | None
    wants_compaction: bool
    """An item asks for it now."""

    @property
    def is_background(self) -> bool:
        """Whether it goes on when nobody follows it."""
        return bool(self.body.background)

    @property
    def is_stored(self) -> bool:
        """Whether it can be read later."""
        return self.body.store is not False

    @property
    def is_stream(self) -> bool:
        """Whether it is told while it comes about."""
        return bool(self.body.stream)


async def read_request(body: CreateBody, outside: Outside, prompts: Prompts | None = None) -> Asked:
    """Return what is asked. Raises Refused, naming the field."""
    check_plain_json(body.tool_choice, "tool_choice")
    check_plain_json(None if body.prompt is None else body.prompt.variables, "prompt.variables")
    previous = _previous(body)
    template, filled = await _filled(body, outside, prompts)
    model = body.model or (None if template is None else template.model)
    if model is None:
        raise invalid("Missing required parameter: 'model'.", "model", code="missing_required_parameter")

    response_format = _format_of(body.text)
    given = await read_input(_input(body, filled), outside)
    tools = read_tools([*(template.tools if template is not None else ()), *(body.tools or ()), *given.tools])
    told = [filled.instructions, body.instructions or ""]
    instructions = "\n\n".join(filter(None, told))
    return Asked(
        body=body,
        model=model,
        instructions=instructions,
        items=tuple(given.items),
        tools=tools,
        echo=echo_request(body, model, instructions, tools),
        response_format=response_format,
        previous=previous,
        session=conversation_id(body.conversation),
        wants_compaction=given.wants_compaction,
    )


def create_body_of(body: AskedBody) -> CreateBody:
    """Return what is to be counted as what would be asked."""
    names = AskedBody.__struct_fields__
    return CreateBody(store=False, **{name: getattr(body, name) for name in names})


def bare_plan(asked: Asked, principal: Principal, tools: Sequence[PlannedTool]) -> Plan:
    """Return the plan for a request that names a model. Raises Refused."""
    plan = Plan(principal=principal, models=(ModelId(asked.model),), priority=_priority(asked.body))
    return shape_plan(asked, plan, tools)


def plan_shaper(asked: Asked, resolved: Mapping[int, Sequence[PlannedTool]]) -> Callable[[Plan], Plan]:
    """Return what makes of an agent's plan the plan of the request; `resolved` as in `ToolWishes.planned`."""
    return lambda plan: shape_plan(asked, plan, asked.tools.planned(resolved, plan.tools))


def shape_plan(asked: Asked, plan: Plan, tools: Sequence[PlannedTool]) -> Plan:
    """Return a plan as the request wants it, with these tools. Raises Refused."""
    body = asked.body
    changes: dict[str, Any] = {
        "instructions": "\n\n".join(filter(None, [plan.instructions, asked.instructions])),
        "tools": tuple(tools),
        "sampling": msgspec.structs.replace(plan.sampling, **_sampling(body)),
        "door": DOOR,
    }
    if body.tool_choice is not None:
        choice = choice_of(body.tool_choice, tools)
        changes |= {"tool_choice": choice.tool_choice, "allowed_tools": choice.allowed}
    if body.parallel_tool_calls is not None:
        changes["parallel_tool_calls"] = body.parallel_tool_calls
    if asked.response_format is not None:
        changes["response_format"] = asked.response_format
    if body.reasoning is not None and body.reasoning.effort is not None:
        changes["reasoning_effort"] = body.reasoning.effort
    if body.max_tool_calls is not None:
        changes["hosted_calls"] = body.max_tool_calls
    if body.truncation is not None:
        changes["is_truncated"] = body.truncation == "auto"
    if body.priority is not None or body.service_tier == "flex":
        changes["priority"] = _priority(body)
    threshold = _threshold(asked, plan)
    if threshold is not None:
        changes["compact_at_tokens"] = threshold
    return with_echo(msgspec.structs.replace(plan, **changes), asked.echo)


def new_run(asked: Asked, plan: Plan, context: Sequence[AnyItem], added: Sequence[AnyItem] = ()) -> NewRun:
    """Return the run; `context` is what stood before. Raises Refused where calls and results do not match."""
    check_pairs(context, asked.items)
    if not asked.items and not context:
        message = "One of 'input', 'previous_response_id', 'prompt' or 'conversation' must be provided."
        raise invalid(message, "input", code="missing_required_parameter")

    return NewRun(
        plan=plan,
        input=named_alike(asked.items, plan.tools),
        context=named_alike(context, plan.tools),
        session=asked.session,
        previous=asked.previous,
        trigger="api",
        is_background=asked.is_background,
        is_stored=asked.is_stored,
        added=tuple(added),
    )


def context_of(steps: Sequence[AnyStep]) -> tuple[AnyItem, ...]:
    """Return what a run's conversation is for the one that continues it; instructions are not inherited."""
    state = fold(steps)
    conversation = [*state.conversation, *state.pending]
    if state.summary is None:
        return tuple(conversation)
    return (state.summary, *conversation[state.dropped :])


def named_alike(items: Sequence[AnyItem], tools: Sequence[PlannedTool]) -> tuple[AnyItem, ...]:
    """Return items whose calls of servers' tools have the names that the tools have in this run."""
    names = {(each.server, each.tool): each.name for each in tools if each.form == "mcp"}
    return tuple(
        msgspec.structs.replace(each, name=names.get((each.server, each.tool), each.name))
        if isinstance(each, Wanted) or (isinstance(each, Called) and each.form == "mcp")
        else each
        for each in items
    )


def first_request(new: NewRun) -> ChatRequest:
    """Return what the model of a run would be asked first: to check it, or to count its tokens."""
    state = fold([RunOpened(at=0.0, plan=new.plan, input=new.input, context=new.context)])
    return request_of(state, pictures=_Unseen())


def leave_out_pictures(items: Sequence[AnyItem]) -> tuple[AnyItem, ...]:
    """Return items that say where pictures were, for a model that sees none."""
    return tuple(_without_pictures(each) for each in items)


class _Unseen(dict[str, bytes]):
    """Stands for the bytes of stored pictures where only their number matters."""

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - the word of a mapping
        return b""


def _without_pictures(item: AnyItem) -> AnyItem:
    if not isinstance(item, Said | Answered) or not any(isinstance(each, Picture) for each in item.parts):
        return item
    parts = tuple(Text(text=PICTURE_LEFT_OUT) if isinstance(each, Picture) else each for each in item.parts)
    return msgspec.structs.replace(item, parts=parts)


def _previous(body: CreateBody) -> RunId | None:
    """Return the run that is continued, and refuse what cannot go together."""
    if body.background and body.store is False:
        raise background_unstored()

    if body.previous_response_id is None:
        return None

    if body.conversation is not None:
        raise both_previous()

    previous = run_id(body.previous_response_id)
    if previous is None:
        raise previous_not_found(body.previous_response_id)
    return previous


async def _filled(
    body: CreateBody, outside: Outside, prompts: Prompts | None
) -> tuple[PromptTemplate | None, Filled]:
    if body.prompt is None:
        return None, Filled("", [])

    if prompts is None:
        raise invalid("This server keeps no prompts.", "prompt", code="unsupported_parameter")

    template = await prompts.find(outside.tenant, body.prompt.id, body.prompt.version)
    return template, fill_prompt(template, body.prompt.variables or {})


def _input(body: CreateBody, filled: Filled) -> str | list[dict[str, Any]] | None:
    if not filled.items or body.input is None:
        return filled.items or body.input

    own = [{"role": "user", "content": body.input}] if isinstance(body.input, str) else body.input
    return [*filled.items, *own]


def _format_of(text: TextWishes | None) -> ResponseFormat | None:
    """Return the shape of the answer. Raises Refused, in this API's words."""
    wire = None if text is None else text.format
    if wire is None:
        return None

    try:
        match wire:
            case JsonSchemaFormat():
                schema = WireSchema(name=wire.name, schema=wire.schema, strict=wire.strict)
                return response_format_of(ChatJsonSchema(json_schema=schema))
            case JsonObjectFormat():
                return response_format_of(ChatJsonObject())
            case _:
                return ResponseFormat()
    except Refused as problem:
        raise Refused(in_words_of_responses(problem.refusal)) from problem


def _sampling(body: CreateBody) -> dict[str, Any]:
    """Return what the request says of how tokens are chosen."""
    told = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "min_p": body.min_p,
        "seed": body.seed,
        "presence_penalty": body.presence_penalty,
        "frequency_penalty": body.frequency_penalty,
        "max_tokens": body.max_output_tokens,
        "logprobs": (body.top_logprobs or 0) if LOGPROBS in (body.include or ()) else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _priority(body: CreateBody) -> Priority:
    """Return who goes first: what is said outright, else what tier and background mean on one machine."""
    if body.priority is not None:
        return body.priority
    if body.service_tier == "flex":
        return "batch"
    return "agent" if body.background else "interactive"


def _threshold(asked: Asked, plan: Plan) -> int | None:
    """Return at how many tokens the context is compacted: where an item asks for it, at once.

    A bare model's context is left alone unless the request says otherwise; an agent's never overflows.
    """
    if asked.wants_compaction:
        return 1

    told = [each.compact_threshold for each in asked.body.context_management or ()]
    given = next((each for each in told if each is not None), plan.compact_at_tokens)
    if given is None and (told or plan.agent is not None):
        return WHEN_NEARLY_FULL
    return given
