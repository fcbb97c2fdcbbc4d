"""Whose document is next: by turns between tenants, then between a tenant's collections, then by arrival."""

from typing import NamedTuple

from runtime.core.ids import DocumentId
from runtime.recall.ingest.live import Stage
from runtime.recall.truth import Truth

LARGE_BYTES = 4 * 1024 * 1024
"""A document beyond this size may take minutes to be read."""


class Waiting(NamedTuple):
    """A document with something left to be done."""

    document: DocumentId
    ns: int
    size_bytes: int

    @property
    def is_large(self) -> bool:
        """Whether reading it may take long."""
        return self.size_bytes > LARGE_BYTES


_NEXT = """
    SELECT document, ns, size_bytes FROM (
        SELECT document, ns, size_bytes, number, tenant,
               row_number() OVER (PARTITION BY ns ORDER BY number) AS turn
        FROM work
        WHERE stage = $1 AND ($2 IS NULL OR ns IN (SELECT unnest($2::BIGINT[])))
              AND document NOT IN (SELECT unnest($3::VARCHAR[]))
              AND ($4 IS NULL OR (size_bytes > $5) = $4)
    ) ORDER BY row_number() OVER (PARTITION BY tenant ORDER BY turn, number), number LIMIT $6
"""


async def next_waiting(
    truth: Truth,
    stage: Stage,
    limit: int,
    *,
    at_work: list[DocumentId],
    namespaces: list[int] | None = None,
    is_large: bool | None = None,
) -> list[Waiting]:
    """Return the documents whose turn it is at a stage, without those at work already.

    `namespaces` None: of all; `is_large` None: of any size.
    """
    rows = await truth.read(_NEXT, [stage, namespaces, at_work, is_large, LARGE_BYTES, limit])
    return [Waiting(DocumentId(row[0]), row[1], row[2]) for row in rows]
