"""The memory's own tables. Each item is also a `document` row of the same id, with its chunks and vectors.

item ──id──► document ──► chunk ──► vector      what a search and its filters look at
  ├──► item_link       contradicts and derived_from; `supersedes` is told by `item.superseded_by` alone
  └──► item_history    what happened, each entry with the item as it was afterwards
"""

from runtime.recall.database import Migration
from runtime.recall.marks import Shelfmark
from runtime.recall.truth import Pen

MEMORY_TABLES = Migration(
    4,
    """
    CREATE TABLE item (
        id VARCHAR PRIMARY KEY,
        ns BIGINT NOT NULL,
        kind VARCHAR NOT NULL,
        text VARCHAR NOT NULL,
        text_hash VARCHAR NOT NULL,
        simhash BIGINT NOT NULL,
        sayings_hash VARCHAR NOT NULL,
        scope_user VARCHAR,
        scope_agent VARCHAR,
        scope_session VARCHAR,
        provenance VARCHAR NOT NULL,
        created_at DOUBLE NOT NULL,
        ended_at DOUBLE,
        valid_from DOUBLE,
        valid_to DOUBLE,
        expires_at DOUBLE,
        importance DOUBLE NOT NULL,
        confidence DOUBLE NOT NULL,
        uses BIGINT NOT NULL,
        last_used_at DOUBLE,
        is_pinned BOOLEAN NOT NULL,
        tags VARCHAR NOT NULL,
        attributes VARCHAR NOT NULL,
        superseded_by VARCHAR,
        is_former BOOLEAN NOT NULL
    );
    CREATE TABLE item_link (
        item VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        other VARCHAR NOT NULL,
        ns BIGINT NOT NULL,
        PRIMARY KEY (item, kind, other)
    );
    CREATE TABLE item_history (
        number BIGINT PRIMARY KEY,
        ns BIGINT NOT NULL,
        item VARCHAR NOT NULL,
        happened_at DOUBLE NOT NULL,
        action VARCHAR NOT NULL,
        by_whom VARCHAR,
        run VARCHAR,
        snapshot VARCHAR NOT NULL
    )
    """,
)
"""`item.is_former`: it gave way to another wording of itself (revised, merged), so it is forgotten with that
one. `text_hash`, `simhash`, `sayings_hash`: see `likeness.py`. `provenance`, `tags`, `attributes` and
`snapshot` are JSON."""


def drop_memory(pen: Pen, home: Shelfmark) -> None:
    """Remove the memory's rows of a namespace; `Pen.drop_namespace` removes the rest."""
    for table in ("item", "item_link", "item_history"):
        pen.execute(f"DELETE FROM {table} WHERE ns = $1", [home.ns])  # noqa: S608 - constants
