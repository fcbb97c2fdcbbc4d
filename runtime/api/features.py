"""What a request asks for that only some engines and models honour; the rest is refused by name.

Works on the core's request, so that every dialect refuses alike. `renamed` gives a dialect's own word for a
field where it differs from OpenAI's.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from runtime.api.errors import unsupported
from runtime.core.messages import ChatRequest, CustomTool, FunctionTool, ImagePart, Sampling
from runtime.core.states import Feature, ModelState

_NO_NAMES: Mapping[str, str] = {}
_FIXES: Mapping[Feature, str] = {
    "completions": "Ask it by chat, or choose another model.",
    "chat": "It does not write text: choose another model.",
}
"""Where leaving the field out is no way."""
_FIX = "Leave it out, or choose another model."


class Use(NamedTuple):
    """One thing that a request asks for, and where."""

    field: str
    feature: Feature


def check_features(request: ChatRequest, model: ModelState, renamed: Mapping[str, str] = _NO_NAMES) -> None:
    """Refuse what this model does not honour and what would change the answer. Raises Refused.

    `reasoning_effort` is a wish and never refused: a model that cannot reason answers at once.
    """
    for use in uses_of(request):
        check_feature(use.feature, model, renamed.get(use.field, use.field))


def check_feature(feature: Feature, model: ModelState, field: str) -> None:
    """Refuse one field that this model does not honour. Raises Refused."""
    if feature in model.features:
        return

    raise unsupported(
        f"'{field}' is not supported by the model '{model.id}' (engine '{model.engine}'). "
        f"{_FIXES.get(feature, _FIX)}",
        field,
    )


def uses_of(request: ChatRequest) -> Iterator[Use]:
    """Yield what the request asks for, the first place of each."""
    if request.prompt is not None:
        yield Use("prompt", "completions")
        if request.prompt.suffix is not None:
            yield Use("suffix", "suffix")
    else:
        yield Use("model", "chat")
    if request.adapter is not None:
        yield Use("adapter", "adapters")
    if request.response_format.type != "text":
        yield Use("response_format", "response_format")
    if request.tool_choice.mode != "none":
        yield from _uses_of_tools(request)
    yield from _uses_of_images(request)
    yield from _uses_of_sampling(request.sampling)


def _uses_of_tools(request: ChatRequest) -> Iterator[Use]:
    if any(isinstance(tool, FunctionTool) for tool in request.tools):
        yield Use("tools", "tools")
    for place, tool in enumerate(request.tools):
        if isinstance(tool, CustomTool):
            yield Use(f"tools[{place}]", "custom_tools")
            return


def _uses_of_images(request: ChatRequest) -> Iterator[Use]:
    for place, message in enumerate(request.messages):
        parts = message.content if isinstance(message.content, tuple) else ()
        for at, part in enumerate(parts):
            if isinstance(part, ImagePart):
                yield Use(f"messages[{place}].content[{at}]", "images")
                return


def _uses_of_sampling(sampling: Sampling) -> Iterator[Use]:
    fields: tuple[tuple[str, Feature, bool], ...] = (
        ("logprobs", "logprobs", sampling.logprobs is not None),
        ("logit_bias", "logit_bias", bool(sampling.logit_bias)),
        ("presence_penalty", "penalties", sampling.presence_penalty != 0),
        ("frequency_penalty", "penalties", sampling.frequency_penalty != 0),
        ("repeat_penalty", "penalties", sampling.repeat_penalty != 1),
        ("seed", "seed", sampling.seed is not None),
        ("top_k", "top_k", bool(sampling.top_k)),
        ("min_p", "min_p", bool(sampling.min_p)),
        ("typical_p", "typical_p", sampling.typical_p not in (None, 1.0)),
        ("ignore_eos", "ignore_eos", sampling.ignore_eos),
    )
    for field, feature, is_set in fields:
        if is_set:
            yield Use(field, feature)
