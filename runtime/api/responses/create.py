"""POST /v1/responses: a response is begun, and told as it comes about, or shown once it is whole or waits.

             foreground                              background
whole        waits for the end, shows it             shows at once that it is queued
stream       headers once a model has taken it       headers at once; who leaves may come back
"""

from collections.abc import Sequence

from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.deps import RUN_ID
from runtime.api.reach import json_answer
from runtime.api.responses.body import CreateBody
from runtime.api.responses.items_out import Wired
from runtime.api.responses.live import Reading, answer_stream, check_began
from runtime.api.responses.opening import Opened, Opener, opener_of
from runtime.api.responses.warming import is_prewarm, warm_up

WARNINGS = "x-lar-warning"
"""The header that says what was not done as asked."""
_WARNINGS_CHARS = 1000


async def post_response(request: web.Request) -> web.StreamResponse:
    """Begin a response."""
    body = await read_body(request, CreateBody)
    opener = opener_of(request)
    if is_prewarm(body):
        warmed = await warm_up(opener, body)
        return json_answer(warmed.events[-1]["response"])

    opened = await opener.open(body)
    request[RUN_ID] = opened.follower.run
    try:
        if body.stream:
            return await _stream(request, opened)
        if body.background:
            return _queued(opened)
        return json_answer(await _told_whole(opened), headers=_headers(opened.warnings))
    finally:
        opened.follower.aclose()


async def make_whole(opener: Opener, body: CreateBody) -> Wired:
    """Make a response in the foreground and return it whole. Raises LarError, Refused."""
    opened = await opener.open(body)
    opener.asker.note(opened.follower.run)
    try:
        return await _told_whole(opened)
    finally:
        opened.follower.aclose()


async def _stream(request: web.Request, opened: Opened) -> web.StreamResponse:
    is_background = opened.asked.is_background
    reading = Reading(opened.follower, opened.face)
    if not is_background:
        await reading.accepted()
    answer = await answer_stream(
        request, reading, is_endless=is_background, headers=_headers(opened.warnings)
    )
    opened.note(reading.items)
    return answer


async def _told_whole(opened: Opened) -> Wired:
    reading = Reading(opened.follower, opened.face)
    record = await reading.whole()
    check_began(record, reading.output)
    opened.note(reading.items)
    return opened.face.response(record.status, reading.output, record)


def _queued(opened: Opened) -> web.Response:
    """Show a response whose work is still to come; it can be found by its id from now on."""
    return json_answer(opened.face.response("queued", []), headers=_headers(opened.warnings))


def _headers(warnings: Sequence[str]) -> dict[str, str]:
    """Return the header that tells what was not done as asked, where there is something."""
    told = "; ".join(warnings)[:_WARNINGS_CHARS].encode("ascii", "replace").decode()
    return {WARNINGS: " ".join(told.split())} if told else {}
