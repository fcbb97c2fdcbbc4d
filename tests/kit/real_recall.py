"""Recall as the server opens it, over an embedder of words and a web that a test makes up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from runtime.core.fact import Fact
from runtime.core.fetching import Fetcher
from runtime.core.ids import TenantId
from runtime.core.recall import Recall
from runtime.core.settings import RecallSettings
from runtime.recall.opening import Given, open_recall
from tests.kit.clock import FakeClock
from tests.kit.embedder import MODEL, WordEmbedder
from tests.kit.fake_fetcher import FakeFetcher


@asynccontextmanager
async def real_recall(
    folder: Path, clock: FakeClock, fetcher: Fetcher | None = None
) -> AsyncIterator[Recall]:
    """Open Recall in a folder; what it does behind the scenes goes on while the context lasts."""
    facts: list[tuple[Fact, TenantId]] = []
    given = Given(
        embedder=WordEmbedder(),
        publish=lambda fact, tenant: facts.append((fact, tenant)),
        clock=clock,
        embedding_model=MODEL,
        fetcher=fetcher or FakeFetcher(),
    )
    async with open_recall(folder, RecallSettings(readers=1), given) as opened:
        yield opened.recall
