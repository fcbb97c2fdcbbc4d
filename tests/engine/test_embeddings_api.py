"""Embeddings as programs use them: the official SDK against a real server with the default embedder."""

import math
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from runtime.core.settings import DEFAULT_EMBEDDER
from tests.kit.server import RunningServer, lar, running_server

pytestmark = pytest.mark.engine

SLOW_S = 60.0


@pytest.fixture(scope="module")
def home(onnx_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    for folder in ("backends", "models"):
        (home / folder).symlink_to(onnx_home / folder)
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[RunningServer]:
    with running_server(home, []) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with server.openai(timeout=SLOW_S) as client:
        yield client


def dot(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def test_the_sdk_gets_unit_vectors_whose_angles_mean_something(client: openai.OpenAI) -> None:
    texts = ["How do I repair my car?", "fixing a broken automobile", "How do I cook my rice?"]

    answer = client.embeddings.create(model=DEFAULT_EMBEDDER, input=texts)

    car, same, other = (each.embedding for each in answer.data)
    assert len(car) == 384
    assert dot(car, car) == pytest.approx(1, abs=1e-5)
    assert dot(car, same) > dot(car, other)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(texts) * 5


def test_numbers_and_bytes_are_the_same_vector_and_fewer_dimensions_its_beginning(
    client: openai.OpenAI,
) -> None:
    def embed(**more: object) -> list[float]:
        answer = client.embeddings.create(model=DEFAULT_EMBEDDER, input="a house", **more)  # type: ignore[arg-type]  # fields by name
        return answer.data[0].embedding

    default, numbers, short = embed(), embed(encoding_format="float"), embed(dimensions=64)

    assert numbers == pytest.approx(default, abs=1e-6)
    assert len(short) == 64
    length = math.sqrt(dot(numbers[:64], numbers[:64]))
    assert short == pytest.approx([value / length for value in numbers[:64]], abs=1e-5)


def test_two_thousand_inputs_come_back_in_their_order(client: openai.OpenAI) -> None:
    texts = [f"house {number}" for number in range(2000)]

    answer = client.embeddings.create(model=DEFAULT_EMBEDDER, input=texts)
    single = client.embeddings.create(model=DEFAULT_EMBEDDER, input="house 1234").data[0].embedding

    assert [each.index for each in answer.data] == list(range(2000))
    alike = [dot(each.embedding, single) for each in answer.data]
    assert alike.index(max(alike)) == 1234


def test_what_is_too_long_or_too_wide_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="512") as long:
        client.embeddings.create(model=DEFAULT_EMBEDDER, input=["fine", "house " * 600])
    with pytest.raises(openai.BadRequestError, match="384") as wide:
        client.embeddings.create(model=DEFAULT_EMBEDDER, input="fine", dimensions=1000)
    with pytest.raises(openai.BadRequestError) as chat:
        client.chat.completions.create(model=DEFAULT_EMBEDDER, messages=[{"role": "user", "content": "Hi"}])

    assert (long.value.code, long.value.param) == ("context_length_exceeded", "input[1]")
    assert wide.value.param == "dimensions"
    assert chat.value.code == "unsupported_parameter"


def test_documents_are_ranked_by_meaning(server: RunningServer) -> None:
    body = {
        "model": DEFAULT_EMBEDDER,
        "query": "Where can I sleep tonight?",
        "documents": ["Shares fell.", "The hotel has free rooms.", "Boil the rice for ten minutes."],
        "top_n": 2,
    }

    answer = httpx2.post(f"{server.address}/v1/rerank", json=body, timeout=SLOW_S).json()

    best, second = answer["results"]
    assert best["index"] == 1
    assert best["relevance_score"] > second["relevance_score"]
    assert answer["usage"]["total_tokens"] > 20


def test_the_embedder_is_listed_with_what_it_can_do(client: openai.OpenAI, home: Path) -> None:
    model = client.models.retrieve(DEFAULT_EMBEDDER)
    listed = lar(home, "models")

    assert model.model_dump()["lar"]["features"] == ["embeddings", "rerank", "tokenize"]
    (line,) = [each for each in listed.stdout.splitlines() if DEFAULT_EMBEDDER in each]
    assert "onnx" in line
    assert "23" in line
