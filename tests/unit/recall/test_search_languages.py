"""Which embedder knows which language."""

import pytest

from runtime.core.ids import ModelId
from runtime.recall.search_languages import known_languages, known_share


@pytest.mark.parametrize(
    "model",
    [
        "all-minilm-l6-v2",
        "sentence-transformers/all-MiniLM-L12-v2",
        "bge-small-en-v1.5",
        "e5-small-v2",
        "intfloat/e5-base",
        "gte-base",
        "nomic-embed-text-v1.5",
        "snowflake-arctic-embed-m-v1.5",
        "jina-embeddings-v2-base-en",
    ],
)
def test_these_know_english_alone(model: str) -> None:
    assert known_languages(ModelId(model)) == frozenset({"en"})


@pytest.mark.parametrize(
    "model",
    [
        "multilingual-e5-small",
        "paraphrase-multilingual-minilm-l12-v2",
        "bge-m3",
        "snowflake-arctic-embed-l-v2.0",
        "nomic-embed-text-v2-moe",
        "embeddinggemma-300m",
        "qwen3-embedding-0.6b",
        "a-model-of-my-own",
    ],
)
def test_these_may_know_every_language(model: str) -> None:
    assert known_languages(ModelId(model)) is None


def test_some_know_two() -> None:
    assert known_languages(ModelId("jina-embeddings-v2-base-de")) == frozenset({"de", "en"})


def test_the_share_counts_texts_and_gives_the_unknown_the_benefit_of_the_doubt() -> None:
    known = frozenset({"en"})

    assert known_share({"pt": 3.0, "en": 1.0}, known) == 0.25
    assert known_share({"pt": 1.0, "": 1.0}, known) == 0.5
    assert known_share({"pt": 1.0}, None) == 1.0
    assert known_share({}, known) == 1.0
