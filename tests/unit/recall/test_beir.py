"""Reading collections in BEIR layout."""

from pathlib import Path

import pytest

from runtime.core.errors import RequestInvalid
from runtime.recall.beir import BeirDocument, read_beir

CORPUS = '{"_id": "d1", "title": "One", "text": "first"}\n{"_id": "d2", "text": "second", "metadata": {}}\n\n'
QUERIES = '{"_id": "q1", "text": "what?"}\n{"_id": "q2", "text": "who?", "metadata": {"a": 1}}\n'


def write(folder: Path, judgements: str = "q1\td1\t1\n", name: str = "qrels.tsv") -> Path:
    (folder / "corpus.jsonl").write_text(CORPUS, encoding="utf-8")
    (folder / "queries.jsonl").write_text(QUERIES, encoding="utf-8")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(judgements, encoding="utf-8")
    return folder


def test_documents_queries_and_judgements_are_read(tmp_path: Path) -> None:
    beir = read_beir(write(tmp_path))

    assert beir.documents == [
        BeirDocument(id="d1", title="One", text="first"),
        BeirDocument(id="d2", text="second"),
    ]
    assert [each.text for each in beir.queries] == ["what?"]
    assert beir.judged == {"q1": {"d1": 1}}


@pytest.mark.parametrize(
    ("name", "judgements"),
    [
        ("qrels.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2\nq2\td2\t0\n"),
        ("qrels/test.tsv", "q1\td1\t2\r\nq2\td2\t0"),
        ("qrels.tsv", "q1 0 d1 2\nq2 0 d2 0\n"),
    ],
)
def test_judgements_may_have_a_header_a_folder_or_a_fourth_field(
    tmp_path: Path, name: str, judgements: str
) -> None:
    assert read_beir(write(tmp_path, judgements, name)).judged == {"q1": {"d1": 2}, "q2": {"d2": 0}}


@pytest.mark.parametrize("judgements", ["q1\td1\t1\nq2\td1\n", "q1\td1\t1\nq2\td1\tmuch\n"])
def test_a_judgement_that_is_none_is_named_by_its_line(tmp_path: Path, judgements: str) -> None:
    with pytest.raises(RequestInvalid, match=r"qrels\.tsv, line 2"):
        read_beir(write(tmp_path, judgements))


def test_a_line_that_is_no_document_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "x"}\n{"text": 5}\n', encoding="utf-8")

    with pytest.raises(RequestInvalid, match=r"corpus\.jsonl, line 2"):
        read_beir(folder)


def test_a_folder_without_a_file_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match=r"corpus\.jsonl cannot be read"):
        read_beir(tmp_path)
