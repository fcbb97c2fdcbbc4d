"""The response as an object: from a run's record, its steps, and what the request said of itself.

Every key is there that Open Responses demands. A request's own words (`Echo`) travel in the plan of its run.
"""

from typing import Any

import msgspec

from runtime.api.responses.items_out import ItemWords, Wired
from runtime.core.agents.fold import RunState, fold
from runtime.core.agents.items import Answered, AnyItem
from runtime.core.agents.plans import Plan
from runtime.core.agents.steps import TERMINAL, AnyStep, RunOpened, RunRecord, RunStatus
from runtime.core.errors import FaultCode
from runtime.core.ids import RunId
from runtime.core.messages import Usage

PREFIX = "resp_"
_RUN_PREFIX = "run_"
ECHO = "responses"
"""Under which the plan of a run keeps its Echo."""

_ERROR_CODES: dict[FaultCode, str] = {
    "invalid_request": "invalid_prompt",
    "unsupported_parameter": "invalid_prompt",
    "context_length_exceeded": "invalid_prompt",
    "invalid_json_schema": "invalid_prompt",
    "queue_full": "rate_limit_exceeded",
}
"""In the closed list of OpenAI's; all others are `server_error`."""
_INCOMPLETE = {"max_output_tokens": "max_output_tokens", "tokens": "max_output_tokens"}
"""Limits of a run by OpenAI's two words; all others are limits of turns."""
STEERED = "steered"
"""Why a run was stopped whose asker adds something: the response is incomplete, and another one follows."""
_NO_REASON = "The run failed, and nothing says why."


class Echo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a request said of itself, as the response shows it again. No secret is in here."""

    model: str
    instructions: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    text: dict[str, Any] = msgspec.field(
        default_factory=lambda: {"format": {"type": "text"}, "verbosity": "medium"}
    )
    reasoning: dict[str, Any] = msgspec.field(default_factory=lambda: {"effort": None, "summary": None})
    temperature: float = 1.0
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_logprobs: int = 0
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    truncation: str = "disabled"
    previous_response_id: str | None = None
    prompt: dict[str, Any] | None = None
    service_tier: str = "default"
    metadata: dict[str, str] = {}
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    include: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """What was not done as asked, for the header of the answer."""


def response_id(run: RunId) -> str:
    """Return the id of a run as a response."""
    return PREFIX + run.removeprefix(_RUN_PREFIX)


def run_id(response: str) -> RunId | None:
    """Return the run that a response is; None where this is no id of a response."""
    if not response.startswith(PREFIX):
        return None
    return RunId(_RUN_PREFIX + response.removeprefix(PREFIX))


def with_echo(plan: Plan, echo: Echo) -> Plan:
    """Return the plan of a run with what its request said of itself."""
    return msgspec.structs.replace(plan, extra={**plan.extra, ECHO: msgspec.to_builtins(echo)})


def echo_of(plan: Plan) -> Echo:
    """Return what the request of a run said of itself; of a run that had none, what follows from its plan."""
    told = plan.extra.get(ECHO)
    if told is not None:
        return msgspec.convert(told, Echo)
    return Echo(model=plan.agent or plan.models[0], instructions=plan.instructions or None)


class ResponseFace:
    """How one response is shown to one asker, live and at rest. Fulfils what the stream asks of its face."""

    def __init__(self, base: RunRecord, plan: Plan, words: ItemWords) -> None:
        self._base = base
        self._echo = echo_of(plan)
        self._words = words

    @property
    def echo(self) -> Echo:
        """What the request said of itself."""
        return self._echo

    def item(self, item: AnyItem, result: Answered | None = None) -> Wired:
        """Return an item of the output."""
        return self._words.item(item, result)

    def response(self, status: RunStatus, output: list[Wired], record: RunRecord | None = None) -> Wired:
        """Return the response; `record` is the run's once it has ended."""
        base, echo = record or self._base, self._echo
        if status == "cancelled" and base.reason == STEERED:
            status = "incomplete"
        is_over = status in TERMINAL
        return {
            "id": response_id(base.id),
            "object": "response",
            "created_at": int(base.created_at),
            "completed_at": _second(base.ended_at) if status == "completed" else None,
            "status": "in_progress" if status == "waiting" else status,
            "background": base.is_background,
            "store": base.is_stored,
            "error": _error(base) if status == "failed" else None,
            "incomplete_details": _incomplete(base) if status == "incomplete" else None,
            "model": echo.model,
            "output": output,
            "usage": usage_out(base.usage) if is_over else None,
            "previous_response_id": echo.previous_response_id,
            "conversation": None if base.session is None else {"id": base.session},
            **_asked(echo),
        }


def response_of(record: RunRecord, steps: list[AnyStep], words: ItemWords) -> Wired:
    """Return the response that a run has come to, by its steps."""
    state = fold(steps)
    face = ResponseFace(record, opened_plan(steps), words)
    return face.response(record.status, output_of(state, words), record)


def output_of(state: RunState, words: ItemWords) -> list[Wired]:
    """Return what a run has given so far: one item for each place."""
    return [words.item(each.item, each.result) for each in state.places]


def opened_plan(steps: list[AnyStep]) -> Plan:
    """Return the plan that a run began with: a handover changes it, not the request."""
    opened = steps[0]
    assert isinstance(opened, RunOpened)
    return opened.plan


def usage_out(usage: Usage) -> Wired:
    """Return the tokens of all turns. What was not in the cache is in it afterwards."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": max(0, usage.prompt_tokens - usage.cached_tokens),
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _asked(echo: Echo) -> Wired:
    """Return what the request said; what a cloud alone knows is null."""
    return {
        "instructions": echo.instructions,
        "tools": echo.tools,
        "tool_choice": echo.tool_choice,
        "parallel_tool_calls": echo.parallel_tool_calls,
        "text": echo.text,
        "reasoning": echo.reasoning,
        "temperature": echo.temperature,
        "top_p": echo.top_p,
        "presence_penalty": echo.presence_penalty,
        "frequency_penalty": echo.frequency_penalty,
        "top_logprobs": echo.top_logprobs,
        "max_output_tokens": echo.max_output_tokens,
        "max_tool_calls": echo.max_tool_calls,
        "truncation": echo.truncation,
        "prompt": echo.prompt,
        "service_tier": echo.service_tier,
        "metadata": echo.metadata,
        "user": echo.user,
        "safety_identifier": echo.safety_identifier,
        "prompt_cache_key": echo.prompt_cache_key,
        "prompt_cache_retention": echo.prompt_cache_retention,
        "prompt_cache_options": echo.prompt_cache_options,
        "moderation": None,
    }


def _error(record: RunRecord) -> Wired:
    fault = record.fault
    if fault is None:
        return {"code": "server_error", "message": record.reason or _NO_REASON}
    return {"code": _ERROR_CODES.get(fault.code, "server_error"), "message": fault.message}


def _incomplete(record: RunRecord) -> Wired:
    if record.reason == STEERED:
        return {"reason": STEERED}
    return {"reason": _INCOMPLETE.get(record.reason, "max_messages")}


def _second(at: float | None) -> int | None:
    return None if at is None else int(at)
