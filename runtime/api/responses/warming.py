"""A request that wants nothing generated: its model is loaded and its prompt computed, for the next one."""

from typing import Any, NamedTuple

import msgspec

from runtime.api.responses.body import CreateBody
from runtime.api.responses.events import StreamFold
from runtime.api.responses.item_events import Event
from runtime.api.responses.opening import Opener
from runtime.api.responses.request import first_request
from runtime.api.runs import Asker, open_run
from runtime.core.agents.happenings import RunOver
from runtime.core.agents.items import AnyItem, Picture, Said
from runtime.core.agents.ports import NewRun
from runtime.core.ids import RunId
from runtime.core.messages import Ended, Usage
from runtime.core.minting import new_id


class Warmed(NamedTuple):
    """A response without output."""

    run: RunId
    events: list[Event]
    conversation: list[AnyItem]
    """What a request that continues it begins with."""


def is_prewarm(body: CreateBody) -> bool:
    """Say whether a request wants nothing but a warm cache."""
    return _wants_prewarm(body.prompt_cache_options)


def is_warm_up(frame: dict[str, Any]) -> bool:
    """Say whether a frame wants nothing generated."""
    return frame.get("generate") is False or _wants_prewarm(frame.get("prompt_cache_options"))


async def warm_up(opener: Opener, body: CreateBody) -> Warmed:
    """Prepare what a response needs. Raises LarError, Refused."""
    prepared = await opener.prepare(msgspec.structs.replace(body, background=None, store=False))
    run = RunId(new_id("run_"))
    usage = await _prefill(opener.asker, prepared.new)
    plan = prepared.new.plan
    record = opener.record_of(run, plan, prepared.asked)
    ended = msgspec.structs.replace(record, status="completed", ended_at=record.created_at, usage=usage)
    events = StreamFold(opener.face_of(record, plan)).take(RunOver(record=ended))
    return Warmed(run, events, [*prepared.before, *prepared.new.input])


async def _prefill(asker: Asker, new: NewRun) -> Usage:
    """Have the prompt computed; one token is made of it and thrown away."""
    if _has_stored_pictures(new):
        return Usage()

    chat = first_request(new)
    asked = msgspec.structs.replace(chat, sampling=msgspec.structs.replace(chat.sampling, max_tokens=1))
    usage = Usage()
    async with open_run(asker, asked) as run:
        async for piece in run.pieces():
            if isinstance(piece.output, Ended):
                usage = piece.output.usage
    return Usage(prompt_tokens=usage.prompt_tokens, cached_tokens=usage.cached_tokens)


def _has_stored_pictures(new: NewRun) -> bool:
    """Whether there are pictures whose bytes are not at hand: their prompt cannot be computed here."""
    items = [each for each in (*new.context, *new.input) if isinstance(each, Said)]
    return any(isinstance(part, Picture) and part.data is None for each in items for part in each.parts)


def _wants_prewarm(options: object) -> bool:
    return isinstance(options, dict) and options.get("prewarm") is True
