"""POST /api/chat and /api/generate: two ways to ask, one way to answer."""

from aiohttp import web

from runtime.api.chosen import Chosen, choose_model
from runtime.api.deps import DEPS, PRINCIPAL, gate_of
from runtime.api.ollama.answer import Job, answer_stream, answer_whole, meter_of
from runtime.api.ollama.body import ChatBody, GenerateBody, Generating
from runtime.api.ollama.keep_alive import is_release, may_release
from runtime.api.ollama.lines import Closing, Kind, Lines
from runtime.api.ollama.meter import Durations
from runtime.api.ollama.names import id_of
from runtime.api.ollama.options import check_context
from runtime.api.ollama.reading import read_wire
from runtime.api.ollama.request import Asked, chat_of, generate_of
from runtime.api.ollama.residence import settle
from runtime.api.runs import open_run
from runtime.core.readying import ready_model


async def post_chat(request: web.Request) -> web.StreamResponse:
    """Serve one chat; without messages the model is loaded, or freed."""
    body = await read_wire(request, ChatBody)
    asked = chat_of(body, id_of(request.app[DEPS], body.model))
    return await _answer(request, body, asked, "chat")


async def post_generate(request: web.Request) -> web.StreamResponse:
    """Serve one generation; without a prompt the model is loaded, or freed."""
    body = await read_wire(request, GenerateBody)
    asked = generate_of(body, id_of(request.app[DEPS], body.model))
    return await _answer(request, body, asked, "generate")


async def _answer(request: web.Request, body: Generating, asked: Asked, kind: Kind) -> web.StreamResponse:
    is_released = is_release(body.keep_alive)
    lines = Lines(kind, body.model, request.app[DEPS].clock.now)
    if asked.request is None:
        return await _settle(request, body, lines, is_released=is_released)

    deps, principal = request.app[DEPS], request[PRINCIPAL]
    chosen = await choose_model(deps, asked.request, principal, asked.renamed)
    check_context(body.options, chosen.model)
    return await _run(request, chosen, lines, body, is_released=is_released and may_release(principal))


async def _run(
    request: web.Request, chosen: Chosen, lines: Lines, body: Generating, *, is_released: bool
) -> web.StreamResponse:
    is_stream = body.stream is not False
    async with open_run(request, chosen.request, is_stream=is_stream) as run:
        job = Job(
            deps=request.app[DEPS],
            run=run,
            lines=lines,
            meter=meter_of(request),
            model=chosen.model.id,
            is_released=is_released,
        )
        return await answer_stream(request, job) if is_stream else await answer_whole(job)


async def _settle(
    request: web.Request, body: Generating, lines: Lines, *, is_released: bool
) -> web.StreamResponse:
    """Load or free the model; the answer is one object, streamed or not."""
    deps = request.app[DEPS]
    model = await ready_model(deps.models, gate_of(deps), id_of(deps, body.model), request[PRINCIPAL])
    check_context(body.options, model)
    reason = await settle(request, model, is_released=is_released)
    spent = meter_of(request).spent(deps.clock.monotonic())
    durations = Durations(total_duration=spent.total_ns, load_duration=spent.load_ns)
    closing = Closing(reason=reason, durations=durations)
    return web.Response(body=lines.last(closing), content_type="application/json")
