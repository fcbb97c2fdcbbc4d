"""What the routes of responses work with beside runs, given once by the composition root."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from runtime.api.errors import Refusal, Refused
from runtime.api.responses.files_in import ReadText
from runtime.api.responses.prompts import Prompts
from runtime.api.responses.sealing import Sealer
from runtime.api.responses.stored import ItemPlaces
from runtime.api.responses.tools_in import HostedWish
from runtime.core.agents.items import AnyItem
from runtime.core.agents.lending import Lease
from runtime.core.agents.plans import PlannedTool
from runtime.core.agents.ports import Lent
from runtime.core.fetching import Fetcher
from runtime.core.gate.principals import Principal
from runtime.core.ids import RunId, TenantId


@dataclass(frozen=True, kw_only=True, slots=True)
class Hosted:
    """Tools that Lar carries out, as a request may use them."""

    resolved: Mapping[int, Sequence[PlannedTool]] = field(default_factory=dict)
    """By the place of each wish."""
    lease: Lease | None = None
    """Servers that came with the request: kept for its run, or given back."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why servers could not list their tools, by label."""
    added: tuple[AnyItem, ...] = ()
    """Lists of servers' tools that the asker has not seen yet."""

    @property
    def loan(self) -> Lent | None:
        """The servers that came with the request."""
        return None if self.lease is None else self.lease.lent

    def keep(self, tenant: TenantId, run: RunId) -> None:
        """Keep the servers until a run has ended."""
        if self.lease is not None:
            self.lease.keep(tenant, run)

    def give_back(self) -> None:
        """Let the servers go that no run keeps."""
        if self.lease is not None:
            self.lease.give_back()


class Hosting(Protocol):
    """Resolves the tools of a request that Lar carries out."""

    async def resolve(
        self,
        principal: Principal,
        wishes: Sequence[HostedWish],
        context: Sequence[AnyItem],
        taken: Collection[str] = (),
    ) -> Hosted:
        """Return what the wishes come to; `context` may hold lists of tools, `taken` are names of others.

        Whoever gets a lease keeps it for a run or gives it back. Raises LarError, Refused.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class ResponseParts:
    """Parts of the Responses API."""

    sealer: Sealer
    places: ItemPlaces = field(default_factory=ItemPlaces)
    prompts: Prompts | None = None
    hosting: Hosting | None = None
    """None: tools that Lar carries out are refused."""
    read_text: ReadText | None = None
    """None: documents within requests are refused, except plain text."""
    fetcher: Fetcher | None = None
    """None: links to documents are refused."""


RESPONSES = web.AppKey("responses", ResponseParts)


def parts_of(request: web.Request) -> ResponseParts:
    """Return the parts. Raises Refused where the server was started without them."""
    parts = request.app.get(RESPONSES)
    if parts is None:
        message = "This server was started without the Responses API."
        raise Refused(Refusal(status=503, type="server_error", code="agents_off", message=message))
    return parts
