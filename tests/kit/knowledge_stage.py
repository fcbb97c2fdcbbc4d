"""The HTTP edge with recall behind it, for tests of its faces."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
import anyio
from openai import OpenAI

from runtime.api import routes
from runtime.api.keys import KeyStore
from runtime.api.knowledge_routes import KNOWLEDGE_ROUTES
from runtime.core.ids import TenantId
from runtime.core.recall import Recall
from runtime.core.settings import ServerSettings
from tests.kit.clock import FakeClock
from tests.kit.fake_recall import Memory, fake_recall
from tests.kit.http_stage import Stage, open_stage


@dataclass(kw_only=True)
class KnowledgeStage:
    """A running server, and the memory behind its recall."""

    stage: Stage
    memory: Memory
    home: Path
    clock: FakeClock

    def openai_in_threads(self) -> OpenAI:
        """Return the official synchronous client; call it in a thread."""
        return OpenAI(base_url=f"{self.stage.address}/v1", api_key="no-key", max_retries=0)

    async def key(self, name: str, tenant: str, role: Any = "user") -> dict[str, str]:
        """Make a key of a tenant; return it as a header."""
        other = KeyStore(self.home / "keys.json")
        secret = await anyio.to_thread.run_sync(other.create, name, role, TenantId(tenant))
        self.clock.advance(1.0)
        return {"Authorization": f"Bearer {secret}"}

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Send a request; return status and JSON, or the bytes where the answer is none."""
        async with self.stage.http.request(method, f"{self.stage.address}{path}", **more) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.read()

    async def upload(
        self,
        path: str,
        *parts: tuple[str, bytes, str],
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Send a form: its fields, then its files as (field, content, filename)."""
        form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
        for name, value in (fields or {}).items():
            form.add_field(name, value)
        for name, content, filename in parts:
            form.add_field(name, content, filename=filename)
        return await self.ask("POST", path, data=form, headers=headers)


@asynccontextmanager
async def open_knowledge_stage(
    home: Path, *, settings: ServerSettings | None = None, recall: Recall | None = None
) -> AsyncIterator[KnowledgeStage]:
    """Open a server whose recall is in memory, or is given."""
    clock = FakeClock()
    in_memory, memory = fake_recall(home / "recall", clock)
    table = {(each.method, each.path): each for each in routes.ROUTES}
    table |= {(each[0], each[1]): routes.Route(*each) for each in KNOWLEDGE_ROUTES}
    with patch.object(routes, "ROUTES", tuple(table.values())):
        async with open_stage(home, settings=settings, recall=recall or in_memory, clock=clock) as stage:
            yield KnowledgeStage(stage=stage, memory=memory, home=home, clock=clock)
