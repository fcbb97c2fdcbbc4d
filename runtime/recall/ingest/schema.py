"""The tables of ingestion. Tasks are kept as long as their job, work until its document has ended.

job ──► task (one per document of the job) ··· work: what is still to be done with a document
"""

from runtime.recall.database import Migration

TABLES = Migration(
    2,
    """
    CREATE TABLE job (
        id VARCHAR PRIMARY KEY,
        tenant VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        collection VARCHAR,
        ns BIGINT,
        source VARCHAR,
        status VARCHAR NOT NULL,
        is_open BOOLEAN NOT NULL,
        total INTEGER NOT NULL,
        done INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        created_at DOUBLE NOT NULL,
        finished_at DOUBLE,
        fault VARCHAR
    );
    CREATE TABLE task (
        job VARCHAR NOT NULL,
        number INTEGER NOT NULL,
        document VARCHAR,
        name VARCHAR NOT NULL,
        status VARCHAR NOT NULL,
        fault VARCHAR,
        PRIMARY KEY (job, number)
    );
    CREATE TABLE work (
        document VARCHAR PRIMARY KEY,
        ns BIGINT NOT NULL,
        tenant VARCHAR NOT NULL,
        number BIGINT NOT NULL,
        stage VARCHAR NOT NULL,
        size_bytes BIGINT NOT NULL
    );
    CREATE TABLE learnt (space BIGINT PRIMARY KEY)
    """,
)
"""`job.status`: running, completed, failed, cancelled. `job.is_open`: more tasks may come, somebody else ends
it. `job.total`, `done`, `failed`: what was told beside the tasks. `task.status`: live, done, failed,
cancelled; without a document it tells of a failure alone. `work.stage`: read, vectors. `learnt`: spaces whose
dimensions nobody asked for, they are those of the first vector."""
