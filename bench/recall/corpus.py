"""Chunks, vectors and questions made of a seed, with the right answers planted among what misleads.

Each question has a direction and four rare words. Ten chunks are near the direction and hold two or three of
the words: they are right. Thirty are nearer still without a word, thirty hold a word and point elsewhere. So
neither words nor vectors alone find what is right. Pure, but for the files.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 384
QUESTIONS = 200
RIGHT = 10
_MISLEADING = 30
_WORDS = 40_000
_LENGTH = 60
_RANK = 60
"""Directions in which vectors differ: what real embeddings of texts show (participation ratio 61)."""
_TENANTS = 100
"""Every chunk belongs to one of so many: a filter to one lets a hundredth through."""

Vectors = NDArray[np.float32]


class Corpus(NamedTuple):
    """What every system is given."""

    texts: list[str]
    tenants: list[str]
    vectors: Vectors
    """[chunks, DIMENSIONS], normalised."""
    questions: list[str]
    question_vectors: Vectors
    right: list[list[int]]
    """Rows of `texts` that answer each question."""


def make_corpus(count: int, seed: int = 7) -> Corpus:
    """Return so many chunks and QUESTIONS questions about them."""
    chance = np.random.default_rng(seed)
    basis = chance.standard_normal((_RANK, DIMENSIONS)).astype(np.float32)
    vectors = _normalised(chance.standard_normal((count, _RANK)).astype(np.float32) @ basis)
    ranks = np.minimum(chance.zipf(1.3, (count, _LENGTH)), _WORDS).astype(np.int64)
    words = [[f"w{rank:x}" for rank in row] for row in ranks]
    asked = _normalised(chance.standard_normal((QUESTIONS, _RANK)).astype(np.float32) @ basis)
    rows = chance.permutation(count)[: QUESTIONS * (RIGHT + 2 * _MISLEADING)].reshape(QUESTIONS, -1)
    questions, right = [], []
    for number, (direction, mine) in enumerate(zip(asked, rows, strict=True)):
        rare = [f"q{number}x{letter}" for letter in "abcd"]
        questions.append(" ".join(rare) + " w1 w2")
        right.append([int(row) for row in mine[:RIGHT]])
        for row in mine[:RIGHT]:
            _point(vectors, row, direction, 0.75, chance)
            for word in chance.permutation(rare)[: chance.integers(2, 4)]:
                words[row][chance.integers(_LENGTH)] = str(word)
        for row in mine[RIGHT : RIGHT + _MISLEADING]:
            _point(vectors, row, direction, 0.8, chance)
        for row in mine[RIGHT + _MISLEADING :]:
            words[row][chance.integers(_LENGTH)] = str(chance.choice(rare))
    texts = [" ".join(row) for row in words]
    tenants = [f"t{row % _TENANTS}" for row in range(count)]
    return Corpus(texts, tenants, vectors, questions, asked, right)


def save_corpus(folder: Path, corpus: Corpus) -> None:
    """Write the corpus where the systems' processes read it."""
    np.save(folder / "vectors.npy", corpus.vectors)
    np.save(folder / "questions.npy", corpus.question_vectors)
    told = {
        "texts": corpus.texts,
        "tenants": corpus.tenants,
        "questions": corpus.questions,
        "right": corpus.right,
    }
    (folder / "corpus.json").write_text(json.dumps(told), encoding="utf-8")


def nearest(corpus: Corpus, limit: int) -> list[list[int]]:
    """Return the exact nearest rows of each question."""
    scores = corpus.question_vectors @ corpus.vectors.T
    return [[int(row) for row in np.argsort(-each, kind="stable")[:limit]] for each in scores]


def _normalised(vectors: Vectors) -> Vectors:
    normalised: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised


def _point(
    vectors: Vectors, row: int, direction: Vectors, cosine: float, chance: np.random.Generator
) -> None:
    """Turn a vector so that its cosine with the direction is about as told."""
    aside = vectors[row] - (vectors[row] @ direction) * direction
    aside /= np.linalg.norm(aside)
    turned = np.clip(cosine + 0.05 * chance.standard_normal(), 0.0, 0.99)
    vectors[row] = turned * direction + np.sqrt(1 - turned**2) * aside
