"""Pictures that items name by a file's id and do not hold: their bytes, read before a run begins."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

import anyio

from runtime.core.agents.items import Answered, AnyItem, Picture, Said
from runtime.core.agents.steps import AnyStep, CallEnded, ItemsAdded, RunOpened, TurnEnded
from runtime.core.errors import NotFound
from runtime.core.ids import FileId, TenantId
from runtime.core.recall import Files

logger = logging.getLogger(__name__)

_LARGEST_BYTES = 32 * 1024 * 1024


class PictureFiles:
    """Reads them from the stored files."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def load(self, tenant: TenantId, steps: Sequence[AnyStep]) -> Mapping[str, bytes]:
        """Return the bytes by file id; a file that was removed, or is no picture's size, is left out."""
        found: dict[str, bytes] = {}
        for file in dict.fromkeys(_named(steps)):
            try:
                path = anyio.Path(await self._files.path(tenant, FileId(file)))
                if (await path.stat()).st_size <= _LARGEST_BYTES:
                    found[file] = await path.read_bytes()
            except (NotFound, OSError):
                logger.info("a picture is gone", extra={"file": file})
        return found


def _named(steps: Sequence[AnyStep]) -> Iterator[str]:
    for step in steps:
        match step:
            case RunOpened():
                yield from _of_items((*step.context, *step.input))
            case TurnEnded() | ItemsAdded():
                yield from _of_items(step.items)
            case CallEnded():
                yield from _of_items((step.result,))
            case _:
                pass


def _of_items(items: Iterable[AnyItem]) -> Iterator[str]:
    for item in items:
        if isinstance(item, Said | Answered):
            for part in item.parts:
                if isinstance(part, Picture) and part.data is None and part.file_id is not None:
                    yield part.file_id
