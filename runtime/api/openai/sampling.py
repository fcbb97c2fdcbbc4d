"""The fields that chat and plain completions share: how tokens are chosen, when to stop, who goes first.

Shapes and ranges, and the way from there to the core's words.
"""

from typing import Annotated, Any, Literal

import msgspec

from runtime.api.errors import invalid
from runtime.core.messages import Priority, Sampling

CHOICES_LIMIT = 8
STOPS_LIMIT = 4

Int32 = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast"]

_TOKEN_ID_LIMIT = 2**31


class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what clients send: a field that we do not know is an error."""


class StreamOptions(Wire, frozen=True, kw_only=True):
    """What a stream carries besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class SampledBody(Wire, frozen=True, kw_only=True):
    """What both kinds of completion take."""

    model: NotEmpty

    # what the answer is made from
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Int32 | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    typical_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repeat_penalty: Annotated[float, msgspec.Meta(gt=0, le=2)] | None = None
    seed: Int64 | None = None
    stop: NotEmpty | Annotated[list[NotEmpty], msgspec.Meta(max_length=STOPS_LIMIT)] | None = None
    logit_bias: dict[str, Annotated[float, msgspec.Meta(ge=-100, le=100)]] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=CHOICES_LIMIT)] | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    # Lar's own: how the model is run for this request
    adapter: Name | None = None
    priority: Priority | None = None
    deadline_s: Annotated[float, msgspec.Meta(gt=0)] | None = None

    # bookkeeping of a cloud: accepted, and cannot change the answer
    user: str | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]],
            msgspec.Meta(max_length=16),
        ]
        | None
    ) = None
    safety_identifier: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    service_tier: ServiceTier | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None


def sampling_of(body: SampledBody, *, max_tokens: int | None, logprobs: int | None) -> Sampling:
    """Return how tokens are chosen. Raises Refused."""
    if body.stream_options is not None and not body.stream:
        raise invalid("'stream_options' is only allowed when 'stream' is true.", "stream_options")

    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        typical_p=body.typical_p,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        repeat_penalty=body.repeat_penalty if body.repeat_penalty is not None else 1.0,
        seed=body.seed,
        max_tokens=max_tokens,
        stop=_stops_of(body.stop),
        logit_bias=_logit_bias_of(body.logit_bias),
        logprobs=logprobs,
        ignore_eos=bool(body.ignore_eos),
    )


def priority_of(body: SampledBody) -> Priority:
    """Return who goes first: what is said outright, else what the tier means on one's own machine."""
    if body.priority is not None:
        return body.priority

    return "batch" if body.service_tier == "flex" else "interactive"


def service_tier_of(body: SampledBody) -> str | None:
    """Return the tier to report: the one that was asked for, under the name that OpenAI reports it by."""
    match body.service_tier:
        case "auto":
            return "default"
        case "fast":
            return "priority"
        case tier:
            return tier


def wants_usage(body: SampledBody) -> bool:
    """Whether a stream is to end with its usage."""
    return body.stream_options is not None and bool(body.stream_options.include_usage)


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
