"""The tables of sources: the places that are followed, and what is remembered of their entries.

source ──► source_entry ──document──► document (of the same collection)
"""

from runtime.recall.database import Migration

TABLES = Migration(
    5,
    """
    CREATE TABLE source (
        id VARCHAR PRIMARY KEY,
        ns BIGINT NOT NULL,
        tenant VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        uri VARCHAR NOT NULL,
        told VARCHAR NOT NULL,
        created_at DOUBLE NOT NULL,
        is_paused BOOLEAN NOT NULL,
        synced_at DOUBLE,
        next_at DOUBLE,
        failures INTEGER NOT NULL,
        fault VARCHAR,
        notes VARCHAR NOT NULL,
        state VARCHAR NOT NULL
    );
    CREATE TABLE source_entry (
        source VARCHAR NOT NULL,
        key VARCHAR NOT NULL,
        uri VARCHAR NOT NULL,
        stamp VARCHAR NOT NULL,
        etag VARCHAR,
        last_modified VARCHAR,
        document VARCHAR,
        misses INTEGER NOT NULL,
        PRIMARY KEY (source, key)
    )
    """,
)
"""`source.told`: the NewSource as JSON. `source.next_at`: NULL while it is paused. `source.failures`: looks
that failed since the last one that did not. `source.state`: what the last finished look left for the next.
`source_entry.uri`: the address that its documents carry. `source_entry.document`: may be gone, where a person
has removed it."""
