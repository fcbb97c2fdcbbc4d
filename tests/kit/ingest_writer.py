"""A process that takes documents in and makes vectors anew, and says what is acknowledged. To be killed."""

import sys
from itertools import count
from pathlib import Path

import anyio

from runtime.core.clock import SystemClock
from runtime.core.fact import Fact
from runtime.core.ids import LOCAL_TENANT, ModelId
from runtime.core.knowledge import CollectionChange, NewDocument
from tests.kit.embedder import MODEL, WordEmbedder
from tests.kit.ingest_stage import Stage, open_stage, text

OTHER = ModelId("others")
SHARED = 3
"""Names whose contents are replaced again and again."""
_AT_ONCE = 4


def documents_of(round_: int, number: int) -> list[NewDocument]:
    """Return what the writer adds in its nth call: new names, a name that was there, a broken content."""
    name = f"{round_}-{number}"
    new = [text(f"{name}.txt", *(f"paragraph {index} of {name}" for index in range(1 + number % 7)))]
    if number % 2:
        new.append(text(f"shared-{number % SHARED}", f"{round_:04} {number:06}", "and more"))
    if number % 5 == 0:
        new.append(text(f"{name}.broken", f"broken {name}"))
    return new


def _tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def _note(fact: Fact) -> None:
    _tell("fact", type(fact).__name__)


async def write_forever(folder: Path, round_: int) -> None:
    """Add documents; print each acknowledgement once it is given."""
    embedder = WordEmbedder(installed=[MODEL, OTHER])
    async with open_stage(folder, embedder=embedder, clock=SystemClock(), tell=_note) as stage:
        collection = await stage.collection()
        _tell("open")
        if not collection.is_reembedding:
            model = OTHER if collection.embedding.model == MODEL else MODEL
            change = CollectionChange(embedding_model=model)
            await stage.collections.change(LOCAL_TENANT, collection.id, change)
        for first in count(0, _AT_ONCE):
            async with anyio.create_task_group() as tasks:
                for number in range(first, first + _AT_ONCE):
                    tasks.start_soon(_add, stage, round_, number)


async def _add(stage: Stage, round_: int, number: int) -> None:
    job, documents = await stage.add(*documents_of(round_, number))
    for each in documents:
        _tell("added", each.id, each.name)
    if number % 3 == 0:
        await stage.over(job)


if __name__ == "__main__":
    anyio.run(write_forever, Path(sys.argv[1]), int(sys.argv[2]))
