"""The onnx engine with real weights, in its own environment: the contract, then its own promises."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.backends.catalog.manifests import load_engines
from runtime.backends.engines.contract import LoadRefused
from runtime.backends.engines.embedding.vectors import cosine
from runtime.backends.protocol import Tuning
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

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def child(onnx_python: str) -> Iterator[Child]:
    with open_child(onnx_python, "onnx") as child:
        yield child


@pytest.fixture(scope="module")
def desk(child: Child, minilm_path: Path) -> Iterator[Desk]:
    features = load_engines()["onnx"].features
    desk = Desk(Subject(child.create, str(minilm_path), 8, features, predict=None, writes=False))
    yield desk
    desk.engine.close()
    assert not desk.engine.is_busy()


@pytest.fixture
def ledger(desk: Desk) -> Iterator[Ledger]:
    ledger = Ledger(desk.engine)
    yield ledger
    ledger.drain()


def test_the_model_is_described(desk: Desk) -> None:
    assert desk.facts.dimensions == 384
    assert desk.facts.vocabulary == 30522
    assert desk.facts.features == ("embeddings", "rerank", "tokenize")


def test_meaning_counts_more_than_words(desk: Desk, ledger: Ledger) -> None:
    car, same, other = ledger.play(
        desk.embed("How do I repair my car?", "fixing a broken automobile", "How do I cook my rice?")
    ).vectors

    assert cosine(car, same) > cosine(car, other)


def test_special_tokens_are_text_unless_they_are_parsed(desk: Desk, ledger: Ledger) -> None:
    named = ledger.play(desk.tokenize("[SEP]", adds_special=False)).told
    spelled = ledger.play(desk.tokenize("[SEP]", adds_special=False, parses_special=False)).told

    assert named is not None
    assert spelled is not None
    assert named.pieces == [b"[SEP]"]
    assert spelled.pieces != [b"[SEP]"]


def test_tokens_with_and_without_their_special_ones_are_the_same_input(desk: Desk, ledger: Ledger) -> None:
    told = ledger.play(desk.tokenize("where is the house")).told
    assert told is not None

    whole, bare = ledger.play(desk.embed(told.tokens, told.tokens[1:-1])).vectors

    assert cosine(whole, bare) > 0.9999


def test_a_model_without_its_tokenizer_is_refused_and_so_is_what_is_no_model(
    child: Child, minilm_path: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.onnx"
    alone.symlink_to(minilm_path)
    folder = tmp_path / "text"
    folder.mkdir()
    shutil.copy(minilm_path.with_name("tokenizer.json"), folder)
    (folder / "model.onnx").write_text("these are no weights")

    for path, complaint in ((alone, "tokenizer.json"), (folder / "model.onnx", "cannot be loaded")):
        with pytest.raises(LoadRefused, match=complaint) as refused:
            child.create().load(str(path), Tuning(), lambda _: None)
        assert refused.value.fault.code == "model_broken"


def test_more_context_than_the_model_has_is_refused_when_it_is_loaded(
    child: Child, minilm_path: Path
) -> None:
    with pytest.raises(LoadRefused, match="context_tokens"):
        child.create().load(str(minilm_path), Tuning(context_tokens=1024), lambda _: None)
