"""POST /api/embed and /api/embeddings: texts to vectors of unit length.

`truncate`, Ollama's default, lets a text be cut that is too long. The engine refuses such texts, so on its
refusal the long ones are turned into tokens here, cut where the model's own special tokens still fit around
them, and asked for again.
"""

import struct
from typing import NamedTuple

import msgspec
from aiohttp import web

from runtime.api.deps import DEPS, PRINCIPAL
from runtime.api.errors import Refused
from runtime.api.ollama.answer import meter_of
from runtime.api.ollama.body import EmbedBody, EmbeddingsBody
from runtime.api.ollama.keep_alive import is_release, may_release, release
from runtime.api.ollama.meter import Meter
from runtime.api.ollama.names import id_of
from runtime.api.ollama.options import check_context
from runtime.api.ollama.reading import read_wire
from runtime.api.ollama.residence import settle
from runtime.api.ollama.truncation import shorten
from runtime.api.openai.ability import ready_model_for
from runtime.api.runs import open_run
from runtime.core.messages import EmbedRequest, Ended, Vectors
from runtime.core.states import ModelState


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    model: str
    embeddings: list[msgspec.Raw]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class _Gathered(NamedTuple):
    """What a run gave."""

    vectors: list[msgspec.Raw]
    prompt_tokens: int


async def post_embed(request: web.Request) -> web.Response:
    """Turn texts into vectors."""
    body = await read_wire(request, EmbedBody)
    texts = (body.input,) if isinstance(body.input, str) else tuple(body.input or ())
    # Ollama counts one empty text as none.
    return _json(await _embed(request, body, () if texts == ("",) else texts))


async def post_embeddings(request: web.Request) -> web.Response:
    """Turn one text into a vector, in the older form."""
    body = await read_wire(request, EmbeddingsBody)
    common = EmbedBody(model=body.model, options=body.options, keep_alive=body.keep_alive)
    answer = await _embed(request, common, (body.prompt,) if body.prompt else ())
    return _json({"embedding": answer.embeddings[0] if answer.embeddings else []})


async def _embed(request: web.Request, body: EmbedBody, texts: tuple[str, ...]) -> Embeddings:
    """Ask for the vectors; without texts the model is loaded, or freed. Raises Refused."""
    deps, meter = request.app[DEPS], meter_of(request)
    is_released = is_release(body.keep_alive)
    name = id_of(deps, body.model)
    model = await ready_model_for(request, name, "embeddings", "turn texts into vectors")
    check_context(body.options, model)
    if texts:
        asked = EmbedRequest(model=model.id, inputs=texts, dimensions=body.dimensions or None)
        gathered = await _ask(request, asked, model, meter, is_cut=body.truncate is not False)
        if is_released and may_release(request[PRINCIPAL]):
            await release(deps, model.id)
    else:
        await settle(request, model, is_released=is_released)
        gathered = _Gathered([], 0)

    spent = meter.spent(deps.clock.monotonic())
    return Embeddings(
        model=body.model,
        embeddings=gathered.vectors,
        total_duration=spent.total_ns,
        load_duration=spent.load_ns,
        prompt_eval_count=gathered.prompt_tokens,
    )


async def _ask(
    request: web.Request, asked: EmbedRequest, model: ModelState, meter: Meter, *, is_cut: bool
) -> _Gathered:
    """Ask for vectors; where texts are too long and may be cut, ask once more with what fits."""
    try:
        return await _gather(request, asked, meter)
    except Refused as refused:
        # Now that the model is loaded, its own limit is known.
        known = request.app[DEPS].models.find_model(model.id) or model
        limit = known.context_tokens
        is_hopeless = refused.refusal.code != "context_length_exceeded" or "tokenize" not in known.features
        if not is_cut or is_hopeless or limit is None:
            raise

    texts = [each for each in asked.inputs if isinstance(each, str)]
    inputs = await shorten(request, known, texts, limit)
    return await _gather(request, msgspec.structs.replace(asked, inputs=inputs), meter)


async def _gather(request: web.Request, asked: EmbedRequest, meter: Meter) -> _Gathered:
    """Collect the run's vectors, written as they come. Raises Refused."""
    clock = request.app[DEPS].clock
    vectors: list[msgspec.Raw] = []
    prompt_tokens = 0
    async with open_run(request, asked) as run:
        async for piece in run.pieces():
            meter.note(piece.output, clock.monotonic())
            match piece.output:
                case Vectors(vectors=some):
                    vectors += [_numbers(each) for each in some]
                case Ended(usage=usage):
                    prompt_tokens = usage.prompt_tokens
                case _:
                    continue
        await run.until_over()
    return _Gathered(vectors, prompt_tokens)


def _numbers(vector: bytes) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(struct.unpack(f"<{len(vector) // 4}f", vector)))


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
