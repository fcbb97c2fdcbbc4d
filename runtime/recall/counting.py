"""What is counted of collections: documents by status, chunks, and the bytes of texts and vectors."""

from collections.abc import Sequence
from typing import NamedTuple

from runtime.core.knowledge import DocumentCounts
from runtime.recall.truth import Truth


class Numbers(NamedTuple):
    """Of one collection."""

    counts: DocumentCounts = DocumentCounts()
    chunks: int = 0
    usage_bytes: int = 0


async def count_contents(truth: Truth, namespaces: Sequence[int]) -> dict[int, Numbers]:
    """Count what is in namespaces; an empty one is not in the answer."""
    if not namespaces:
        return {}

    rows = await truth.read(_COUNT, [[*namespaces]])
    return {
        row[0]: Numbers(
            DocumentCounts(in_progress=row[1], completed=row[2], failed=row[3], cancelled=row[4]),
            row[5],
            row[6],
        )
        for row in rows
    }


_COUNT = """
    WITH asked AS (SELECT unnest($1::BIGINT[]) AS ns),
    documents AS (
        SELECT ns, count(*) FILTER (status = 'in_progress') AS in_progress,
               count(*) FILTER (status = 'completed') AS completed,
               count(*) FILTER (status = 'failed') AS failed,
               count(*) FILTER (status = 'cancelled') AS cancelled,
               sum(chunks)::BIGINT AS chunks, sum(text_bytes)::BIGINT AS text_bytes
        FROM document WHERE ns IN (SELECT ns FROM asked) GROUP BY ns
    ),
    vectors AS (
        SELECT v.ns, sum(2 * coalesce(s.dimensions, 0))::BIGINT AS vector_bytes
        FROM vector v JOIN space s ON s.id = v.space WHERE v.ns IN (SELECT ns FROM asked) GROUP BY v.ns
    )
    SELECT d.ns, d.in_progress, d.completed, d.failed, d.cancelled, d.chunks,
           d.text_bytes + coalesce(v.vector_bytes, 0)
    FROM documents d LEFT JOIN vectors v ON v.ns = d.ns
"""
