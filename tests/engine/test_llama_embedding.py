"""Embedding and ranking models in llama.cpp: the contract, and another engine's vectors as the measure."""

import math
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from runtime.backends.catalog.manifests import load_engines
from runtime.backends.engines.embedding.vectors import cosine
from runtime.backends.protocol import Embed, Rerank, Tuning
from runtime.core.settings import DEFAULT_MODEL
from tests.contract.test_embedding_contract import (  # noqa: F401 - collected here, against this module's `desk`
    test_a_blocked_embedding_stands_still_and_can_be_cancelled,
    test_a_short_query_does_not_wait_for_many_documents,
    test_a_text_without_tokens_has_none,
    test_a_token_that_is_none_is_refused_with_its_place,
    test_an_embedding_can_be_cancelled_between_two_steps,
    test_an_input_beyond_the_limit_fails_with_its_place_and_both_numbers,
    test_documents_are_scored_by_how_well_they_fit,
    test_fewer_dimensions_are_the_beginning_of_the_vector_made_unit_again,
    test_inputs_become_vectors_of_one_length_in_their_order,
    test_more_dimensions_than_the_model_has_are_refused_by_name,
    test_texts_of_like_words_lie_nearer_than_others,
    test_tokens_and_text_lead_to_each_other,
    test_tokens_are_taken_in_place_of_texts,
    test_work_that_the_engine_does_not_do_is_refused_by_name,
)
from tests.contract.test_engine_contract import (  # noqa: F401 - as above
    Desk,
    Subject,
    test_a_path_with_nothing_at_it_is_refused_with_a_reason,
    test_an_engine_says_what_it_loaded,
    test_an_engine_without_work_does_nothing,
    test_the_laws_hold_under_any_schedule,
)
from tests.kit.engine_laws import Ledger
from tests.kit.remote_engine import Child, open_child
from tests.kit.server import running_server

pytestmark = pytest.mark.engine

TEXTS = [
    "A cat sits on the mat.",
    "How do I repair my car?",
    "O gato está no telhado.",
    "def add(a, b):\n    return a + b",
    "42",
    "Interest rates rose in March, while shares fell for the third day in a row. " * 12,
    "the [CLS] of a text is its own",
]


@pytest.fixture(scope="module")
def child(llama_python: str) -> Iterator[Child]:
    with open_child(llama_python, "llama") as child:
        yield child


@pytest.fixture(scope="module")
def desk(child: Child, minilm_gguf: Path) -> Iterator[Desk]:
    features = load_engines()["onnx"].features
    desk = Desk(Subject(child.create, str(minilm_gguf), 4, features, predict=None, writes=False))
    yield desk
    desk.engine.close()
    assert not desk.engine.is_busy()


@pytest.fixture
def ledger(desk: Desk) -> Iterator[Ledger]:
    ledger = Ledger(desk.engine)
    yield ledger
    ledger.drain()


def test_both_engines_make_the_same_vectors_of_one_model(
    desk: Desk, ledger: Ledger, onnx_python: str, minilm_path: Path
) -> None:
    here = ledger.play(desk.embed(*TEXTS)).vectors
    with open_child(onnx_python, "onnx") as other:
        engine = other.create()
        engine.load(str(minilm_path), Tuning(context_tokens=512), lambda _: None)
        there = Ledger(engine).play(Embed(seq=1, inputs=[*TEXTS])).vectors

    alike = [cosine(one, same) for one, same in zip(here, there, strict=True)]
    assert min(alike) > 0.98, dict(zip(TEXTS, alike, strict=True))


def test_a_ranker_scores_pairs_and_makes_no_vectors(child: Child, minilm_gguf: Path) -> None:
    engine = child.create()
    facts = engine.load(str(minilm_gguf.with_name("ranker.gguf")), Tuning(context_tokens=256), lambda _: None)
    ledger = Ledger(engine)

    documents = ["shares fell today", "the house is at the lake", "the house is at the lake"]
    ranked = ledger.play(Rerank(seq=1, query="where is the house", documents=documents))
    refused = ledger.play(Embed(seq=2, inputs=["a house"]))
    long = ledger.play(Rerank(seq=3, query="house " * 200, documents=["short", "house " * 100]))
    engine.close()

    assert facts.features == ("rerank", "tokenize")
    assert ranked.scores is not None
    assert all(0 < score < 1 for score in ranked.scores)
    assert ranked.scores[1] == pytest.approx(ranked.scores[2], abs=1e-5)
    assert ranked.scores[0] != pytest.approx(ranked.scores[1], abs=1e-3)
    assert refused.fault is not None
    assert refused.fault.code == "unsupported_parameter"
    assert long.fault is not None
    assert (long.fault.code, long.fault.param) == ("context_length_exceeded", "documents[1]")


def test_a_gguf_embedder_of_the_users_own_serves_the_sdk(real_home: Path, minilm_gguf: Path) -> None:
    real_home.joinpath("lar.toml").write_text(f"[model.mine]\npath = '{minilm_gguf}'\n")
    with running_server(real_home, []) as server, server.openai(timeout=60) as client:
        answer = client.embeddings.create(model="mine", input=["a house", "a home", "interest rates"])
        with pytest.raises(openai.BadRequestError) as chat:
            client.chat.completions.create(model="mine", messages=[{"role": "user", "content": "Hi"}])
        with pytest.raises(openai.BadRequestError, match="mine") as wrong:
            client.embeddings.create(model=DEFAULT_MODEL, input="a house")

    house, home, rates = (each.embedding for each in answer.data)
    assert len(house) == 384
    assert math.dist(house, home) < math.dist(house, rates)
    assert chat.value.param == "model"
    assert wrong.value.param == "model"
