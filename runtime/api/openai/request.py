"""From the body of a chat completion to the core's ChatRequest: what fields mean together.

A field that the server does not honour is refused by name when it would change the answer (what a model does
not honour: see `api.features`); nothing is ignored in silence, except the bookkeeping of OpenAI's cloud.
"""

from runtime.api.errors import invalid, unsupported
from runtime.api.openai.body import ChatBody
from runtime.api.openai.conversation import conversation_of
from runtime.api.openai.sampling import priority_of, sampling_of
from runtime.api.openai.tools import response_format_of, tool_choice_of, tools_of
from runtime.core.ids import ModelId
from runtime.core.messages import ChatRequest


def chat_request_of(body: ChatBody) -> ChatRequest:
    """Return the request for the core. Raises Refused, naming the field."""
    _check_refused_fields(body)
    _check_couplings(body)
    return ChatRequest(
        model=ModelId(body.model),
        messages=conversation_of(body.messages),
        tools=tools_of(body.tools),
        tool_choice=tool_choice_of(body),
        parallel_tool_calls=body.parallel_tool_calls is not False,
        response_format=response_format_of(body.response_format),
        sampling=sampling_of(
            body,
            max_tokens=body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens,
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        ),
        reasoning_effort=body.reasoning_effort,
        choices=body.n or 1,
        adapter=body.adapter,
        priority=priority_of(body),
        deadline_s=body.deadline_s,
    )


def _check_refused_fields(body: ChatBody) -> None:

    if body.modalities is not None and body.modalities != ["text"]:
        raise unsupported("'modalities' other than [\"text\"] are not supported yet.", "modalities")

    refused = {
        "audio": (body.audio, "Leave it out."),
        "prediction": (body.prediction, "Leave it out."),
        "moderation": (body.moderation, "Leave it out."),
        "web_search_options": (body.web_search_options, "Leave it out."),
        "functions": (body.functions, "Use 'tools' instead."),
        "function_call": (body.function_call, "Use 'tool_choice' instead."),
    }
    for name, (value, fix) in refused.items():
        if value is not None:
            raise unsupported(f"'{name}' is not supported. {fix}", name)


def _check_couplings(body: ChatBody) -> None:
    if body.top_logprobs is not None and not body.logprobs:
        raise invalid("'top_logprobs' is only allowed when 'logprobs' is true.", "top_logprobs")

    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise invalid(
            "'max_tokens' and 'max_completion_tokens' say the same. Send only 'max_completion_tokens'.",
            "max_tokens",
        )
