"""Responses that exist: shown, followed, listed, stopped and forgotten; and what they were asked."""

from typing import Any

import msgspec
from aiohttp import web

from runtime.api.deps import RUN_ID
from runtime.api.errors import Refused, invalid
from runtime.api.openai.paging import WirePage, page_of
from runtime.api.query import QueryString
from runtime.api.reach import json_answer, tenant_of
from runtime.api.responses.errors import cannot_cancel, response_not_found
from runtime.api.responses.items_out import ItemWords, Wired
from runtime.api.responses.live import Reading, answer_stream
from runtime.api.responses.object import ResponseFace, opened_plan, response_of, run_id
from runtime.api.responses.opening import TRIGGER
from runtime.api.responses.reach import (
    INCLUDE_NAMES,
    Found,
    find_record,
    find_response,
    include_of,
    runs_of,
    words_of,
)
from runtime.core.agents.fold import fold
from runtime.core.agents.ports import RunQuery
from runtime.core.agents.steps import TERMINAL, RunRecord
from runtime.core.errors import Conflict, NotFound
from runtime.core.ids import RunId

CANCELLED = "cancelled by the asker"
_NUMBER_LIMIT = 2**53
_DEFAULT_LIMIT = 20
_LIMIT = 100
_SEARCHED = 1000
"""Runs that a list looks through for one page: agents' own runs lie between responses."""


async def get_response(request: web.Request) -> web.StreamResponse:
    """Show a response as it is, or follow it."""
    query = QueryString(request, *INCLUDE_NAMES, "stream", "starting_after", "include_obfuscation")
    include = include_of(query)
    is_stream = query.flag("stream", default=False)
    after = query.number("starting_after", -1, lowest=0, highest=_NUMBER_LIMIT)
    query.flag("include_obfuscation", default=False)
    if not is_stream and after >= 0:
        raise invalid("'starting_after' needs 'stream=true'.", "starting_after")

    found = await find_response(request)
    request[RUN_ID] = found.record.id
    words = words_of(request, include)
    if is_stream:
        return await _follow(request, found, words, after)
    return json_answer(response_of(found.record, found.steps, words))


async def delete_response(request: web.Request) -> web.Response:
    """Forget a response; one that is being made is stopped first."""
    record = await find_record(request)
    runs, tenant = runs_of(request), tenant_of(request)
    try:
        if record.status not in TERMINAL:
            await runs.cancel(tenant, record.id, CANCELLED)
        await runs.remove(tenant, record.id)
    except NotFound:
        raise response_not_found(request.match_info["id"]) from None
    return json_answer({"id": request.match_info["id"], "object": "response", "deleted": True})


async def cancel_response(request: web.Request) -> web.Response:
    """Stop a response that is made in the background; one that was stopped before stays so."""
    record = await find_record(request)
    if not record.is_background or (record.status in TERMINAL and record.status != "cancelled"):
        raise cannot_cancel()

    if record.status != "cancelled":
        await runs_of(request).cancel(tenant_of(request), record.id, CANCELLED)
    found = await find_response(request)
    return json_answer(response_of(found.record, found.steps, words_of(request)))


async def get_input_items(request: web.Request) -> web.Response:
    """List what a response was asked, the newest first."""
    query = QueryString(request, *INCLUDE_NAMES, "after", "before", "limit", "order")
    limit = query.number("limit", _DEFAULT_LIMIT, lowest=1, highest=_LIMIT)
    is_newest_first = query.one_of("order", ("asc", "desc")) != "asc"
    words = words_of(request, include_of(query))
    found = await find_response(request)

    items = words.items(fold(found.steps).input)
    if is_newest_first:
        items.reverse()
    first = _place_after(items, query.text("after"), "after")
    last = _place_of(items, query.text("before"), "before")
    page = items[first:last][:limit]
    return json_answer(page_of(page, _id, has_more=len(items[first:last]) > limit))


async def list_responses(request: web.Request) -> web.Response:
    """List stored responses, the newest first."""
    query = QueryString(request, "after", "limit", "order", "model")
    limit = query.number("limit", _DEFAULT_LIMIT, lowest=1, highest=_LIMIT)
    is_newest_first = query.one_of("order", ("asc", "desc")) != "asc"
    after = _named_run(query.text("after"))
    records, has_more = await _listed(
        request,
        limit,
        RunQuery(after=after, limit=_LIMIT, is_newest_first=is_newest_first),
        query.text("model"),
    )
    words, runs, tenant = words_of(request), runs_of(request), tenant_of(request)
    shown: list[Wired] = []
    for record in records:
        try:
            shown.append(response_of(record, await runs.steps(tenant, record.id), words))
        except NotFound:
            continue  # forgotten meanwhile
    page: WirePage[Wired] = page_of(shown, _id, has_more=has_more)
    return json_answer(page)


async def _follow(request: web.Request, found: Found, words: ItemWords, after: int) -> web.StreamResponse:
    """Tell the stream of a response again, from the number on that the reader has not got."""
    record = found.record
    try:
        follower = await runs_of(request).follow(tenant_of(request), record.id)
    except Conflict:
        message = "Only a response that was created with 'background': true can be streamed afterwards."
        raise invalid(message, "stream") from None

    try:
        face = ResponseFace(record, opened_plan(found.steps), words)
        return await answer_stream(request, Reading(follower, face), after=after, is_endless=True)
    finally:
        follower.aclose()


async def _listed(
    request: web.Request, limit: int, query: RunQuery, model: str | None
) -> tuple[list[RunRecord], bool]:
    """Return a page of responses, and whether there are more; runs of other doors are passed over."""
    runs, tenant = runs_of(request), tenant_of(request)
    found: list[RunRecord] = []
    for _ in range(_SEARCHED // _LIMIT):
        page = await runs.list_runs(tenant, query)
        found += [
            each for each in page if each.trigger == TRIGGER and model in (None, each.model, each.agent)
        ]
        if len(found) > limit or len(page) < query.limit:
            break
        query = msgspec.structs.replace(query, after=page[-1].id)
    return found[:limit], len(found) > limit


def _named_run(response: str | None) -> RunId | None:
    """Return the run after which a list goes on. Raises Refused."""
    if response is None:
        return None

    run = run_id(response)
    if run is None:
        raise _no_cursor(response, "after")
    return run


def _place_after(items: list[Wired], cursor: str | None, name: str) -> int:
    return 0 if cursor is None else _place_of(items, cursor, name) + 1


def _place_of(items: list[Wired], cursor: str | None, name: str) -> int:
    """Return where the item stands; the end where none is named. Raises Refused."""
    if cursor is None:
        return len(items)

    for place, item in enumerate(items):
        if item["id"] == cursor:
            return place
    raise _no_cursor(cursor, name)


def _no_cursor(cursor: str, name: str) -> Refused:
    return invalid(f"'{name}' names nothing in this list: '{cursor[:80]}'.", name)


def _id(item: dict[str, Any]) -> str:
    found: str = item["id"]
    return found
