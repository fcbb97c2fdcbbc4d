import numpy as np

from bench.recall.corpus import QUESTIONS, RIGHT, make_corpus, nearest
from bench.recall.page import Row, write_page
from bench.recall.run import recall

COUNT = 15_000


def test_neither_words_nor_vectors_alone_find_what_is_right() -> None:
    corpus = make_corpus(COUNT)

    words = [
        sorted(
            range(COUNT),
            key=lambda row: -len({*question.split()[:4]} & {*corpus.texts[row].split()}),
        )[:RIGHT]
        for question in corpus.questions[:3]
    ]

    assert len(corpus.right) == QUESTIONS
    assert recall(nearest(corpus, RIGHT), corpus.right) < 0.5
    assert recall(words, corpus.right[:3]) > 0.5


def test_the_same_seed_makes_the_same_corpus() -> None:
    one, other = make_corpus(COUNT), make_corpus(COUNT)

    assert one.texts == other.texts
    assert np.array_equal(one.vectors, other.vectors)


def test_recall_is_the_mean_share_of_what_is_right() -> None:
    assert recall([[1, 2], [3, 4]], [[1, 9], [3, 4]]) == 0.75


def test_a_system_that_failed_is_told_and_one_without_words_has_no_hybrid() -> None:
    told = {
        "version": "1",
        "hybrid": {"p50_ms": 2.0, "p95_ms": 3.0},
        "vector": {"p50_ms": 1.0, "p95_ms": 2.0},
        "ingest_s": 2.0,
        "index_s": 1.0,
        "memory_mib": 90.0,
        "memory_before_mib": 40.0,
        "disk_mib": 12.0,
    }
    recalls = {"hybrid": 0.5, "vector": 1.0}

    page = write_page(
        [
            Row("Lar", 100, told, recalls, has_words=True, day="2026-01-01"),
            Row("Chroma", 100, told, recalls, has_words=False, day="2026-01-01"),
            Row("LanceDB", 100, None, {}, has_words=True, day="2026-01-01"),
        ]
    )

    assert "| hybrid, 10 hits: median (95 %) | 2.0 ms (3.0) | - | - |" in page
    assert "LanceDB (failed)" in page
    assert "| ingestion, chunks/s | 50 | 50 | - |" in page
