"""How a chat or a generation is told: as lines that come with the tokens, or as one object.

No header is sent before the run yields its first output, so a refusal is a plain HTTP error. After that an
error is a line, the last one, and the connection ends with it.
"""

from dataclasses import dataclass, field

from aiohttp import web

from runtime.api.deps import BEGAN, PRINCIPAL, REQUEST_ID, RUN_ID, ApiDeps
from runtime.api.dialects import Told, error_body
from runtime.api.errors import Refusal
from runtime.api.ollama.calls import Calls
from runtime.api.ollama.keep_alive import release
from runtime.api.ollama.lines import Closing, Lines, Part, done_reason_of
from runtime.api.ollama.meter import Meter
from runtime.api.ollama.ndjson import NdjsonStream
from runtime.api.runs import OpenRun, RunOver
from runtime.api.stream import ReaderGone
from runtime.core.driver import Piece
from runtime.core.ids import ModelId
from runtime.core.messages import Began, Broke, Delta, Ended, Scores, Tokens, Vectors


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One request on its way out."""

    deps: ApiDeps
    run: OpenRun
    lines: Lines
    meter: Meter
    model: ModelId
    is_released: bool
    """Whether the model leaves memory after the answer."""
    calls: Calls = field(default_factory=Calls)


def meter_of(request: web.Request) -> Meter:
    """Return a meter that began with the request."""
    return Meter(request[BEGAN])


async def answer_stream(request: web.Request, job: Job) -> web.StreamResponse:
    """Tell the run line by line."""
    first = await job.run.next()
    stream = NdjsonStream(request)
    try:
        await stream.open()
        await _tell(stream, job, first)
    except RunOver as over:
        await send_error(request, stream, over.refusal)
    except ReaderGone:
        stream.end_connection()
    return stream.response


async def answer_whole(job: Job) -> web.Response:
    """Gather the run and answer once. Raises RunOver."""
    whole = Part()
    ended: Ended | None = None
    while not job.run.is_complete:
        part, ended = _take(job, await job.run.next())
        whole.text += part.text
        whole.thinking += part.thinking
        whole.calls += part.calls
        whole.logprobs += part.logprobs
    assert ended is not None
    return web.Response(body=job.lines.last(await _close(job, ended), whole), content_type="application/json")


async def send_error(request: web.Request, stream: NdjsonStream, refusal: Refusal) -> None:
    """End a stream that has begun with an error line and close the connection."""
    has_detail = request[PRINCIPAL].role == "operator"
    told = Told(request[REQUEST_ID], request.get(RUN_ID), has_detail=has_detail)
    stream.end_connection()
    try:
        await stream.send(error_body(request.path, refusal, told))
    except ReaderGone:
        return


async def _tell(stream: NdjsonStream, job: Job, first: Piece) -> None:
    """Send a line per part. Raises RunOver when the run ends too early, ReaderGone."""
    part, ended = _take(job, first)
    while True:
        if not part.is_empty:
            await stream.send(job.lines.part(part))
        if ended is not None:
            await stream.send(job.lines.last(await _close(job, ended)))
            return

        part, ended = _take(job, await stream.next_or_idle(job.run.next, job.lines.idle))


def _take(job: Job, piece: Piece) -> tuple[Part, Ended | None]:
    """Return what an output adds to the answer, and the end where it is that. Raises RunOver."""
    job.meter.note(piece.output, job.deps.clock.monotonic())
    match piece.output:
        case Delta() as delta:
            part = Part(
                text=[delta.text],
                thinking=[delta.reasoning],
                calls=job.calls.add(delta.tool_calls),
                logprobs=list(delta.logprobs),
            )
            return part, None
        case Ended() as ended:
            return Part(calls=job.calls.end(ended.reason)), ended
        case Began() | Broke() | Vectors() | Scores() | Tokens():
            return Part(), None  # a chat yields none of the last three; what broke never comes here


async def _close(job: Job, ended: Ended) -> Closing:
    """Return how the answer ended, after the model has left where that was asked."""
    durations = job.meter.durations(ended, job.deps.clock.monotonic())
    if job.is_released:
        await job.run.until_over()
        await release(job.deps, job.model)
    return Closing(reason=done_reason_of(ended.reason), durations=durations)
