"""The part of the composition that concerns tools: Lar's own servers, the hub of all servers, the MCP doors.

hub ── every call passes the gate; outside servers and Lar's own ones behind it
  doors ── the server `lar` over HTTP: what MCP clients may use of it
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import anyio

from runtime.core.bus import Bus
from runtime.core.causes import Causes
from runtime.core.errors import Fault, RequestInvalid
from runtime.core.ids import LOCAL_TENANT, RunId, TenantId
from runtime.core.knowledge import DocumentFault
from runtime.core.questions import QuestionBoard
from runtime.core.tool_facts import LinkChanged, PolicyLoaded, ReachFact, ToolFact
from runtime.core.toolbox import Toolbox
from runtime.core.version import __version__
from runtime.mcp.asking import Answerers
from runtime.mcp.consent import Consent
from runtime.mcp.doors import open_doors
from runtime.mcp.members import HubParts
from runtime.mcp.opening import open_hub
from runtime.mcp.outward import Outward, OutwardServer, outward_server
from runtime.mcp.sampler import Sampler
from runtime.mcp.servers.internal import InternalParts, internal_servers
from runtime.mcp.servers.web import PageText, ReadPage
from runtime.recall.parse.reader import Reader, open_reader
from runtime.tool_parts import ToolParts

_FACTS_BUFFERED = 4096
"""Facts that may wait; of what is missed beyond, the next change tells."""


@asynccontextmanager
async def open_tools(parts: ToolParts) -> AsyncIterator[Toolbox]:
    """Keep hub and doors while the context lasts; leave it once HTTP has ended. Raises PinsUnreadable."""
    settings = parts.settings.mcp
    tell = _teller(parts.bus)
    questions = QuestionBoard(
        parts.clock, lambda fact: tell(fact, LOCAL_TENANT, None), settings.elicitation_wait_s
    )
    async with open_reader(1, tesseract="") as reader:
        internal = internal_servers(
            InternalParts(
                home=parts.home,
                clock=parts.clock,
                recall=parts.recall,
                gate=parts.gate,
                runs=parts.runs,
                models=parts.models,
                fetcher=parts.fetcher,
                read_page=_page_reader(reader),
                version=__version__,
                started_at=parts.clock.now(),
                address=parts.address,
                metrics=parts.metrics,
                bus=parts.bus,
                journal=parts.journal,
                agents=parts.agents(),
            )
        )
        hub_parts = HubParts(
            home=parts.home,
            settings=settings,
            gate=parts.gate,
            publish=tell,
            clock=parts.clock,
            hosts=parts.fetcher,
            internal=internal,
            address=parts.address,
            answerers=Answerers(
                elicit=questions.ask,
                elicit_wait_s=settings.elicitation_wait_s,
                sample=Sampler(parts.runs, parts.models).ask,
            ),
        )
        async with open_hub(hub_parts) as hub:
            own = frozenset(internal)
            offered = own if settings.offer == "internal" else None
            consent = Consent(parts.approvals, settings.elicitation_wait_s)
            outward = outward_server(Outward(hub, lambda: offered, settings.approval_wait_s, consent))
            async with (
                open_doors(
                    outward.server,
                    has_sse=settings.sse,
                    max_body_bytes=parts.settings.server.max_body_bytes,
                    on_stream=outward.sessions.stream_opened,
                ) as doors,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(_tell_changes, parts.bus, outward)
                yield Toolbox(hub, hub, doors, questions)
                tasks.cancel_scope.cancel()


async def _tell_changes(bus: Bus, outward: OutwardServer) -> None:
    """Tell clients when a server offers other tools than before, or other ones may be called."""
    with bus.subscribe("mcp doors", _FACTS_BUFFERED) as facts:
        async for envelope in facts:
            if isinstance(envelope.event, LinkChanged | PolicyLoaded):
                await outward.tell_tools_changed()


def _page_reader(reader: Reader) -> ReadPage:
    async def read(path: Path, name: str, media_type: str | None) -> PageText:
        parsed = await reader.read(path, name, media_type)
        if isinstance(parsed, DocumentFault):
            raise RequestInvalid(Fault(code="invalid_request", message=parsed.message))
        return PageText(text=parsed.text, title=parsed.title, notes=parsed.notes)

    return read


def _teller(bus: Bus) -> Callable[[ReachFact, TenantId, RunId | None], None]:
    causes = Causes()

    def tell(told: ReachFact, tenant: TenantId, run: RunId | None) -> None:
        fact = cast("ToolFact", told)  # all there are
        envelope = bus.publish(fact, run_id=run, cause=causes.find(fact), tenant=tenant)
        causes.note(fact, envelope.seq)

    return tell
