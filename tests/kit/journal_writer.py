"""A process that stores facts as fast as it can and says on stdout which are acknowledged. To be killed."""

import sys
from pathlib import Path

import anyio

from runtime.core.events import Envelope, SeqDelta
from runtime.core.ids import RunId
from runtime.recall.database import open_database
from runtime.recall.journal import MIGRATIONS, DuckJournal


async def write_forever(path: Path) -> None:
    """Append batches of growing size, several at once; print the last seq of each once it is stored."""
    async with open_database(path, MIGRATIONS) as database:
        journal = DuckJournal(database)
        next_seq = await journal.last_seq() + 1

        async def _append(first: int, count: int) -> None:
            facts = [
                Envelope(
                    seq=seq,
                    at=float(seq),
                    run_id=RunId(f"run_{seq % 7}"),
                    event=SeqDelta(index=0, text="x" * (seq % 50), tokens=1),
                )
                for seq in range(first, first + count)
            ]
            await journal.append(facts)
            sys.stdout.write(f"{first} {first + count - 1}\n")
            sys.stdout.flush()

        sys.stdout.write("open\n")
        sys.stdout.flush()
        while True:
            async with anyio.create_task_group() as group:
                for count in (1, 3, 40):
                    group.start_soon(_append, next_seq, count)
                    next_seq += count


if __name__ == "__main__":
    anyio.run(write_forever, Path(sys.argv[1]))
