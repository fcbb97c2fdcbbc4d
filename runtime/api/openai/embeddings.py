"""POST /v1/embeddings: texts in, vectors out, in the order of the inputs."""

import base64
import struct
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.errors import invalid
from runtime.api.openai.ability import ready_model_for
from runtime.api.openai.sampling import NotEmpty, Wire
from runtime.api.runs import Asker, OpenRun, asker_of, open_run
from runtime.core.ids import ModelId
from runtime.core.messages import EmbedRequest, Ended, Priority, Usage, Vectors

ROUTE = "/v1/embeddings"
INPUTS_LIMIT = 2048
"""As OpenAI's."""


class EmbeddingsBody(Wire, frozen=True, kw_only=True):
    """What clients send."""

    model: NotEmpty
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    user: Any = None
    """Of OpenAI's bookkeeping."""
    priority: Priority | None = None
    """Lar's own."""


class WireEmbedding(msgspec.Struct, frozen=True, kw_only=True):
    """One vector: a list of numbers, or their bytes in base64."""

    object: str = "embedding"
    index: int
    embedding: msgspec.Raw


class WireUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of all inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    object: str = "list"
    data: list[WireEmbedding]
    model: str
    usage: WireUsage


async def post_embeddings(request: web.Request) -> web.Response:
    """Turn texts into vectors."""
    body = await read_body(request, EmbeddingsBody)
    return web.Response(body=await embed_texts(asker_of(request), body), content_type="application/json")


async def embed_texts(asker: Asker, body: EmbeddingsBody) -> bytes:
    """Return the whole answer to a request. Raises Refused, LarError."""
    asked = EmbedRequest(
        model=ModelId(body.model),
        inputs=inputs_of(body.input),
        dimensions=body.dimensions,
        priority=body.priority or "interactive",
    )
    model = await ready_model_for(asker, asked.model, "embeddings", "turn texts into vectors")
    async with open_run(asker, asked) as run:
        data, usage = await _gather(run, is_base64=body.encoding_format == "base64")
    answer = EmbeddingList(
        data=data,
        model=model.id,
        usage=WireUsage(prompt_tokens=usage.prompt_tokens, total_tokens=usage.total_tokens),
    )
    return msgspec.json.encode(answer)


def inputs_of(given: str | list[str | int | list[int]]) -> tuple[str | tuple[int, ...], ...]:
    """Return the inputs one by one, whichever of the four forms they come in. Raises Refused."""
    if isinstance(given, str):
        return (_text(given, "input"),)

    if not given:
        raise invalid("'input' is an empty list. Send one text at least.", "input")

    if all(isinstance(each, int) for each in given):
        return (tuple(each for each in given if isinstance(each, int)),)

    if len(given) > INPUTS_LIMIT:
        message = f"'input' holds {len(given)} texts; {INPUTS_LIMIT} are the limit. Send several requests."
        raise invalid(message, "input")

    if len({type(each) for each in given}) > 1:
        raise invalid("'input' must hold texts only, or lists of tokens only, not both.", "input")

    return tuple(_one(each, f"input[{index}]") for index, each in enumerate(given))


def _one(each: str | int | list[int], param: str) -> str | tuple[int, ...]:
    match each:
        case str():
            return _text(each, param)
        case [*tokens] if tokens:
            return tuple(tokens)
        case _:
            raise invalid(f"'{param}' cannot be an empty list of tokens.", param)


def _text(text: str, param: str) -> str:
    if not text:
        raise invalid(f"'{param}' cannot be an empty string.", param)

    return text


async def _gather(run: OpenRun, *, is_base64: bool) -> tuple[list[WireEmbedding], Usage]:
    """Collect the run's vectors, written as they come, so that no answer is written all at once."""
    write = _base64 if is_base64 else _numbers
    data: list[WireEmbedding] = []
    usage = Usage()
    async for piece in run.pieces():
        match piece.output:
            case Vectors(vectors=vectors):
                data += [
                    WireEmbedding(index=index, embedding=write(vector))
                    for index, vector in enumerate(vectors, start=len(data))
                ]
            case Ended() as ended:
                usage = ended.usage
            case _:
                continue
    return data, usage


def _numbers(vector: bytes) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(struct.unpack(f"<{len(vector) // 4}f", vector)))


def _base64(vector: bytes) -> msgspec.Raw:
    return msgspec.Raw(b'"' + base64.b64encode(vector) + b'"')
