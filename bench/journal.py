"""The journal: facts per second as the server stores them, and one commit per fact."""

import sqlite3
import tempfile
import time
from pathlib import Path

import anyio

from runtime.core.events import Envelope, SeqDelta
from runtime.core.ids import RunId
from runtime.core.ports import EventQuery
from runtime.recall.database import open_database
from runtime.recall.journal import MIGRATIONS, DuckJournal

FACTS = 20_000
BATCH = 256
SINGLE = 500


def fact(seq: int) -> Envelope:
    """Return a typical fact."""
    return Envelope(
        seq=seq,
        at=float(seq),
        run_id=RunId(f"run_{seq // 100}"),
        event=SeqDelta(index=0, text="word " * 8, tokens=8),
    )


def run() -> None:
    """Facts stored per second; the peer is SQLite (WAL, fully synchronised), one commit per fact."""
    with tempfile.TemporaryDirectory() as folder:
        grouped, single, read_s = anyio.run(_journal, Path(folder))
        peer = _sqlite(Path(folder))
    print(f"  in batches of {BATCH}     {grouped:8.0f} facts/s")
    print(f"  one commit per fact    {single:8.0f} facts/s   ratio to the peer {single / peer:.2f}")
    print(f"  peer, SQLite           {peer:8.0f} facts/s   ratio of batches to the peer {grouped / peer:.1f}")
    print(f"  reading one run        {read_s * 1e3:8.1f} ms among {FACTS} facts")


async def _journal(folder: Path) -> tuple[float, float, float]:
    async with open_database(folder / "bench.duckdb", MIGRATIONS) as database:
        journal = DuckJournal(database)
        began = time.perf_counter()
        for first in range(1, FACTS, BATCH):
            await journal.append([fact(seq) for seq in range(first, min(first + BATCH, FACTS + 1))])
        grouped = FACTS / (time.perf_counter() - began)

        began = time.perf_counter()
        for seq in range(FACTS + 1, FACTS + 1 + SINGLE):
            await journal.append([fact(seq)])
        single = SINGLE / (time.perf_counter() - began)

        began = time.perf_counter()
        found = await journal.read(EventQuery(run_id=RunId("run_50")))
        assert len(found) == 100
        return grouped, single, time.perf_counter() - began


def _sqlite(folder: Path) -> float:
    connection = sqlite3.connect(folder / "bench.sqlite")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, at REAL, run_id TEXT, body TEXT)")
    began = time.perf_counter()
    for seq in range(SINGLE):
        with connection:
            connection.execute("INSERT INTO event VALUES (?, ?, ?, ?)", (seq, float(seq), "run", "word " * 8))
    elapsed = time.perf_counter() - began
    connection.close()
    return SINGLE / elapsed
