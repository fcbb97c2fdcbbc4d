"""POST /v1/vector_stores/{id}/search: chunks of a store that fit a question, the best first.

Several questions are asked one by one, and each chunk keeps its best score.
"""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.errors import invalid
from runtime.api.filters import filter_of
from runtime.api.openai.sampling import NotEmpty, Wire
from runtime.api.openai.vector_store_words import file_id_of
from runtime.api.openai.vector_stores import asked_store
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.core.filters import Attributes
from runtime.core.ids import ChunkId, CollectionId, ModelId
from runtime.core.knowledge import Hit, Query

RESULTS = 10
QUERIES_LIMIT = 32
_RANKERS = ("auto", "default-2024-08-21", "default-2024-11-15", "default_2024_08_21")
"""OpenAI's own: here they mean the ranker of the settings."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Weight = Annotated[float, msgspec.Meta(ge=0)]


class HybridWeights(Wire, frozen=True, kw_only=True):
    """How much meaning and words count."""

    embedding_weight: Weight
    text_weight: Weight


class RankingOptions(Wire, frozen=True, kw_only=True):
    """How hits are ordered."""

    ranker: NotEmpty | None = None
    """`auto`, `none`, or a cross-encoder of this server."""
    score_threshold: Share | None = None
    hybrid_search: HybridWeights | None = None


class SearchBody(Wire, frozen=True, kw_only=True):
    """What clients send."""

    query: NotEmpty | Annotated[list[NotEmpty], msgspec.Meta(min_length=1, max_length=QUERIES_LIMIT)]
    filters: Any = None
    max_num_results: Annotated[int, msgspec.Meta(ge=1, le=50)] = RESULTS
    ranking_options: RankingOptions | None = None
    rewrite_query: bool | None = None
    """A wish that changes nothing: no model rewrites questions here."""


class WireContent(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of text."""

    type: str = "text"
    text: str


class WireHit(msgspec.Struct, frozen=True, kw_only=True):
    """One chunk that was found."""

    file_id: str
    filename: str
    score: float
    attributes: Attributes
    content: list[WireContent]


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    object: str = "vector_store.search_results.page"
    search_query: list[str]
    data: list[WireHit]
    has_more: bool = False
    """Always: one answer holds all that was asked for."""
    next_page: str | None = None


async def post_search(request: web.Request) -> web.Response:
    """Search a store."""
    body = await read_body(request, SearchBody)
    store = await asked_store(request)
    texts = [body.query] if isinstance(body.query, str) else body.query
    first = query_of(body, store.id, texts[0])
    searcher, tenant = recall_of(request).searcher, tenant_of(request)
    found = [
        await searcher.search(tenant, msgspec.structs.replace(first, text=text))
        for text in dict.fromkeys(texts)
    ]
    hits = best_of((hit for each in found for hit in each.hits), body.max_num_results)
    return json_answer(SearchPage(search_query=texts, data=[_wire(each) for each in hits]))


def query_of(body: SearchBody, store: CollectionId, text: str) -> Query:
    """Say the request in Lar's words. Raises Refused."""
    options = body.ranking_options or RankingOptions()
    return Query(
        text=text,
        collections=(store,),
        limit=body.max_num_results,
        where=None if body.filters is None else filter_of(body.filters, "filters"),
        threshold=options.score_threshold or 0.0,
        vector_weight=_vector_weight(options.hybrid_search),
        rerank=_ranker(options.ranker),
    )


def best_of(hits: Iterable[Hit], limit: int) -> list[Hit]:
    """Return the best hits, each chunk once with its best score."""
    best: dict[ChunkId, Hit] = {}
    for hit in hits:
        known = best.get(hit.chunk.id)
        if known is None or hit.score > known.score:
            best[hit.chunk.id] = hit
    return sorted(best.values(), key=lambda hit: -hit.score)[:limit]


def _vector_weight(weights: HybridWeights | None) -> float | None:
    if weights is None:
        return None

    whole = weights.embedding_weight + weights.text_weight
    if not 0 < whole < float("inf"):
        place = "ranking_options.hybrid_search"
        raise invalid(f"One of the weights in '{place}' must be greater than 0.", place)
    return weights.embedding_weight / whole


def _ranker(ranker: str | None) -> ModelId:
    if ranker is None or ranker in _RANKERS:
        return ModelId("auto")
    return ModelId(ranker)


def _wire(hit: Hit) -> WireHit:
    return WireHit(
        file_id=file_id_of(hit.document),
        filename=hit.document.name,
        score=hit.score,
        attributes=hit.document.attributes,
        content=[WireContent(text=hit.chunk.text)],
    )


ROUTES: tuple[Entry, ...] = (("POST", "/v1/vector_stores/{vector_store_id}/search", "infer", post_search),)
