"""The tables of Recall's own database, `recall.duckdb`: primary keys only, every statement a migration.

collection ──ns──► document ──► chunk ──► vector (one per space)
                      └──► body              space = a collection's embedding at one time
change: what the indexes have to follow, in the order of commits
"""

from runtime.recall.database import Migration

TABLES = Migration(
    1,
    """
    CREATE TABLE collection (
        id VARCHAR PRIMARY KEY,
        ns BIGINT NOT NULL,
        tenant VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        description VARCHAR NOT NULL,
        language VARCHAR NOT NULL,
        chunking VARCHAR NOT NULL,
        metadata VARCHAR NOT NULL,
        expiry VARCHAR,
        created_at DOUBLE NOT NULL,
        last_active_at DOUBLE NOT NULL,
        space BIGINT NOT NULL,
        next_space BIGINT
    );
    CREATE TABLE space (
        id BIGINT PRIMARY KEY,
        ns BIGINT NOT NULL,
        model VARCHAR NOT NULL,
        dimensions INTEGER,
        query_prefix VARCHAR NOT NULL,
        document_prefix VARCHAR NOT NULL
    );
    CREATE TABLE document (
        id VARCHAR PRIMARY KEY,
        ns BIGINT NOT NULL,
        tenant VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        title VARCHAR NOT NULL,
        uri VARCHAR,
        media_type VARCHAR NOT NULL,
        language VARCHAR NOT NULL,
        status VARCHAR NOT NULL,
        fault VARCHAR,
        notes VARCHAR NOT NULL,
        attributes VARCHAR NOT NULL,
        tags VARCHAR NOT NULL,
        source VARCHAR,
        file VARCHAR,
        content_hash VARCHAR NOT NULL,
        size_bytes BIGINT NOT NULL,
        text_bytes BIGINT NOT NULL DEFAULT 0,
        chunks INTEGER NOT NULL,
        chunking VARCHAR NOT NULL,
        replaces VARCHAR NOT NULL,
        created_at DOUBLE NOT NULL,
        changed_at DOUBLE NOT NULL,
        valid_from DOUBLE,
        valid_to DOUBLE,
        expires_at DOUBLE,
        ended_at DOUBLE,
        importance DOUBLE,
        scope_user VARCHAR,
        scope_agent VARCHAR,
        scope_session VARCHAR
    );
    CREATE TABLE body (document VARCHAR PRIMARY KEY, ns BIGINT NOT NULL, text VARCHAR NOT NULL);
    CREATE TABLE chunk (
        id BIGINT PRIMARY KEY,
        ns BIGINT NOT NULL,
        document VARCHAR NOT NULL,
        ordinal INTEGER NOT NULL,
        span_start INTEGER NOT NULL,
        span_end INTEGER NOT NULL,
        heading VARCHAR NOT NULL,
        text VARCHAR NOT NULL
    );
    CREATE TABLE vector (
        chunk BIGINT NOT NULL,
        space BIGINT NOT NULL,
        ns BIGINT NOT NULL,
        e BLOB NOT NULL,
        PRIMARY KEY (chunk, space)
    );
    CREATE TABLE change (
        seq BIGINT PRIMARY KEY,
        ns BIGINT NOT NULL,
        chunk BIGINT NOT NULL,
        op VARCHAR NOT NULL
    );
    CREATE TABLE file (
        id VARCHAR PRIMARY KEY,
        tenant VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        purpose VARCHAR NOT NULL,
        size_bytes BIGINT NOT NULL,
        sha256 VARCHAR NOT NULL,
        media_type VARCHAR NOT NULL,
        created_at DOUBLE NOT NULL,
        expires_at DOUBLE
    );
    CREATE TABLE note (name VARCHAR PRIMARY KEY, value VARCHAR NOT NULL)
    """,
)
"""`vector.e`: little-endian float16. `change.op`: put, remove, vector (a vector came), meta (its document's
attributes changed), drop (the whole namespace; chunk is 0). `note`: small facts about the store itself. A
VARCHAR that stands for a struct, a list or a mapping is JSON."""

MIGRATIONS = (TABLES,)
