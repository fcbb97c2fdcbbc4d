"""Hidden turns: small models decide before they write, and an answer may be judged before it is given.

A small model that is free to call or to answer mostly answers. Asked for one constrained word it chooses
better: the name of a tool, or `none`. What hidden turns give is a step of the run and no part of its output.
"""

import json
from collections.abc import Sequence

import msgspec

from runtime.core.agents.builtins import decide_shown
from runtime.core.agents.fold import RunState
from runtime.core.agents.items import AnyItem, Said, Text
from runtime.core.agents.plans import PlannedTool
from runtime.core.agents.prompting import Pictures, choose_tools, request_of
from runtime.core.messages import ChatRequest, ResponseFormat, Sampling, ToolChoice

_NO_TOOL = "none"
_DECISION_TOKENS = 64
_VERDICT_TOKENS = 400
_SHOWN_DESCRIPTION = 200


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a model says of an answer."""

    is_good: bool
    problem: str = ""


def needs_decision(state: RunState) -> bool:
    """Say whether the model is asked to decide before its next turn."""
    return state.plan.decides_first and not state.decision and choose_tools(state).mode == "auto"


def decision_request(state: RunState, pictures: Pictures) -> ChatRequest:
    """Return the question which tool is needed now, if any."""
    tools = _choosable(state)
    lines = [f"- {each.name}: {' '.join(each.description.split())[:_SHOWN_DESCRIPTION]}" for each in tools]
    question = "\n".join(
        [
            "Before you go on: which of these tools is needed next to do what was asked?",
            *lines,
            f"- {_NO_TOOL}: no tool; all that is needed for the answer is here already.",
            'Answer with {"tool": "name"}.',
        ]
    )
    schema = {
        "type": "object",
        "properties": {"tool": {"type": "string", "enum": [*(each.name for each in tools), _NO_TOOL]}},
        "required": ["tool"],
        "additionalProperties": False,
    }
    return _hidden(state, pictures, [_said(question)], "decision", schema, _DECISION_TOKENS)


def choice_after_decision(state: RunState) -> ToolChoice | None:
    """Return how free the turn after a decision is; None: as free as without one."""
    if not state.decision:
        return None

    try:
        decided = json.loads(state.decision)
    except ValueError:
        return None

    name = decided.get("tool") if isinstance(decided, dict) else None
    if name == _NO_TOOL:
        return ToolChoice(mode="none")

    known = {each.name for each in _choosable(state)}
    return ToolChoice(mode="required", names=(name,)) if name in known else None


def verdict_request(state: RunState, pictures: Pictures) -> ChatRequest:
    """Return the question whether an answer is good."""
    question = (
        "Judge your last answer before it is given. Is it right, complete, and what was asked for? Name the "
        "one problem that must be mended, or leave it empty."
    )
    schema = {
        "type": "object",
        "properties": {"problem": {"type": "string", "maxLength": 600}, "is_good": {"type": "boolean"}},
        "required": ["problem", "is_good"],
        "additionalProperties": False,
    }
    return _hidden(state, pictures, [*state.draft, _said(question)], "verdict", schema, _VERDICT_TOKENS)


def verdict_of(state: RunState) -> Verdict:
    """Return what was said of the draft; an unreadable verdict lets it pass."""
    try:
        return msgspec.json.decode(state.decision.encode(), type=Verdict)
    except msgspec.DecodeError:
        return Verdict(is_good=True)


def mending(state: RunState) -> list[AnyItem]:
    """Return what the turn that mends an answer hears beside the conversation."""
    problem = verdict_of(state).problem or "it is not what was asked for."
    return [*state.draft, _said(f"That answer is not given yet. Mend it: {problem}\nWrite the whole answer.")]


def _hidden(
    state: RunState,
    pictures: Pictures,
    added: Sequence[AnyItem],
    name: str,
    schema: dict[str, object],
    tokens: int,
) -> ChatRequest:
    request = request_of(state, pictures=pictures, choice=ToolChoice(mode="none"), added=added)
    return msgspec.structs.replace(
        request,
        tools=(),
        response_format=ResponseFormat(type="json_schema", name=name, schema=schema, strict=True),
        sampling=Sampling(temperature=0.0, max_tokens=tokens),
        reasoning_effort="none",
    )


def _choosable(state: RunState) -> list[PlannedTool]:
    names = choose_tools(state).names
    shown = decide_shown(state.plan.tools, state.conversation)
    return [each for each in shown if not names or each.name in names]


def _said(text: str) -> Said:
    return Said(id="", role="user", parts=(Text(text=text),))
