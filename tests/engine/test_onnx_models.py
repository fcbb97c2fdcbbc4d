"""Embedders and rankers of every kind in the onnx engine: toy models whose results can be reckoned."""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from runtime.backends.engines.contract import LoadRefused
from runtime.backends.engines.embedding.vectors import pack_unit, squash, unpack
from runtime.backends.protocol import Embed, Generate, ModelFacts, Rerank, Tokenize, Tuning
from tests.kit.engine_laws import Account, Ledger
from tests.kit.remote_engine import Child, RemoteEngine, open_child
from tests.kit.toy_onnx import (
    WORDS,
    state_of,
    write_beside,
    write_embedder,
    write_pooling,
    write_ranker,
)

pytestmark = pytest.mark.engine

LIMIT = 24
DOCUMENTS = ["shares fell today", "the cat sleeps on the roof", "a dog"]


class Loaded(NamedTuple):
    """A model in the engine."""

    engine: RemoteEngine
    facts: ModelFacts
    ledger: Ledger
    numbers: Iterator[int]

    def embed(self, *texts: str) -> Account:
        return self.ledger.play(Embed(seq=next(self.numbers), inputs=list(texts)))

    def rerank(self, query: str, *documents: str) -> Account:
        return self.ledger.play(Rerank(seq=next(self.numbers), query=query, documents=list(documents)))

    def scores(self, query: str, *documents: str) -> list[float]:
        account = self.rerank(query, *documents)
        assert account.fault is None, account.fault
        assert account.scores is not None
        return list(account.scores)

    def size(self, text: str) -> int:
        told = self.ledger.play(Tokenize(seq=next(self.numbers), text=text)).told
        assert told is not None
        return len(told.tokens)


@pytest.fixture(scope="module")
def child(onnx_python: str) -> Iterator[Child]:
    with open_child(onnx_python, "onnx") as child:
        yield child


def load(child: Child, path: Path, context_tokens: int = LIMIT) -> Loaded:
    engine = child.create()
    facts = engine.load(str(path), Tuning(context_tokens=context_tokens), lambda _: None)
    return Loaded(engine, facts, Ledger(engine), count(1))


def refusal(child: Child, path: Path) -> str:
    """Return why a model is not loaded."""
    with pytest.raises(LoadRefused) as refused:
        load(child, path)

    assert refused.value.fault.code == "model_broken"
    return refused.value.fault.message


def total(*rows: Sequence[float]) -> list[float]:
    return [math.fsum(column) for column in zip(*rows, strict=True)]


def near(vector: bytes, expected: Sequence[float], tolerance: float = 1e-5) -> bool:
    return unpack(vector) == pytest.approx(unpack(pack_unit(expected)), abs=tolerance)


def logit(query: str, document: str) -> float:
    """Return the toy ranker's own, reckoned here."""
    one, other = (
        total(*(state_of(word) for word in text.split() if word in WORDS)) for text in (query, document)
    )
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


# Embedders


def test_a_model_without_files_beside_it_pools_by_the_mean(child: Child, tmp_path: Path) -> None:
    model = load(child, write_embedder(tmp_path))

    cat, both = model.embed("cat", "the cat and a dog").vectors

    frame = [state_of("[CLS]"), state_of("[SEP]")]
    assert near(cat, total(*frame, state_of("cat")))
    assert near(both, total(*frame, *map(state_of, ("the", "cat", "and", "a", "dog"))))
    assert (model.facts.dimensions, model.facts.features) == (32, ("embeddings", "rerank", "tokenize"))
    assert "mean pooling" in model.facts.description


@pytest.mark.parametrize(("mode", "place"), [("cls_token", 0), ("lasttoken", -1)])
def test_one_token_stands_for_the_text_where_the_model_says_so(
    child: Child, tmp_path: Path, mode: str, place: int
) -> None:
    path = write_embedder(tmp_path, frames=False)
    write_pooling(path, mode)
    model = load(child, path)
    texts = ["cat", "where is the house", "good morning"]

    vectors = model.embed(*texts).vectors

    for text, vector in zip(texts, vectors, strict=True):
        assert near(vector, state_of(text.split()[place])), text


def test_the_greatest_of_each_number_is_taken_and_padding_is_none_of_them(
    child: Child, tmp_path: Path
) -> None:
    path = write_embedder(tmp_path, frames=False)
    write_pooling(path, "max_tokens")
    model = load(child, path)

    short, _ = model.embed("cat dog", "where is the house").vectors

    assert near(short, [max(pair) for pair in zip(state_of("cat"), state_of("dog"), strict=True)])


def test_several_poolings_lie_one_after_the_other(child: Child, tmp_path: Path) -> None:
    path = write_embedder(tmp_path, frames=False)
    write_pooling(path, "cls_token", "mean_tokens")
    model = load(child, path)

    (vector,) = model.embed("cat dog").vectors

    mean = [value / 2 for value in total(state_of("cat"), state_of("dog"))]
    assert model.facts.dimensions == 64
    assert near(vector, [*state_of("cat"), *mean])


def test_a_pooling_may_be_told_by_its_name_and_without_a_list_of_modules(
    child: Child, tmp_path: Path
) -> None:
    path = write_embedder(tmp_path, frames=False)
    write_beside(path, "1_Pooling/config.json", {"embedding_dimension": 32, "pooling_mode": "lasttoken"})

    assert near(load(child, path).embed("cat dog").vectors[0], state_of("dog"))


def test_the_files_of_an_export_lie_above_its_folder(child: Child, tmp_path: Path) -> None:
    above = write_embedder(tmp_path, frames=False)
    write_pooling(above, "cls_token")
    path = tmp_path / "onnx" / "model.onnx"
    path.parent.mkdir()
    above.rename(path)

    assert near(load(child, path).embed("cat dog").vectors[0], state_of("cat"))


def test_a_sentence_embedding_is_used_as_it_is(child: Child, tmp_path: Path) -> None:
    path = write_embedder(tmp_path, output="sentence_embedding")
    write_pooling(path, "mean_tokens", after=("Dense", "Normalize"))
    model = load(child, path)

    assert near(model.embed("cat dog").vectors[0], state_of("cat"))
    assert "sentence_embedding" in model.facts.description


@pytest.mark.parametrize("takes", [(), ("position_ids",), ("token_type_ids", "position_ids")])
def test_halves_other_names_and_other_inputs_make_the_same_vectors(
    child: Child, tmp_path: Path, takes: tuple[str, ...]
) -> None:
    model = load(child, write_embedder(tmp_path, output="hidden", is_half=True, takes=takes))

    (vector,) = model.embed("cat").vectors

    assert near(vector, total(*map(state_of, ("[CLS]", "cat", "[SEP]"))), tolerance=1e-3)


@pytest.mark.parametrize(
    ("name", "content", "limit"),
    [
        ("sentence_bert_config.json", {"max_seq_length": 9}, 9),
        ("tokenizer_config.json", {"model_max_length": 10}, 10),
        ("tokenizer_config.json", {"model_max_length": 1e30}, LIMIT),
        ("config.json", {"max_position_embeddings": 11}, 11),
        ("config.json", {"max_position_embeddings": 14, "model_type": "roberta", "pad_token_id": 1}, 12),
        ("config.json", {"max_position_embeddings": 4000}, LIMIT),
    ],
)
def test_a_text_may_be_as_long_as_the_model_was_made_for(
    child: Child, tmp_path: Path, name: str, content: dict[str, object], limit: int
) -> None:
    path = write_embedder(tmp_path)
    write_beside(path, name, content)
    model = load(child, path)

    fits = model.embed("cat " * (limit - 2))
    long = model.embed("cat " * (limit - 1))

    assert model.facts.context_tokens == limit
    assert len(fits.vectors) == 1
    assert long.fault is not None
    assert long.fault.code == "context_length_exceeded"
    assert str(limit) in long.fault.message


def test_texts_become_lower_case_where_the_model_asks_for_it(child: Child, tmp_path: Path) -> None:
    path = write_embedder(tmp_path)
    content = json.loads(path.with_name("tokenizer.json").read_text(encoding="utf-8"))
    write_beside(path, "tokenizer.json", {**content, "normalizer": None})
    before = load(child, path).embed("CAT", "cat").vectors

    write_beside(path, "sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": True})
    after = load(child, path).embed("CAT", "cat").vectors

    assert before[0] != before[1]
    assert after[0] == after[1] == before[1]


# Rankers


@pytest.mark.parametrize("labels", [1, 2])
def test_a_ranker_scores_the_pair_of_query_and_document(child: Child, tmp_path: Path, labels: int) -> None:
    model = load(child, write_ranker(tmp_path, labels=labels))
    query = "where is the cat"

    scores = model.scores(query, *DOCUMENTS)

    # Two labels are against and for: their softmax is the sigmoid of twice the logit.
    assert scores == pytest.approx([squash(labels * logit(query, text)) for text in DOCUMENTS], abs=1e-4)
    assert max(scores) == scores[1]
    assert model.facts.features == ("rerank", "tokenize")
    assert model.facts.dimensions == 0


def test_a_ranker_makes_no_vectors_and_writes_nothing(child: Child, tmp_path: Path) -> None:
    model = load(child, write_ranker(tmp_path))

    vectors = model.embed("cat")
    written = model.ledger.play(Generate(seq=99, messages=[{"role": "user", "content": "Hi"}]))

    for account in (vectors, written):
        assert account.fault is not None
        assert (account.fault.code, account.fault.param) == ("unsupported_parameter", "model")
        assert "ranks documents" in account.fault.message


def test_a_documents_score_does_not_depend_on_the_others(child: Child, tmp_path: Path) -> None:
    model = load(child, write_ranker(tmp_path))
    documents = ["cat " * length for length in (1, 15, 3, 9, 2)]

    together = model.scores("where is the cat", *documents)
    alone = [model.scores("where is the cat", each)[0] for each in documents]

    assert together == pytest.approx(alone, abs=1e-5)


def test_a_document_that_is_too_long_with_its_query_is_refused_by_its_place(
    child: Child, tmp_path: Path
) -> None:
    model = load(child, write_ranker(tmp_path))
    query = "zebra zebra zebra house"
    room = LIMIT - 3 - len(query.split())

    refused = model.rerank(query, "zebra " * room, "zebra " * room + "house")
    fitting = model.rerank(query, "zebra " * room, "zebra " * (room - 1) + "house")

    assert refused.fault is not None
    assert (refused.fault.code, refused.fault.param) == ("context_length_exceeded", "documents[1]")
    # Words that the toy does not know count nothing.
    assert fitting.scores == pytest.approx([0.5, squash(1.0)], abs=1e-5)
    assert fitting.started is not None
    assert fitting.started.prompt_tokens == 2 * LIMIT


@pytest.mark.parametrize(("words", "size"), [(LIMIT - 3, f"{LIMIT} tokens"), (1500, "characters")])
def test_a_query_that_leaves_no_room_is_refused_by_name(
    child: Child, tmp_path: Path, words: int, size: str
) -> None:
    model = load(child, write_ranker(tmp_path))

    refused = model.rerank("cat " * words, "a dog", "the cat")
    fitting = model.rerank("cat " * (LIMIT - 5), "a dog", "the cat")

    assert refused.fault is not None
    assert (refused.fault.code, refused.fault.param) == ("context_length_exceeded", "query")
    assert size in refused.fault.message
    assert fitting.scores is not None


def test_a_query_that_spells_a_special_token_has_none(child: Child, tmp_path: Path) -> None:
    path = write_ranker(tmp_path)
    content = json.loads(path.with_name("tokenizer.json").read_text(encoding="utf-8"))
    content["pre_tokenizer"] = {"type": "Punctuation", "behavior": "Isolated"}
    content["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}
    write_beside(path, "tokenizer.json", content)
    model = load(child, path)

    with_name, without = model.scores("cat[SEP]dog", "sea"), model.scores("cat,dog", "sea")

    assert with_name == pytest.approx(without, abs=1e-6)


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["BertForSequenceClassification"], "num_labels": 1},
        {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}},
        {"architectures": ["BertModel"]},
    ],
)
def test_a_ranker_is_known_with_and_without_its_configuration(
    child: Child, tmp_path: Path, config: dict[str, object]
) -> None:
    model = load(child, write_ranker(tmp_path, config=config))

    assert model.facts.features == ("rerank", "tokenize")


def test_an_embedder_ranks_by_the_cosine_of_its_vectors(child: Child, tmp_path: Path) -> None:
    path = write_embedder(tmp_path, frames=False)
    model = load(child, path)

    same, other = model.scores("cat", "cat", "dog")

    assert same == pytest.approx(1, abs=1e-5)
    assert other == pytest.approx(logit("cat", "dog"), abs=1e-5)


# Refusals


def test_a_classifier_of_three_labels_is_no_ranker(child: Child, tmp_path: Path) -> None:
    message = refusal(child, write_ranker(tmp_path, labels=3))

    assert "[1, 3]" in message
    assert "1 label, or 2" in message


def test_a_ranker_without_its_head_is_refused(child: Child, tmp_path: Path) -> None:
    path = write_embedder(tmp_path)
    write_beside(path, "config.json", {"architectures": ["XLMRobertaForSequenceClassification"]})

    message = refusal(child, path)

    assert "XLMRobertaForSequenceClassification" in message
    assert "last_hidden_state" in message
    assert "Export it for text classification" in message


def test_a_language_model_is_refused_with_what_it_gives(child: Child, tmp_path: Path) -> None:
    message = refusal(child, write_embedder(tmp_path, output="logits"))

    assert "logits [rows, tokens, 32]" in message
    assert "Export it for feature extraction" in message


def test_a_model_of_other_inputs_is_refused_with_their_names(child: Child, tmp_path: Path) -> None:
    assert "pixel_values" in refusal(child, write_embedder(tmp_path, takes=("pixel_values",)))


def test_what_comes_after_pooling_and_is_not_known_is_refused(child: Child, tmp_path: Path) -> None:
    path = write_embedder(tmp_path)
    write_pooling(path, "mean_tokens", after=("Dense", "Normalize"))

    message = refusal(child, path)

    assert "Dense" in message
    assert "sentence_embedding" in message


def test_a_pooling_that_is_not_known_is_refused(child: Child, tmp_path: Path) -> None:
    path = write_embedder(tmp_path)
    write_beside(path, "1_Pooling/config.json", {"pooling_mode": "attention"})

    assert "'attention'" in refusal(child, path)


def test_a_ranker_whose_tokenizer_does_not_tell_its_texts_apart_is_refused(
    child: Child, tmp_path: Path
) -> None:
    path = write_ranker(tmp_path)
    content = json.loads(path.with_name("tokenizer.json").read_text(encoding="utf-8"))
    write_beside(path, "tokenizer.json", {**content, "post_processor": None})

    assert "which text of a pair" in refusal(child, path)


def test_a_missing_tokenizer_is_named_with_the_way_to_get_it(child: Child, tmp_path: Path) -> None:
    path = write_ranker(tmp_path)
    path.with_name("tokenizer.json").unlink()

    message = refusal(child, path)

    assert "tokenizer.json" in message
    assert "save_pretrained" in message


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "modules.json", "1_Pooling/config.json"])
def test_a_damaged_file_beside_the_weights_is_named(child: Child, tmp_path: Path, name: str) -> None:
    path = write_embedder(tmp_path)
    write_pooling(path, "mean_tokens")
    (tmp_path / name).write_text("{ no", encoding="utf-8")

    assert name in refusal(child, path)


def test_modules_do_not_lead_out_of_their_folder(child: Child, tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "model")
    kind = "sentence_transformers.models.Pooling"
    write_beside(path, "modules.json", [{"idx": 1, "name": "1", "path": "../other", "type": kind}])

    assert "../other" in refusal(child, path)


@pytest.mark.parametrize("kept", [0, 100, 3000])
def test_broken_weights_are_refused(child: Child, tmp_path: Path, kept: int) -> None:
    path = write_ranker(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])

    assert str(path) in refusal(child, path)
