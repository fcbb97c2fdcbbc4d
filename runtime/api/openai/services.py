"""What works behind OpenAI's routes for as long as the server lives: batches, webhooks, and keeping tidy.

The composition root makes it with `make_services`, gives it to the application, and runs `run_forever`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import anyio
from aiohttp import web

from runtime.api.deps import ApiDeps
from runtime.api.openai.batch_files import BatchFiles
from runtime.api.openai.batch_lines import LineDesk
from runtime.api.openai.batch_responses import BatchResponses
from runtime.api.openai.batch_service import BatchService
from runtime.api.openai.batches import BATCHES
from runtime.api.openai.record_upkeep import RecordUpkeep
from runtime.api.openai.webhook_service import WebhookService
from runtime.api.openai.webhook_words import Endpoint
from runtime.api.openai.webhooks import WEBHOOKS
from runtime.api.responses.parts import ResponseParts
from runtime.core.agents.parts import AgentParts
from runtime.core.fetching import Poster
from runtime.core.ids import TenantId
from runtime.core.recall import Files


class Services(NamedTuple):
    """The services behind the routes."""

    batches: BatchService
    webhooks: WebhookService
    upkeep: RecordUpkeep

    def give_to(self, app: web.Application) -> None:
        """Let the routes reach them."""
        app[BATCHES] = self.batches
        app[WEBHOOKS] = self.webhooks

    async def run_forever(self) -> None:
        """Work until cancelled. For the app's task group; agents must be there before and after it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.webhooks.run_forever)
            tasks.start_soon(self.batches.run_forever)
            tasks.start_soon(self.upkeep.run_forever)


def make_services(
    deps: ApiDeps,
    agents: AgentParts,
    files: Files,
    responses: ResponseParts,
    poster: Poster,
    endpoints: Mapping[TenantId, Sequence[Endpoint]],
) -> Services:
    """Return the services; `endpoints` are those of `lar.toml` (`configured_endpoints`)."""
    longest = deps.settings.max_body_bytes
    webhooks = WebhookService(
        agents.records, agents.runs, poster, deps.bus, deps.clock, endpoints, agents.secrets
    )
    batches = BatchService(
        agents.records,
        BatchFiles(files, longest),
        LineDesk(deps, BatchResponses(deps, agents, responses)),
        deps.clock,
        webhooks.notify,
        longest,
    )
    return Services(batches, webhooks, RecordUpkeep(agents.records, deps.clock))
