"""What all commands of `lar recall` do: reach the server's recall, tell failures, ask before, show text."""

import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runtime.api.client import LarClient
from runtime.api.remote.recall import RemoteRecall
from runtime.cli.calls import call_server
from runtime.cli.output import EXIT_FAILED, EXIT_NO_MODEL, EXIT_USAGE, CommandFailed, notice
from runtime.cli.place import find_place, require_server
from runtime.core.errors import LarError, ModelUnavailable
from runtime.core.ids import LOCAL_TENANT, DocumentId
from runtime.core.knowledge import Document

TENANT = LOCAL_TENANT
"""Of all calls; the server takes the key's own whatever is told."""

_T = TypeVar("_T")
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_DIRECTIONS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
"""Signs that turn the direction of writing round: in foreign text they can make a line say something else."""


def with_recall(work: Callable[[RemoteRecall], Awaitable[_T]]) -> _T:
    """Run `work` with the running server's recall. Raises CommandFailed."""
    server = require_server(find_place())

    async def over(client: LarClient) -> _T:
        try:
            return await work(RemoteRecall(client))
        except LarError as problem:
            code = EXIT_NO_MODEL if isinstance(problem, ModelUnavailable) else EXIT_FAILED
            raise CommandFailed(problem.fault.message, code) from problem

    return call_server(server, over)


async def find_documents(recall: RemoteRecall, name: str, collection: str | None) -> list[Document]:
    """Return the document of an id, or those of a name in one collection or in all."""
    if name.startswith("doc_"):
        return [await recall.documents.find(TENANT, DocumentId(name))]

    if collection is not None:
        where = [collection]
    else:
        where = [str(each.id) for each in await recall.collections.list_all(TENANT)]
    found = [await recall.documents.find_by_name(TENANT, each, name) for each in where]
    return [each for each in found if each is not None]


def confirm(question: str, *, is_agreed: bool) -> None:
    """Return where the person agrees. Raises CommandFailed where not, or where nobody can be asked."""
    if is_agreed:
        return

    if not sys.stdin.isatty():
        raise CommandFailed(f"{question} Nobody can be asked here: say --yes.", EXIT_USAGE)

    notice(f"{question} [y/N] ")
    try:
        answer = input()
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandFailed("Nothing was changed.")


def clean(text: str) -> str:
    """Return foreign text without what could steer a terminal."""
    return text.translate(_CONTROLS).translate(_DIRECTIONS)


def one_line(text: str, width: int) -> str:
    """Return a foreign text on one line, cut where it is too long."""
    line = " ".join(clean(text).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def day(at: float | None) -> str:
    """Return a time as people read it."""
    return "" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def size(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return `1 document`, `2 documents`."""
    return f"{number} {one if number == 1 else many or one + 's'}"
