"""Which rows of the store must agree with which, and how those that do not are put right."""

from typing import NamedTuple

RESTORE = "Stop the server, then put back a snapshot: lar recall doctor --restore"


class Rule(NamedTuple):
    """A statement about rows."""

    where: str
    message: str
    """Said of the number of rows that break it."""
    question: str
    """Selects what breaks it; beginning with namespace and chunk where indexes follow that."""
    repair: str
    """Empty: nothing can be derived."""
    fix: str
    concerns_chunks: bool = False
    table: str = "collection"
    """What it reads, where not every store has that."""


_REMOVED = "They are removed: nothing reaches them."
_FOUND = (
    "(SELECT d.id, count(c.id) AS found FROM document d LEFT JOIN chunk c ON c.document = d.id GROUP BY d.id)"
)
_LOST_DOCUMENT = "ns NOT IN (SELECT ns FROM collection)"
_LOST_PART = "document NOT IN (SELECT id FROM document)"
_LOST_VECTOR = "chunk NOT IN (SELECT id FROM chunk) OR space NOT IN (SELECT id FROM space)"
_USED_SPACES = (
    "SELECT space FROM collection UNION SELECT next_space FROM collection WHERE next_space IS NOT NULL"
)
_LOST_ENTRY = "source NOT IN (SELECT id FROM source)"
_STRAY_ENTRY = (
    "EXISTS (SELECT 1 FROM source s, document d "
    "WHERE s.id = source_entry.source AND d.id = source_entry.document AND s.ns <> d.ns)"
)
"""That an entry's document is gone is no defect: a person has removed it, and it is not to come back."""
_ODD_LENGTH = "s.id = vector.space AND s.dimensions IS NOT NULL AND octet_length(e) <> 2 * s.dimensions"

RULES = (
    Rule(
        "collections",
        "collections have no space for their vectors: something else has written here.",
        "SELECT id FROM collection WHERE space NOT IN (SELECT id FROM space)",
        "",
        RESTORE,
    ),
    Rule(
        "collections",
        "names are borne by several collections of a tenant: something else has written here.",
        "SELECT name FROM collection WHERE kind = 'documents' GROUP BY tenant, name HAVING count(*) > 1",
        "",
        "Rename all but one of them.",
    ),
    Rule(
        "documents",
        "documents belong to no collection.",
        f"SELECT id FROM document WHERE {_LOST_DOCUMENT}",  # noqa: S608 - constants
        f"DELETE FROM document WHERE {_LOST_DOCUMENT}",  # noqa: S608 - constants
        _REMOVED,
    ),
    Rule(
        "chunks",
        "chunks belong to no document.",
        f"SELECT ns, id FROM chunk WHERE {_LOST_PART}",  # noqa: S608 - constants
        f"DELETE FROM chunk WHERE {_LOST_PART}",  # noqa: S608 - constants
        _REMOVED,
        concerns_chunks=True,
    ),
    Rule(
        "texts",
        "texts belong to no document.",
        f"SELECT document FROM body WHERE {_LOST_PART}",  # noqa: S608 - constants
        f"DELETE FROM body WHERE {_LOST_PART}",  # noqa: S608 - constants
        _REMOVED,
    ),
    Rule(
        "documents",
        "documents count other chunks than they have.",
        f"SELECT d.id FROM document d JOIN {_FOUND} f ON f.id = d.id WHERE d.chunks <> f.found",  # noqa: S608 - constants
        f"UPDATE document SET chunks = f.found FROM {_FOUND} f WHERE f.id = document.id",  # noqa: S608 - constants
        "They are counted again.",
    ),
    Rule(
        "spaces",
        "spaces of vectors belong to no collection.",
        f"SELECT id FROM space WHERE id NOT IN ({_USED_SPACES})",  # noqa: S608 - constants
        f"DELETE FROM space WHERE id NOT IN ({_USED_SPACES})",  # noqa: S608 - constants
        _REMOVED,
    ),
    Rule(
        "vectors",
        "vectors belong to no chunk or to no space.",
        f"SELECT ns, chunk FROM vector WHERE {_LOST_VECTOR}",  # noqa: S608 - constants
        f"DELETE FROM vector WHERE {_LOST_VECTOR}",  # noqa: S608 - constants
        _REMOVED,
        concerns_chunks=True,
    ),
    Rule(
        "vectors",
        "vectors do not have the length of their space.",
        f"SELECT vector.ns, chunk FROM vector, space s WHERE {_ODD_LENGTH}",  # noqa: S608 - constants
        f"DELETE FROM vector USING space s WHERE {_ODD_LENGTH}",  # noqa: S608 - constants
        "They are removed; embed the collection anew to make them again.",
        concerns_chunks=True,
    ),
    Rule(
        "vectors",
        "chunks of completed documents have no vector: they are found by their words alone.",
        "SELECT k.id FROM collection c JOIN document d ON d.ns = c.ns JOIN chunk k ON k.document = d.id "
        "LEFT JOIN vector v ON v.chunk = k.id AND v.space = c.space "
        "WHERE c.kind = 'documents' AND d.status = 'completed' AND v.chunk IS NULL",
        "",
        "Embed the collection anew.",
    ),
    Rule(
        "sources",
        "sources belong to no collection.",
        f"SELECT id FROM source WHERE {_LOST_DOCUMENT}",  # noqa: S608 - constants
        f"DELETE FROM source WHERE {_LOST_DOCUMENT}",  # noqa: S608 - constants
        _REMOVED,
        table="source",
    ),
    Rule(
        "sources",
        "entries belong to no source.",
        f"SELECT key FROM source_entry WHERE {_LOST_ENTRY}",  # noqa: S608 - constants
        f"DELETE FROM source_entry WHERE {_LOST_ENTRY}",  # noqa: S608 - constants
        _REMOVED,
        table="source_entry",
    ),
    Rule(
        "sources",
        "entries name a document of another collection: something else has written here.",
        f"SELECT key FROM source_entry WHERE {_STRAY_ENTRY}",  # noqa: S608 - constants
        f"DELETE FROM source_entry WHERE {_STRAY_ENTRY}",  # noqa: S608 - constants
        "They are removed: the next look at their place finds them anew.",
        table="source_entry",
    ),
)
"""In the order of their repairs: what a repair leaves alone, the next one finds."""
