"""Which languages embedding models know. Pure, a table.

A model that is not listed is taken to know every language: a wrong doubt would take its vectors' share from
a model that deserves it.
"""

import re
from collections.abc import Mapping

from runtime.core.ids import ModelId

ENGLISH = frozenset({"en"})

_MANY = (
    r"multilingual|cross-lingual|bge-m3|labse|-xlm|arctic-embed-[lm]-v2|nomic-embed-text-v2"
    r"|e5-mistral|gte-qwen"
)
"""Parts of names whose models know many languages although the beginning is listed below."""

_KNOWN: tuple[tuple[str, frozenset[str]], ...] = (
    (r"jina-embeddings-v2-base-de", frozenset({"de", "en"})),
    (r"jina-embeddings-v2-base-es", frozenset({"es", "en"})),
    (r"jina-embeddings-v2-base-zh", frozenset({"zh", "en"})),
    (r"jina-embeddings-v2-(base|small)-en", ENGLISH),
    (r"bge-(small|base|large)-zh", frozenset({"zh"})),
    (r"bge-(small|base|large)-en", ENGLISH),
    (r"gte-(tiny|small|base|large)(-zh)", frozenset({"zh"})),
    (r"gte-(tiny|small|base|large)|gte-modernbert", ENGLISH),
    (r"(^|[^a-z])e5-(small|base|large)", ENGLISH),
    (r"all-minilm|all-mpnet|all-distilroberta|multi-qa-(minilm|mpnet|distilbert)", ENGLISH),
    (r"paraphrase-(minilm|mpnet|albert|distilroberta)|msmarco-|gtr-t5|sentence-t5|instructor-", ENGLISH),
    (
        r"nomic-embed-text|mxbai-embed-(large|xsmall)|arctic-embed|modernbert-embed|potion-(base|retrieval)",
        ENGLISH,
    ),
)
"""From the models' own cards, the first row that fits counts."""


def known_languages(model: ModelId) -> frozenset[str] | None:
    """Return the ISO 639-1 codes of the languages that a model knows; None: all, or nobody knows."""
    name = model.lower()
    if re.search(_MANY, name):
        return None

    return next((languages for pattern, languages in _KNOWN if re.search(pattern, name)), None)


def known_share(languages: Mapping[str, float], known: frozenset[str] | None) -> float:
    """Return the share of texts, given as language and weight, in a language among the known ones.

    A text whose language could not be told counts as known; so does nothing at all.
    """
    total = sum(languages.values())
    if known is None or total <= 0:
        return 1.0

    return sum(weight for code, weight in languages.items() if not code or code in known) / total
