"""POST /v1/rerank: documents scored for a query, the best first, as Jina, Cohere and vLLM shape it.

A model made for ranking reads query and document together. Any other embedding model scores by the cosine
of their vectors.
"""

from typing import Annotated

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.openai.ability import ready_model_for
from runtime.api.openai.embeddings import WireUsage
from runtime.api.openai.sampling import NotEmpty, Wire
from runtime.api.runs import OpenRun, open_run
from runtime.core.ids import ModelId
from runtime.core.messages import Ended, Priority, RerankRequest, Scores, Usage

ROUTE = "/v1/rerank"
DOCUMENTS_LIMIT = 2048


class WireDocument(Wire, frozen=True, kw_only=True):
    """A document as an object."""

    text: str


class RerankBody(Wire, frozen=True, kw_only=True):
    """What clients send."""

    model: NotEmpty
    query: NotEmpty
    documents: Annotated[list[str | WireDocument], msgspec.Meta(min_length=1, max_length=DOCUMENTS_LIMIT)]
    top_n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    return_documents: bool | None = None
    priority: Priority | None = None
    """Lar's own."""


class WireResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One document's place."""

    index: int
    """Where it stood in the request."""
    relevance_score: float
    document: WireDocument | None = None


class RerankAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    id: str
    model: str
    results: list[WireResult]
    usage: WireUsage


async def post_rerank(request: web.Request) -> web.Response:
    """Rank documents by how well they answer a query."""
    body = await read_body(request, RerankBody)
    texts = [each if isinstance(each, str) else each.text for each in body.documents]
    asked = RerankRequest(
        model=ModelId(body.model),
        query=body.query,
        documents=tuple(texts),
        priority=body.priority or "interactive",
    )
    model = await ready_model_for(request, asked.model, "rerank", "rank documents")
    async with open_run(request, asked) as run:
        scores, usage = await _gather(run)
        answer = RerankAnswer(
            id=f"rerank-{run.run_id.removeprefix('run_')}",
            model=model.id,
            results=_rank(scores, body.top_n, texts if body.return_documents else None),
            usage=WireUsage(prompt_tokens=usage.prompt_tokens, total_tokens=usage.total_tokens),
        )
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def _gather(run: OpenRun) -> tuple[tuple[float, ...], Usage]:
    scores: tuple[float, ...] = ()
    usage = Usage()
    async for piece in run.pieces():
        match piece.output:
            case Scores() as told:
                scores = told.scores
            case Ended() as ended:
                usage = ended.usage
            case _:
                continue
    return scores, usage


def _rank(scores: tuple[float, ...], top_n: int | None, texts: list[str] | None) -> list[WireResult]:
    """Order by score, the earlier document first among equals."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    return [
        WireResult(
            index=index,
            relevance_score=scores[index],
            document=None if texts is None else WireDocument(text=texts[index]),
        )
        for index in order[:top_n]
    ]
