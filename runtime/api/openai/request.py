"""From the body of a chat completion to the core's ChatRequest: what fields mean together, and for a model.

A field that the server or the model does not honour is refused by name when it would change the answer;
nothing is ignored in silence, except the bookkeeping fields of OpenAI's cloud.
"""

from typing import NamedTuple

from runtime.api.errors import invalid, unsupported
from runtime.api.openai.body import ChatBody
from runtime.api.openai.conversation import conversation_of
from runtime.api.openai.tools import response_format_of, tool_choice_of, tools_of
from runtime.core.ids import ModelId
from runtime.core.messages import ChatRequest, Sampling
from runtime.core.states import Feature, ModelState

_TOKEN_ID_LIMIT = 2**31


class _Use(NamedTuple):
    """One field that only some engines honour."""

    field: str
    feature: Feature
    is_set: bool


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
        sampling=_sampling_of(body),
        reasoning_effort=body.reasoning_effort,
        choices=body.n or 1,
    )


def check_features(body: ChatBody, model: ModelState) -> None:
    """Refuse what this model's engine does not honour. Raises Refused.

    `reasoning_effort` is a wish and never refused: a model that cannot reason answers at once.
    """
    penalties = (body.presence_penalty, body.frequency_penalty)
    uses = (
        _Use("tools", "tools", bool(body.tools) and body.tool_choice != "none"),
        _Use("response_format", "response_format", response_format_of(body.response_format).type != "text"),
        _Use("logprobs", "logprobs", bool(body.logprobs)),
        _Use("logit_bias", "logit_bias", bool(body.logit_bias)),
        _Use("presence_penalty", "penalties", bool(penalties[0])),
        _Use("frequency_penalty", "penalties", bool(penalties[1])),
        _Use("repeat_penalty", "penalties", body.repeat_penalty not in (None, 1.0)),
        _Use("seed", "seed", body.seed is not None),
        _Use("top_k", "top_k", bool(body.top_k)),
        _Use("min_p", "min_p", bool(body.min_p)),
        _Use("ignore_eos", "ignore_eos", bool(body.ignore_eos)),
    )
    for use in uses:
        if use.is_set and use.feature not in model.features:
            raise unsupported(
                f"'{use.field}' is not supported by the model '{model.id}' (engine '{model.engine}'). "
                "Leave it out, or choose another model.",
                use.field,
            )


def service_tier_of(body: ChatBody) -> str | None:
    """Return the tier to report: the one that was asked for, as a machine of one's own has but one."""
    match body.service_tier:
        case "auto":
            return "default"
        case "fast":
            return "priority"
        case tier:
            return tier


def _check_refused_fields(body: ChatBody) -> None:
    if body.store:
        raise unsupported("'store' is not supported yet: completions are not kept. Leave it out.", "store")

    if body.modalities is not None and body.modalities != ["text"]:
        raise unsupported("'modalities' other than [\"text\"] are not supported yet.", "modalities")

    if body.verbosity not in (None, "medium"):
        raise unsupported("'verbosity' other than 'medium' is not supported yet.", "verbosity")

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

    if body.stream_options is not None and not body.stream:
        raise invalid("'stream_options' is only allowed when 'stream' is true.", "stream_options")

    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise invalid(
            "'max_tokens' and 'max_completion_tokens' say the same. Send only 'max_completion_tokens'.",
            "max_tokens",
        )


def _sampling_of(body: ChatBody) -> Sampling:
    limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        repeat_penalty=body.repeat_penalty if body.repeat_penalty is not None else 1.0,
        seed=body.seed,
        max_tokens=limit,
        stop=_stops_of(body.stop),
        logit_bias=_logit_bias_of(body.logit_bias),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        ignore_eos=bool(body.ignore_eos),
    )


def _stops_of(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()

    return (stop,) if isinstance(stop, str) else tuple(dict.fromkeys(stop))


def _logit_bias_of(wire: dict[str, float] | None) -> dict[int, float]:
    biases: dict[int, float] = {}
    for key, value in (wire or {}).items():
        # isascii: int() would take digits of any script.
        if not (key.isascii() and key.isdecimal()) or len(key) > 10 or int(key) >= _TOKEN_ID_LIMIT:
            raise invalid(
                f"The keys of 'logit_bias' are token ids (integers from 0), and '{key[:80]}' is none.",
                "logit_bias",
            )
        biases[int(key)] = value
    return biases
