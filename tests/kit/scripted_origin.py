"""A place that finds what a test tells it to: pages by their keys, and troubles in between."""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import anyio

from runtime.core.knowledge import DocumentFault
from runtime.recall.sources.origin import (
    Changed,
    Entry,
    Finished,
    Gone,
    Listed,
    Look,
    OriginFailed,
    Refused,
    Same,
    Seen,
)

GONE_WRONG = DocumentFault(code="unreachable", message="The host does not answer; try again later.")


class ScriptedOrigin:
    """Fulfils `recall.sources.origin.Origin` over texts in memory."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.refused: set[str] = set()
        self.is_certain = False
        """Whether what is not there is known to be gone."""
        self.failure: OriginFailed | None = None
        """Raised after the first page."""
        self.defect: Exception | None = None
        self.gate: anyio.Event | None = None
        """Waited for after each page."""
        self.is_blind = False
        """Hands out every page as changed, as a place does that cannot tell."""
        self.addresses: dict[str, str] = {}
        """Where pages are found, if not at their keys."""
        self.looks: list[Look] = []
        self.known: list[dict[str, Entry]] = []
        self.at_work = anyio.Event()
        """Set once the first page was handed out."""
        self.at_once = 0
        self.most_at_once = 0

    async def look(self, asked: Look, known: Mapping[str, Entry], folder: Path) -> AsyncGenerator[Seen, None]:
        """Yield what the test has put there."""
        self.looks.append(asked)
        self.known.append(dict(known))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield Listed(entries=len(self.pages) + len(self.refused))
            async for each in self._go(known, folder):
                yield each
        finally:
            self.at_once -= 1

    async def _go(self, known: Mapping[str, Entry], folder: Path) -> AsyncGenerator[Seen, None]:
        for number, (key, text) in enumerate([*self.pages.items()]):
            if known.get(key) is not None and known[key].stamp == text and not self.is_blind:
                yield Same(key=key)
            else:
                body = folder / f"body-{number}"
                await anyio.Path(body).write_text(text)
                uri = self.addresses.get(key, key)
                yield Changed(key=key, name=key.rpartition("/")[2], uri=uri, body=body, stamp=text)
            self.at_work.set()
            if self.gate is not None:
                await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            if self.defect is not None:
                raise self.defect
        for key in self.refused:
            yield Refused(key=key, fault=GONE_WRONG)
        for key in known:
            if key not in self.pages and key not in self.refused:
                yield Gone(key=key, is_certain=self.is_certain)
        yield Finished(state=f"look {len(self.looks)}")
