"""The routes with batches, webhooks and prompts behind them, over fake runs, stores and files."""

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import msgspec
from aiohttp import web
from openai import AsyncOpenAI

from runtime.api.deps import ApiDeps
from runtime.api.openai.services import Services, make_services
from runtime.api.openai.webhook_words import Endpoint
from runtime.api.prompt_book import PromptBook
from runtime.api.prompts import PROMPTS
from runtime.api.responses.parts import RESPONSES
from runtime.core.fetching import FetchFault, Posted, PostRequest
from runtime.core.ids import TenantId
from tests.kit.clock import FakeClock
from tests.kit.fake_agent_runs import Script
from tests.kit.fake_recall import Memory, fake_recall
from tests.kit.http_stage import Stage
from tests.kit.response_stage import ResponseStage, response_stage


@dataclass
class FakePoster:
    """Keeps what was sent; says what it is told to."""

    sent: list[PostRequest] = field(default_factory=list)
    says: list[Posted | FetchFault] = field(default_factory=list)
    """One after the other; then 200."""
    closed: frozenset[str] = frozenset()
    """Hosts that may not be reached."""
    came: anyio.Event = field(default_factory=anyio.Event)

    async def post(self, request: PostRequest) -> Posted | FetchFault:
        self.sent.append(request)
        self.came.set()
        return self.says.pop(0) if self.says else Posted(status=200)

    async def check_host(self, host: str, port: int) -> FetchFault | None:
        return FetchFault(code="refused", message=f"{host} is private") if host in self.closed else None


@dataclass
class ServicesStage:
    """A server and what works behind it."""

    responses: ResponseStage
    services: Services
    poster: FakePoster
    memory: Memory
    clock: FakeClock

    @property
    def http(self) -> Stage:
        return self.responses.http

    @property
    def client(self) -> AsyncOpenAI:
        return self.responses.client

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Send a request; return status and JSON, or the text where the answer is none."""
        async with self.http.http.request(method, f"{self.http.address}{path}", **more) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, (await answer.json() if is_json else await answer.text())

    async def give_file(self, *lines: Any, purpose: Any = "batch") -> str:
        """Upload a file of JSON lines; text and bytes go in as they are."""
        written = [each if isinstance(each, bytes) else msgspec.json.encode(each) for each in lines]
        content = b"\n".join(written)
        return (await self.client.files.create(file=("in.jsonl", content), purpose=purpose)).id

    async def lines_of(self, file: str | None) -> list[dict[str, Any]]:
        """Return the lines of a file."""
        if file is None:
            return []
        content = (await self.client.files.content(file)).read()
        return [msgspec.json.decode(each) for each in content.splitlines()]


@asynccontextmanager
async def services_stage(
    folder: Path,
    script: Script | None = None,
    *,
    endpoints: Mapping[TenantId, Sequence[Endpoint]] | None = None,
    poster: FakePoster | None = None,
    is_working: bool = True,
    **options: Any,
) -> AsyncIterator[ServicesStage]:
    """Open a server; its services work unless the test wants to see what waits."""
    clock, poster = FakeClock(), poster or FakePoster()
    recall, memory = fake_recall(folder / "recall", clock)
    made: list[Services] = []

    def prepare(app: web.Application, deps: ApiDeps) -> None:
        assert deps.agents is not None
        made.append(make_services(deps, deps.agents, recall.files, app[RESPONSES], poster, endpoints or {}))
        made[0].give_to(app)
        app[PROMPTS] = PromptBook(folder)
        app[RESPONSES] = dataclasses.replace(app[RESPONSES], prompts=app[PROMPTS])

    with anyio.fail_after(10):
        async with (
            response_stage(
                folder, script, recall=recall, clock=clock, prepare=prepare, **options
            ) as responses,
            anyio.create_task_group() as tasks,
        ):
            if is_working:
                tasks.start_soon(made[0].run_forever)
                await anyio.wait_all_tasks_blocked()
            yield ServicesStage(responses, made[0], poster, memory, clock)
            tasks.cancel_scope.cancel()
