"""The tables of agents in the server's own database, `lar.duckdb`, beside the journal's.

run_live ─┐
          ├─key─► run_step, run_happening        session ──key──► session_item        record
run      ─┘

A run is a row of `run_live` until it ends and a row of `run` from then on: rows that change are few, so that
a checkpoint writes little, and what has ended is never touched again. Parts name their whole by a number
that only grows: DuckDB then finds them by its zone maps, without an index.
"""

from runtime.recall.migrating import Migration

_RUN = """
    id VARCHAR PRIMARY KEY,
    key BIGINT NOT NULL,
    tenant VARCHAR NOT NULL,
    principal VARCHAR NOT NULL,
    agent VARCHAR,
    model VARCHAR NOT NULL,
    session VARCHAR,
    parent VARCHAR,
    labels VARCHAR NOT NULL,
    created_at DOUBLE NOT NULL,
    status VARCHAR NOT NULL,
    ended_at DOUBLE,
    steps INTEGER NOT NULL,
    body VARCHAR NOT NULL
"""

AGENT_TABLES = Migration(
    2,
    f"""
    CREATE TABLE run ({_RUN});
    CREATE TABLE run_live ({_RUN}, noted BIGINT NOT NULL);
    CREATE TABLE run_step (
        run BIGINT NOT NULL,
        number INTEGER NOT NULL,
        body VARCHAR NOT NULL,
        PRIMARY KEY (run, number)
    );
    CREATE TABLE run_happening (
        run BIGINT NOT NULL,
        first BIGINT NOT NULL,
        last BIGINT NOT NULL,
        body VARCHAR NOT NULL
    );
    CREATE TABLE session (
        id VARCHAR PRIMARY KEY,
        key BIGINT NOT NULL,
        tenant VARCHAR NOT NULL,
        agent VARCHAR,
        title VARCHAR NOT NULL,
        created_at DOUBLE NOT NULL,
        metadata VARCHAR NOT NULL,
        items INTEGER NOT NULL,
        next_place INTEGER NOT NULL
    );
    CREATE TABLE session_item (
        session BIGINT NOT NULL,
        place INTEGER NOT NULL,
        id VARCHAR NOT NULL,
        body VARCHAR NOT NULL,
        PRIMARY KEY (session, place)
    );
    CREATE TABLE record (
        kind VARCHAR NOT NULL,
        key VARCHAR NOT NULL,
        tenant VARCHAR NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (kind, key, tenant)
    )
    """,
)
"""`body`: JSON of the core's words; of `run_happening`, of all that was noted at once, `first` to `last`.
`labels`: one line of JSON for each. `noted`: the number that the next happening gets.
`run_happening` has no key: batches come often, and the writer alone sees to their order."""
