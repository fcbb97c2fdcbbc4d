"""Rankers and embedders of the user's own in the onnx engine, over HTTP; a ranker that reorders a search."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.kit.server import RunningServer, running_server
from tests.kit.toy_onnx import write_embedder, write_pooling, write_ranker

pytestmark = pytest.mark.engine

SLOW_S = 60.0
QUESTION = "where is the cat"


@pytest.fixture(scope="module")
def server(onnx_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("home")
    for folder in ("backends", "models"):
        (home / folder).symlink_to(onnx_home / folder)
    ranker = write_ranker(home / "ranker")
    embedder = write_embedder(home / "embedder")
    write_pooling(embedder, "lasttoken")
    broken = write_ranker(home / "broken", labels=3)
    paths = {"ranker": ranker, "embedder": embedder, "broken": broken}
    tables = [f"[model.{name}]\nengine = 'onnx'\npath = '{path}'\n" for name, path in paths.items()]
    settings = "\n".join(tables).replace("[model.ranker]\n", "[model.ranker]\ncontext_tokens = 64\n")
    home.joinpath("lar.toml").write_text(f"{settings}\n[recall]\nrerank = 'ranker'\n", encoding="utf-8")
    with running_server(home, []) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with server.openai(timeout=SLOW_S) as client:
        yield client


def rerank(server: RunningServer, model: str, **fields: Any) -> httpx2.Response:
    body = {"model": model, "query": QUESTION, "documents": ["a dog", "the cat is in the house"], **fields}
    return httpx2.post(f"{server.address}/v1/rerank", json=body, timeout=SLOW_S)


def test_a_ranker_orders_documents_by_scores_from_0_to_1(server: RunningServer) -> None:
    answer = rerank(server, "ranker").json()

    best, second = answer["results"]
    assert (best["index"], second["index"]) == (1, 0)
    assert 1 > best["relevance_score"] > second["relevance_score"] > 0
    assert answer["usage"]["total_tokens"] == (3 + 4 + 2) + (3 + 4 + 6)


def test_what_is_too_long_is_refused_by_name(server: RunningServer) -> None:
    long = rerank(server, "ranker", documents=["the cat " * 10_000])
    refused = rerank(server, "ranker", query="cat " * 62)

    for answer, param in ((long, "documents[0]"), (refused, "query")):
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("context_length_exceeded", param)


def test_a_ranker_makes_no_vectors_and_says_so_when_listed(
    server: RunningServer, client: openai.OpenAI
) -> None:
    assert rerank(server, "ranker").status_code == 200

    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="ranker", input="a house")

    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "model")
    lar = client.models.retrieve("ranker").model_dump()["lar"]
    assert lar["features"] == ["rerank", "tokenize"]


def test_an_embedder_of_the_users_own_serves_the_sdk(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="embedder", input=["a cat", "the house"])

    cat, house = (each.embedding for each in answer.data)
    assert len(cat) == 32
    assert math.fsum(value * value for value in cat) == pytest.approx(1, abs=1e-5)
    # The last token is the same special one for every text of this toy.
    assert cat == pytest.approx(house, abs=1e-5)


def test_a_model_that_is_no_ranker_says_what_was_found(server: RunningServer) -> None:
    refused = rerank(server, "broken")

    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "model_broken"
    assert "[1, 3]" in refused.json()["error"]["message"]


def test_a_search_is_reordered_by_the_ranker_of_the_settings(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="animals")
    # The toy knows common words alone, so to it the second is the better answer.
    texts = {
        "cat.txt": b"Feline naps, told by a neighbour.",
        "roof.txt": b"The roof of the house.",
        "rates.txt": b"Rates rose.",
    }
    question = "the feline naps of the neighbour"
    for name, text in texts.items():
        client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(name, text))

    def search(ranker: str) -> list[str]:
        more = {"ranking_options": {"ranker": ranker}}  # the SDK's own types know none but OpenAI's rankers
        found = client.vector_stores.search(store.id, query=question, extra_body=more)
        return [each.filename for each in found.data]

    assert search("none")[:2] == ["cat.txt", "roof.txt"]
    assert search("auto")[:2] == search("ranker")[:2] == ["roof.txt", "cat.txt"]
