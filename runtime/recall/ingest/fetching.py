"""Reads the chunks that have no vector yet, as the model is to get them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from runtime.core.ids import ChunkId, DocumentId
from runtime.recall.chunk import embedded_text
from runtime.recall.ingest.stores import Stores
from runtime.recall.ingest.units import Text, Unit, embedding_of

FETCHED = 128
"""Chunks of one unit that are fetched at once."""
# The chunks are found by their narrow columns, and only then their texts are read.
_OF_DOCUMENTS = """
    WITH asked AS (
        SELECT unnest($1::VARCHAR[]) AS document, unnest($2::BIGINT[]) AS after, unnest($3::BIGINT[]) AS space
    ), lacking AS (
        SELECT k.id FROM asked a JOIN chunk k ON k.document = a.document AND k.id > a.after
        LEFT JOIN vector v ON v.chunk = k.id AND v.space = a.space WHERE v.chunk IS NULL
        QUALIFY row_number() OVER (PARTITION BY k.document ORDER BY k.id) <= $4
    )
    SELECT k.id, k.document, k.heading, k.text, d.title, d.name
    FROM chunk k JOIN document d ON d.id = k.document
    WHERE k.id IN (SELECT id FROM lacking) ORDER BY k.id
"""
_OF_NAMESPACE = """
    WITH lacking AS (
        SELECT id FROM chunk WHERE ns = $1 AND id > $2 AND document NOT IN (SELECT unnest($4::VARCHAR[]))
        AND id NOT IN (SELECT chunk FROM vector WHERE space = $3 AND chunk > $2) ORDER BY id LIMIT $5
    )
    SELECT k.id, k.document, k.heading, k.text, d.title, d.name
    FROM chunk k JOIN document d ON d.id = k.document
    WHERE k.id IN (SELECT id FROM lacking) ORDER BY k.id
"""


async def fetch_documents(stores: Stores, units: Sequence[Unit]) -> None:
    """Give units of documents their next texts."""
    if not units:
        return

    rows = await stores.truth.read(
        _OF_DOCUMENTS,
        [
            [each.document for each in units],
            [each.after for each in units],
            [each.space for each in units],
            FETCHED,
        ],
    )
    by_document: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        by_document.setdefault(row[1], []).append(row)
    for unit in units:
        _pour(stores, unit, by_document.get(unit.document or "", []))


async def fetch_fill(stores: Stores, unit: Unit) -> None:
    """Give a fill its next texts."""
    rows = await stores.truth.read(_OF_NAMESPACE, [unit.ns, unit.after, unit.space, [*unit.skipped], FETCHED])
    _pour(stores, unit, rows)


def _pour(stores: Stores, unit: Unit, rows: Sequence[tuple[Any, ...]]) -> None:
    embedding = embedding_of(stores.marks.by_ns(unit.ns), unit.space)
    if embedding is None:  # nobody wants these vectors any more: whoever ends the unit finds out
        unit.texts.clear()
        unit.is_dry = True
        return

    for chunk, document, heading, text, title, _ in rows:
        titles = msgspec.json.decode(heading, type=tuple[str, ...])
        whole = embedding.document_prefix + embedded_text(title, titles, text)
        unit.texts.append(Text(ChunkId(chunk), DocumentId(document), whole))
    if rows:
        unit.after = rows[-1][0]
        if unit.document is not None:
            stores.live.names[unit.document] = rows[-1][5]
    unit.is_dry = len(rows) < FETCHED
