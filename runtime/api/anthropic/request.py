"""From the body of a message to the core's ChatRequest: what fields mean together.

A field that the server does not honour is refused by name when it would change the answer; nothing is ignored
in silence, except the bookkeeping of Anthropic's cloud.
"""

from collections.abc import Mapping

from runtime.api.anthropic.body import (
    MessagesBody,
    PromptBody,
    ThinkingAdaptive,
    ThinkingOff,
    ThinkingOn,
)
from runtime.api.anthropic.conversation import conversation_of, path_of_first_image
from runtime.api.anthropic.tools import choice_of, format_of, tools_of
from runtime.api.errors import invalid, unsupported
from runtime.api.features import uses_of
from runtime.core.ids import ModelId
from runtime.core.messages import ChatRequest, Sampling

_LOW_BELOW_TOKENS = 4096
_MEDIUM_BELOW_TOKENS = 16_384
"""Budgets up to here are called low or medium effort: models know words, not numbers of tokens."""
_KEEPS_ALL = {"type": "clear_thinking_20251015", "keep": "all"}
"""The one edit of a context that changes nothing; coding agents send it with every request."""


def chat_request_of(body: PromptBody) -> ChatRequest:
    """Return the request for the core. Raises Refused, naming the field."""
    _check_refused_fields(body)
    tools = tools_of(body.tools)
    choice = choice_of(body.tool_choice, tools)
    return ChatRequest(
        model=ModelId(body.model),
        messages=conversation_of(body.system, body.messages),
        tools=tools,
        tool_choice=choice.tools,
        parallel_tool_calls=choice.is_parallel,
        response_format=format_of(body),
        sampling=_sampling_of(body) if isinstance(body, MessagesBody) else Sampling(),
        reasoning_effort=_effort_of(body),
    )


def is_thinking_shown(body: PromptBody) -> bool:
    """Whether the text of thoughts is part of the answer."""
    shown = body.thinking.display if isinstance(body.thinking, ThinkingOn | ThinkingAdaptive) else None
    return shown != "omitted"


def names_of(body: PromptBody, request: ChatRequest) -> Mapping[str, str]:
    """Return this dialect's names for the fields that only some models honour, see `check_features`."""
    names = {"response_format": "output_format" if body.output_format else "output_config.format"}
    image = path_of_first_image(body.messages)
    return names | {use.field: image for use in uses_of(request) if use.feature == "images" and image}


def _sampling_of(body: MessagesBody) -> Sampling:
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        max_tokens=body.max_tokens,
        stop=tuple(dict.fromkeys(body.stop_sequences or ())),
    )


def _effort_of(body: PromptBody) -> str | None:
    """Return how much to think; None leaves it to the model."""
    if isinstance(body.thinking, ThinkingOff):
        return "none"

    if body.output_config is not None and body.output_config.effort is not None:
        return body.output_config.effort

    if not isinstance(body.thinking, ThinkingOn):
        return None

    budget = body.thinking.budget_tokens
    if budget < _LOW_BELOW_TOKENS:
        return "low"

    return "medium" if budget < _MEDIUM_BELOW_TOKENS else "high"


def _check_refused_fields(body: PromptBody) -> None:
    if body.thread is not None:
        # By this code Anthropic's clients know to go on without, sending all messages each time.
        message = "'thread' is not supported: conversations are not kept here. Send all messages each time."
        raise invalid(message, "thread", code="thread_unsupported_request")

    refused = {
        "container": (body.container, "No code is run here."),
        "mcp_servers": (body.mcp_servers, "Connect to them yourself, and give their tools in 'tools'."),
        "context_management": (_edits_of(body), "Shorten the messages yourself."),
    }
    for name, (value, fix) in refused.items():
        if value:
            raise unsupported(f"'{name}' is not supported. {fix}", name)


def _edits_of(body: PromptBody) -> object:
    """Return what `context_management` would change; nothing where it keeps everything."""
    asked = body.context_management
    if not isinstance(asked, dict) or asked.keys() - {"edits"}:
        return asked

    edits = asked.get("edits")
    return [each for each in edits if each != _KEEPS_ALL] if isinstance(edits, list) else edits
