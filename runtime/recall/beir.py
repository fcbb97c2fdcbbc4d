"""Reads collections in BEIR layout: documents, queries, and which belongs to which as people judged it.

FOLDER/corpus.jsonl    {"_id", "title", "text"} on each line
FOLDER/queries.jsonl   {"_id", "text"}
FOLDER/qrels.tsv       query id, document id, grade; or qrels/test.tsv; a header may be there
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from runtime.core.errors import Fault, RequestInvalid

T = TypeVar("T")

_FIELDS = 3
"""Of a judgement: query, document, grade. TREC's own layout has a fourth between the first two."""


class BeirDocument(msgspec.Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """One line of corpus.jsonl."""

    id: str
    title: str = ""
    text: str


class BeirQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """One line of queries.jsonl."""

    id: str
    text: str


class BeirCollection(NamedTuple):
    """A collection with judged queries."""

    documents: list[BeirDocument]
    queries: list[BeirQuery]
    """Those that are judged."""
    judged: Mapping[str, Mapping[str, int]]
    """By query, the grades of documents."""


def read_beir(folder: Path) -> BeirCollection:
    """Read a collection. Raises RequestInvalid that names file and line."""
    documents = _read_lines(folder / "corpus.jsonl", BeirDocument)
    queries = _read_lines(folder / "queries.jsonl", BeirQuery)
    judged = _read_judgements(folder)
    return BeirCollection(documents, [each for each in queries if each.id in judged], judged)


def _read_lines(path: Path, kind: type[T]) -> list[T]:
    decoder = msgspec.json.Decoder(kind)
    found = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            found.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise _refused(f"{path}, line {number}: {problem}.") from problem
    return found


def _read_judgements(folder: Path) -> dict[str, dict[str, int]]:
    names = ("qrels.tsv", "qrels/test.tsv", "qrels/dev.tsv")
    path = next((folder / name for name in names if (folder / name).is_file()), folder / names[0])
    judged: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for number, line in enumerate(_lines(path), start=1):
        fields = line.decode(errors="replace").split()
        if not fields:
            continue
        if len(fields) not in (_FIELDS, _FIELDS + 1) or not _is_number(fields[-1]):
            if number == 1:
                continue  # a header
            raise _refused(f"{path}, line {number}: a query, a document and a whole number are expected.")
        judged[fields[0]][fields[-2]] = int(fields[-1])
    return dict(judged)


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as problem:
        layout = "A collection has corpus.jsonl, queries.jsonl and qrels.tsv (or qrels/test.tsv)."
        raise _refused(f"{path} cannot be read: {problem.strerror}. {layout}") from problem


def _refused(message: str) -> RequestInvalid:
    return RequestInvalid(Fault(code="invalid_request", message=message, param="folder"))
