"""Embeddings and reranking through the official client and plain HTTP, over a real port and the real runs."""

import base64
import struct
from pathlib import Path
from typing import Any

import openai
import pytest

from runtime.api.openai.embeddings import INPUTS_LIMIT
from runtime.core.errors import Fault
from runtime.core.events import RunFinished
from runtime.core.messages import Began, Broke, EmbedRequest, Ended, RerankRequest, Scores, Usage, Vectors
from runtime.core.states import Feature
from tests.kit.fake_models import known_model
from tests.kit.http_stage import Stage, open_stage

FEATURES: frozenset[Feature] = frozenset({"embeddings", "rerank"})
EMBEDDER = known_model("e", features=FEATURES)
WRITER = known_model("w")


def packed(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def ended(tokens: int) -> Ended:
    return Ended(reason="stop", usage=Usage(prompt_tokens=tokens))


async def post(stage: Stage, path: str, body: Any) -> tuple[int, Any]:
    async with stage.http.post(f"{stage.address}{path}", json=body) as answer:
        return answer.status, await answer.json()


async def test_the_official_client_gets_vectors_in_the_order_of_its_inputs(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[EMBEDDER]) as stage, stage.openai() as client:
        stage.pool.play(
            [
                Began(prompt_tokens=7),
                Vectors(start=0, vectors=(packed(1, 0), packed(0, 1))),
                Vectors(start=2, vectors=(packed(-1, 0),)),
                ended(7),
            ]
        )
        answer = await client.embeddings.create(
            model="e",
            input=["a", "b", "c"],
            dimensions=2,
            user="me",
            extra_body={"priority": "batch"},
        )

    assert [each.embedding for each in answer.data] == [[1, 0], [0, 1], [-1, 0]]
    assert [each.index for each in answer.data] == [0, 1, 2]
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (7, 7)
    assert answer.model == "e"
    (request,) = stage.pool.requests
    assert isinstance(request, EmbedRequest)
    assert (request.model, request.inputs, request.dimensions) == ("e", ("a", "b", "c"), 2)
    assert request.priority == "batch"
    assert len(stage.facts(RunFinished)) == 1


@pytest.mark.parametrize("form", [None, "float", "base64"])
async def test_a_vector_is_numbers_or_their_bytes(tmp_path: Path, form: str | None) -> None:
    vector = packed(0.6, -0.8)
    body = {"model": "e", "input": "a"} | ({"encoding_format": form} if form else {})
    async with open_stage(tmp_path, models=[EMBEDDER]) as stage:
        stage.pool.play([Began(prompt_tokens=3), Vectors(start=0, vectors=(vector,)), ended(3)])
        status, answer = await post(stage, "/v1/embeddings", body)

    assert status == 200
    assert answer["object"] == "list"
    assert answer["data"][0]["object"] == "embedding"
    told = answer["data"][0]["embedding"]
    if form == "base64":
        assert base64.b64decode(told) == vector
    else:
        assert told == pytest.approx([0.6, -0.8])


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a text", ("a text",)),
        (["one", "two"], ("one", "two")),
        ([5, 6, 7], ((5, 6, 7),)),
        ([[5, 6], [7]], ((5, 6), (7,))),
        (["x"] * INPUTS_LIMIT, ("x",) * INPUTS_LIMIT),
        (list(range(INPUTS_LIMIT + 1)), (tuple(range(INPUTS_LIMIT + 1)),)),
    ],
)
async def test_every_form_of_input_reaches_the_model(tmp_path: Path, given: Any, inputs: Any) -> None:
    async with open_stage(tmp_path, models=[EMBEDDER]) as stage:
        stage.pool.play([Began(prompt_tokens=3), Vectors(start=0, vectors=(packed(1),)), ended(3)])
        status, _ = await post(stage, "/v1/embeddings", {"model": "e", "input": given})

    (request,) = stage.pool.requests
    assert status == 200
    assert isinstance(request, EmbedRequest)
    assert request.inputs == inputs


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": []}, "input"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": ["a", 5]}, "input"),
        ({"input": [[5], "a"]}, "input"),
        ({"input": ["x"] * (INPUTS_LIMIT + 1)}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": [True]}, "input[0]"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"model": ""}, "model"),
        ({"colour": "red"}, "colour"),
        ({"priority": "urgent"}, "priority"),
    ],
)
async def test_a_wrong_field_is_refused_by_name_and_nothing_runs(
    tmp_path: Path, change: dict[str, Any], param: str
) -> None:
    async with open_stage(tmp_path, models=[EMBEDDER]) as stage:
        status, answer = await post(stage, "/v1/embeddings", {"model": "e", "input": "a", **change})

    assert (status, answer["error"]["param"]) == (400, param)
    assert stage.pool.requests == []


@pytest.mark.parametrize("field", ["model", "input"])
async def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    body = {"model": "e", "input": "a"}
    del body[field]
    async with open_stage(tmp_path, models=[EMBEDDER]) as stage:
        status, answer = await post(stage, "/v1/embeddings", body)

    assert (status, answer["error"]["code"]) == (400, "missing_required_parameter")
    assert answer["error"]["param"] == field


@pytest.mark.parametrize("stage_of", ["loaded", "available"])
async def test_a_model_that_makes_no_vectors_is_refused_and_those_that_do_are_named(
    tmp_path: Path, stage_of: Any
) -> None:
    writer = known_model("w", stage=stage_of)
    async with open_stage(tmp_path, models=[writer, EMBEDDER]) as stage, stage.openai() as client:
        with pytest.raises(openai.BadRequestError, match="Models that can: e") as refused:
            await client.embeddings.create(model="w", input="a")

    assert (refused.value.param, refused.value.code) == ("model", "unsupported_parameter")
    assert stage.models.installs == []


async def test_an_embedder_that_is_not_here_yet_is_installed_and_the_client_told_to_come_back(
    tmp_path: Path,
) -> None:
    absent = known_model("e", stage="available", features=FEATURES)
    async with open_stage(tmp_path, models=[absent]) as stage, stage.openai() as client:
        with pytest.raises(openai.InternalServerError) as refused:
            await client.embeddings.create(model="e", input="a")

    assert (refused.value.status_code, refused.value.code) == (503, "model_installing")
    assert "Retry-After" in refused.value.response.headers
    assert stage.models.installs == ["e"]


async def test_what_the_engine_refuses_is_a_400_that_names_the_input(tmp_path: Path) -> None:
    fault = Fault(code="context_length_exceeded", message="'input[1]' has 600 tokens.", param="input[1]")
    async with open_stage(tmp_path, models=[EMBEDDER]) as stage, stage.openai() as client:
        stage.pool.play([Broke(fault=fault)])
        with pytest.raises(openai.BadRequestError, match="600 tokens") as refused:
            await client.embeddings.create(model="e", input=["a", "b"])

    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input[1]")


async def test_documents_come_back_the_best_first(tmp_path: Path) -> None:
    body = {"model": "e", "query": "q", "documents": ["a", {"text": "b"}, "c"]}
    async with open_stage(tmp_path, models=[EMBEDDER]) as stage:
        stage.pool.play([Began(prompt_tokens=9), Scores(scores=(0.1, 0.9, 0.1)), ended(9)])
        status, answer = await post(stage, "/v1/rerank", body)

    (request,) = stage.pool.requests
    assert isinstance(request, RerankRequest)
    assert (request.query, request.documents) == ("q", ("a", "b", "c"))
    assert status == 200
    assert answer["model"] == "e"
    assert answer["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    assert answer["results"] == [
        {"index": 1, "relevance_score": 0.9},
        {"index": 0, "relevance_score": 0.1},
        {"index": 2, "relevance_score": 0.1},
    ]


async def test_only_the_best_come_back_with_their_texts_where_that_is_asked_for(tmp_path: Path) -> None:
    body = {"model": "e", "query": "q", "documents": ["a", "b"], "top_n": 1, "return_documents": True}
    async with open_stage(tmp_path, models=[EMBEDDER]) as stage:
        stage.pool.play([Began(prompt_tokens=9), Scores(scores=(0.0, -0.5)), ended(9)])
        _, answer = await post(stage, "/v1/rerank", body)

    assert answer["results"] == [{"index": 0, "relevance_score": 0.0, "document": {"text": "a"}}]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"query": ""}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": [5]}, "documents[0]"),
        ({"documents": [{"title": "a"}]}, "documents[0].title"),
        ({"top_n": 0}, "top_n"),
        ({"model": "w"}, "model"),
    ],
)
async def test_a_wrong_field_of_a_ranking_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], param: str
) -> None:
    body = {"model": "e", "query": "q", "documents": ["a"], **change}
    async with open_stage(tmp_path, models=[EMBEDDER, WRITER]) as stage:
        status, answer = await post(stage, "/v1/rerank", body)

    assert (status, answer["error"]["param"]) == (400, param)
    assert stage.pool.requests == []
