"""How a completion is streamed, chat or plain: headers late, an event per output, [DONE] or an error last."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from runtime.api.deps import PRINCIPAL, RUN_ID
from runtime.api.errors import envelope
from runtime.api.runs import RunOver, send_last
from runtime.api.sse import SseStream
from runtime.api.stream import ReaderGone

_DONE = b"[DONE]"


async def answer_stream(
    request: web.Request, tell: Callable[[SseStream], Awaitable[None]]
) -> web.StreamResponse:
    """Let `tell` send its events, then [DONE]. Call it once the run has yielded, so that it was accepted.

    A run that ends too early ends the stream with an error event, without [DONE].
    """
    stream = SseStream(request)
    try:
        await stream.open()
        await tell(stream)
        await stream.send(_DONE)
    except RunOver as over:
        has_detail = request[PRINCIPAL].role == "operator"
        await send_last(stream, envelope(over.refusal, run_id=request.get(RUN_ID), has_detail=has_detail))
    except ReaderGone:
        stream.end_connection()
    return stream.response
