"""Ollama's embeddings through its official client."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama import ResponseError

from runtime.api.ollama.truncation import cut
from runtime.core.errors import Fault
from runtime.core.messages import (
    Began,
    Broke,
    EmbedRequest,
    Ended,
    Output,
    TokenizeRequest,
    Tokens,
    Usage,
    Vectors,
)
from runtime.core.states import ModelState
from tests.kit.fake_models import known_model
from tests.kit.http_stage import open_stage
from tests.unit.api.ollama.client import EMBEDDER, ollama

LIMIT = 6
TOO_LONG = Fault(code="context_length_exceeded", message="A text is too long.")
CLS, SEP = 101, 102


def embedder(stage: Any = "loaded") -> ModelState:
    return msgspec.structs.replace(known_model("e", stage, EMBEDDER), context_tokens=LIMIT)


def embedding_engine(request: Any, index: int) -> Iterator[Output]:
    """A model whose tokens are characters, whose vectors tell how many there were, in two frames."""
    if isinstance(request, TokenizeRequest):
        plain = [ord(each) for each in request.text or ""]
        yield Tokens(tokens=(CLS, *plain, SEP) if request.adds_special else tuple(plain))
        yield Ended(reason="stop", usage=Usage())
        return

    assert isinstance(request, EmbedRequest)
    sizes = [len(each) + 2 if isinstance(each, str) else len(each) for each in request.inputs]
    if max(sizes) > LIMIT:
        yield Broke(fault=TOO_LONG)
        return

    yield Began(prompt_tokens=sum(sizes))
    vectors = [struct.pack("<2f", size, 0.5) for size in sizes]
    yield Vectors(start=0, vectors=tuple(vectors[:1]))
    if vectors[1:]:
        yield Vectors(start=1, vectors=tuple(vectors[1:]))
    yield Ended(reason="stop", usage=Usage(prompt_tokens=sum(sizes)))


async def test_texts_become_vectors_in_their_order(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[embedder()]) as stage, ollama(stage) as client:
        stage.pool.play(embedding_engine)
        several = await client.embed(model="e:latest", input=["a", "bb", "ccc"], dimensions=2)
        one = await client.embed(model="e", input="abc")
        asked = stage.pool.requests[0]

    assert several.embeddings == [[3.0, 0.5], [4.0, 0.5], [5.0, 0.5]]
    assert (several.model, several.prompt_eval_count) == ("e:latest", 12)
    assert several.total_duration == several.load_duration == 0  # of a clock that stands still
    assert one.embeddings == [[5.0, 0.5]]
    assert isinstance(asked, EmbedRequest)
    assert (asked.model, asked.dimensions) == ("e", 2)


async def test_the_older_form_gives_one_vector(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[embedder()]) as stage, ollama(stage) as client:
        stage.pool.play(embedding_engine)
        found = await client.embeddings(model="e", prompt="a")
        nothing = await client.embeddings(model="e", prompt="")

    assert found.embedding == [3.0, 0.5]
    assert nothing.embedding == []


async def test_a_text_that_is_too_long_is_cut(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[embedder()]) as stage, ollama(stage) as client:
        stage.pool.play(embedding_engine)
        answer = await client.embed(model="e", input=["ab", "abcdefghij"])
        asked = stage.pool.requests[-1]

    assert answer.embeddings == [[4.0, 0.5], [float(LIMIT), 0.5]]
    assert isinstance(asked, EmbedRequest)
    assert asked.inputs == ("ab", (CLS, *map(ord, "abcd"), SEP))


async def test_a_text_that_may_not_be_cut_is_refused(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[embedder()]) as stage, ollama(stage) as client:
        stage.pool.play(embedding_engine)
        with pytest.raises(ResponseError, match="too long") as caught:
            await client.embed(model="e", input="abcdefghij", truncate=False)

    assert caught.value.status_code == 400
    assert len(stage.pool.requests) == 1


async def test_what_is_wrong_with_a_text_otherwise_is_told_as_it_is(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[embedder()]) as stage, ollama(stage) as client:
        stage.pool.play([Broke(fault=Fault(code="invalid_request", message="'dimensions' is 9."))])
        with pytest.raises(ResponseError, match="'dimensions' is 9") as caught:
            await client.embed(model="e", input="a", dimensions=9)

    assert caught.value.status_code == 400


async def test_no_text_loads_the_model(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[embedder("installed")]) as stage, ollama(stage) as client:
        stage.pool.play(embedding_engine)
        assert (await client.embed(model="e", input="")).embeddings == []
        assert (await client.embed(model="e", input=[])).embeddings == []
        asked = stage.pool.requests

    assert [type(each) for each in asked] == [TokenizeRequest, TokenizeRequest]


async def test_the_model_leaves_afterwards_when_asked(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[embedder()]) as stage, ollama(stage) as client:
        stage.pool.play(embedding_engine)
        await client.embed(model="e", input="a", keep_alive=0)

    assert stage.models.unloads == ["e"]


async def test_a_model_that_only_chats_makes_no_vectors(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[known_model("m"), embedder()]) as stage, ollama(stage) as client:
        with pytest.raises(ResponseError, match="Models that can: e") as caught:
            await client.embed(model="m", input="a")

    assert caught.value.status_code == 400


@given(
    before=st.lists(st.integers(0, 9), max_size=2),
    plain=st.lists(st.integers(10, 99), max_size=30),
    after=st.lists(st.integers(0, 9), max_size=2),
    limit=st.integers(4, 40),
)
def test_a_cut_text_fits_and_keeps_its_beginning_and_its_special_tokens(
    before: list[int], plain: list[int], after: list[int], limit: int
) -> None:
    whole = [*before, *plain, *after]
    found = list(cut(whole, plain, limit))

    assert len(found) == min(len(whole), limit)
    assert found[: len(before)] == before
    assert found[len(found) - len(after) :] == after
    kept = found[len(before) : len(found) - len(after)]
    assert kept == plain[: len(kept)]
