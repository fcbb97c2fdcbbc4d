"""Processes that write to a store as fast as they can and say on stdout what is acknowledged. To be killed.

This process loads the libraries once and forks a writer for each line on stdin. A writer says what it begins
(`?`) and what is acknowledged (`!`): a document's name and its state, which is a number of its own.
"""

import os
import random
import sys
from pathlib import Path

import anyio

from runtime.recall import connection
from runtime.recall.documents import remove_documents
from tests.kit.store import ADA, new_document, open_store, stream, write_document

WRITERS = 4
CHECKPOINT_BYTES = 48 * 1024
GONE = "gone"


def tell(sign: str, *words: str) -> None:
    """Write one line at once: several writers share the pipe."""
    os.write(1, (" ".join((sign, *words)) + "\n").encode())


async def write_forever(folder: Path, chance: random.Random) -> None:
    """Write to documents of an own group of names each, several at once."""
    async with open_store(folder) as store:
        mark = store.marks.all_marks()[0]
        stored = await store.rows.list_all(ADA, mark.collection, limit=100_000)
        names = {each.name: each for each in stored}
        tell("open")

        async def _add(name: str, state: str) -> None:
            texts = [f"{state} {ordinal} " + "x" * 300 for ordinal in range(chance.randrange(1, 6))]
            names[name] = new_document(mark.collection, name, 1.0, attributes={"state": state})
            await store.truth.write(
                lambda pen: write_document(pen, mark, names[name], texts, "name", 1.0),
            )

        async def _remove(name: str) -> None:
            gone = names.pop(name)
            await store.truth.write(lambda pen: remove_documents(pen, mark.ns, [gone.id]))

        async def _write(writer: int) -> None:
            while True:
                name = f"{writer}-{chance.randrange(12)}"
                is_going = name in names and chance.random() < 0.5
                state = GONE if is_going else f"{chance.getrandbits(48)}"
                tell("?", name, state)
                if is_going:
                    await _remove(name)
                elif name in names:
                    await store.rows.change_attributes(ADA, names[name].id, {"state": state})
                else:
                    await _add(name, state)
                tell("!", name, state)

        async def _upload() -> None:
            while True:
                state = f"{chance.getrandbits(48)}"
                await store.files.add(ADA, state, "p", stream(state.encode()))
                tell("!", "file", state)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_upload)
            for writer in range(WRITERS):
                tasks.start_soon(_write, writer)


def main() -> None:
    """Fork a writer for each line on stdin, and wait until it is killed."""
    folder = Path(sys.argv[1])
    connection.CHECKPOINT_BYTES = CHECKPOINT_BYTES
    for line in sys.stdin:
        writer = os.fork()
        if not writer:
            tell("pid", f"{os.getpid()}")
            anyio.run(write_forever, folder, random.Random(line))
            os._exit(1)
        os.waitpid(writer, 0)
        tell("dead")


if __name__ == "__main__":
    main()
