"""A process that writes chunks and follows them into the text index as fast as it can. To be killed."""

import random
import sys
from pathlib import Path

import anyio
import anyio.lowlevel

from runtime.recall.database import open_database
from runtime.recall.lexical.arm import TextIndex, open_text_index
from runtime.recall.schema import MIGRATIONS
from runtime.recall.truth import Truth, load_truth
from tests.kit.texts import put, remove


async def _write(truth: Truth, chance: random.Random) -> None:
    documents: list[tuple[int, str]] = []
    while True:
        ns = chance.randint(1, 3)
        if documents and chance.random() < 0.3:
            gone_ns, gone = documents.pop(chance.randrange(len(documents)))
            await remove(truth, gone_ns, gone)
        name = f"d{truth.newest}-{chance.randrange(10**9)}"
        await put(truth, ns, name, *[f"word{chance.randrange(20)} text"] * chance.randint(1, 40))
        documents.append((ns, name))
        sys.stdout.write(f"{truth.newest}\n")
        sys.stdout.flush()


async def _follow(index: TextIndex, truth: Truth, chance: random.Random) -> None:
    while True:
        await index.follow()
        if chance.random() < 0.3:
            await truth.trim(index.watermark)
        if chance.random() < 0.1:
            await index.rebuild(chance.randint(1, 3))
        await anyio.lowlevel.checkpoint()


async def work_forever(folder: Path, seed: int) -> None:
    """Write and follow side by side; print the newest change after each write."""
    chance = random.Random(seed)
    async with open_database(folder / "recall.duckdb", MIGRATIONS) as database:
        truth = await load_truth(database)
        index = await open_text_index(folder / "text", truth)
        sys.stdout.write("open\n")
        sys.stdout.flush()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_write, truth, chance)
            tasks.start_soon(_follow, index, truth, chance)


if __name__ == "__main__":
    anyio.run(work_forever, Path(sys.argv[1]), int(sys.argv[2]))
