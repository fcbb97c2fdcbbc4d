"""POST /v1/responses/compact: a conversation made short, to be sent back as the next input.

What users said stays as it is; all else becomes one summary, sealed so that only this server reads it. A
conversation longer than the model's context is summarised piece by piece, each with the summary so far.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.deps import DEPS, gate_of
from runtime.api.errors import Refused, invalid, refusal_of
from runtime.api.openai.ability import ready_model_for
from runtime.api.reach import json_answer
from runtime.api.responses.body import CompactBody, CreateBody
from runtime.api.responses.errors import in_words_of_responses
from runtime.api.responses.object import usage_out
from runtime.api.responses.opening import opener_of
from runtime.api.responses.reach import words_of
from runtime.api.runs import Asker
from runtime.core.agents.asking import Asker as ModelAsker
from runtime.core.agents.asking import summarise
from runtime.core.agents.fold import add_usage
from runtime.core.agents.items import AnyItem, Compacted, Said, Text
from runtime.core.agents.moves import Summarise
from runtime.core.agents.trimming import estimate_tokens, find_cuts
from runtime.core.ids import ModelId
from runtime.core.messages import Usage
from runtime.core.minting import new_id

_LEAST_TOKENS, _MOST_TOKENS, _SHARE = 256, 4096, 0.1
"""Of a summary: a share of the context, within bounds."""
_PIECE_SHARE = 0.6
"""Of the context: as much is summarised at once."""
_UNKNOWN_CONTEXT = 8192
"""Tokens of a context that nobody knows yet."""


class _Summary(NamedTuple):
    """What became of a conversation."""

    text: str
    usage: Usage


async def post_compact(request: web.Request) -> web.Response:
    """Make a conversation short."""
    body = await read_body(request, CompactBody)
    opener = opener_of(request)
    given = msgspec.structs.asdict(body)
    names = ("model", "input", "instructions", "previous_response_id")
    asked, before = await opener.read(CreateBody(**{name: given[name] for name in names}))
    items = [*before, *asked.items]
    if not items:
        message = "One of 'input' or 'previous_response_id' must be provided."
        raise invalid(message, "input", code="missing_required_parameter")

    model = await opener.model_of(asked.model)
    await ready_model_for(request, model, "chat", "summarise")
    if asked.instructions:
        items = [Said(id="msg_", role="system", parts=(Text(text=asked.instructions),)), *items]
    summary = await _summarise(opener.asker, model, items)
    kept = [each for each in items if isinstance(each, Said) and each.role == "user"]
    compacted = Compacted(id=new_id("cmp_"), summary=summary.text)
    return json_answer(
        {
            "id": new_id("resp_"),
            "object": "response.compaction",
            "created_at": int(request.app[DEPS].clock.now()),
            "output": words_of(request, ("message.input_image.image_url",)).items([*kept, compacted]),
            "usage": usage_out(summary.usage),
        }
    )


async def _summarise(asker: Asker, model: ModelId, items: Sequence[AnyItem]) -> _Summary:
    """Return a summary of all items. Raises Refused."""
    deps = asker.deps
    known = deps.models.find_model(model)
    context = (None if known is None else known.context_tokens) or _UNKNOWN_CONTEXT
    limit = max(_LEAST_TOKENS, min(_MOST_TOKENS, int(context * _SHARE)))
    models = ModelAsker(deps.runs, deps.models, gate_of(deps))
    text, usage = "", Usage()
    for piece in pieces_of(items, int(context * _PIECE_SHARE)):
        so_far = (Compacted(id="cmp_", summary=text),) if text else ()
        wanted = Summarise(model=model, items=(*so_far, *piece), limit_tokens=limit)
        made = await summarise(models, wanted, asker.principal, "interactive")
        if made.fault is not None:
            raise Refused(in_words_of_responses(refusal_of(made.fault)))
        text, usage = made.text, add_usage(usage, made.usage)
    return _Summary(text, usage)


def pieces_of(items: Sequence[AnyItem], tokens: int) -> Iterator[Sequence[AnyItem]]:
    """Yield the items in pieces of at most so many tokens, where they can be cut at all."""
    first = 0
    last = 0
    for cut in [*find_cuts(items), len(items)]:
        if last > first and estimate_tokens(items[first:cut]) > tokens:
            yield items[first:last]
            first = last
        last = cut
    yield items[first:]
