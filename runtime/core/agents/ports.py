"""What agents need of the outside, and what the faces may ask of agents, as ports.

Every call names the tenant that owns what is touched; what belongs to another tenant does not exist for it.
Calls raise NotFound, Conflict, RequestInvalid, StoreFull, StoreDamaged.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

import msgspec

from runtime.core.agents.happenings import AnyHappening
from runtime.core.agents.items import Answered, AnyItem, Called
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.steps import AnyStep, RunRecord, RunStatus
from runtime.core.gate.principals import Principal
from runtime.core.ids import RunId, TenantId
from runtime.core.tools import Caller, Tool

MoveOn = Callable[[str, float, float | None], None]
"""Tells how far a call is: a message, so much done, of how much."""


class Numbered(NamedTuple):
    """A happening with its place in the run's stream, from 0."""

    number: int
    happening: AnyHappening


class RunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are wanted, by creation."""

    agent: str | None = None
    session: str | None = None
    parent: RunId | None = None
    statuses: tuple[RunStatus, ...] = ()
    labels: dict[str, str] = {}
    after: RunId | None = None
    limit: int = 50
    is_newest_first: bool = True


class RunStore(Protocol):
    """Runs and their steps, durable."""

    async def open(self, record: RunRecord, steps: Sequence[AnyStep]) -> None:
        """Store a new run. Raises Conflict where the id is taken."""

    async def append(self, record: RunRecord, first: int, steps: Sequence[AnyStep]) -> None:
        """Store steps as numbers `first`, `first` + 1, … and the record as it is after them, in one commit.

        Returns once it survives a crash. Raises Conflict where such a step exists: somebody else writes.
        """

    async def find(self, tenant: TenantId, run: RunId) -> RunRecord:
        """Return one run. Raises NotFound."""

    async def steps(self, tenant: TenantId, run: RunId) -> list[AnyStep]:
        """Return all steps in order. Raises NotFound."""

    async def list_runs(self, tenant: TenantId, query: RunQuery) -> list[RunRecord]:
        """Return runs."""

    async def runs_naming(self, tenant: TenantId, item: str) -> list[RunId]:
        """Return the first few runs whose steps name an item, the oldest first; not all need to hold it."""

    async def unfinished(self) -> list[RunRecord]:
        """Return the runs of all tenants that have no end."""

    async def remove(self, tenant: TenantId, run: RunId) -> None:
        """Forget a run that has ended, with its steps and happenings. Raises NotFound, Conflict."""

    async def note_happenings(self, run: RunId, happenings: Sequence[Numbered]) -> None:
        """Store what readers of a background run are about to see."""

    async def happenings(self, run: RunId, first: int = 0) -> list[Numbered]:
        """Return stored happenings from a number on."""

    async def forget_before(self, at: float) -> int:
        """Remove ended runs that are older than this (and all their children); return how many."""


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation: a history that runs continue."""

    id: str
    """`conv_…`."""
    tenant: TenantId
    created_at: float
    metadata: dict[str, str] = {}
    agent: str | None = None
    title: str = ""
    items: int = 0


class SessionItem(NamedTuple):
    """An item with its place in the session."""

    place: int
    item: AnyItem


class Sessions(Protocol):
    """Conversations, durable. Runs that end append what was asked and what came."""

    async def create(self, session: Session, items: Sequence[AnyItem] = ()) -> Session:
        """Store a new one. Raises Conflict."""

    async def find(self, tenant: TenantId, session: str) -> Session:
        """Return one. Raises NotFound."""

    async def list_sessions(
        self, tenant: TenantId, *, agent: str | None = None, after: str | None = None, limit: int = 50
    ) -> list[Session]:
        """Return sessions, the newest first."""

    async def change(self, tenant: TenantId, session: str, metadata: dict[str, str]) -> Session:
        """Set its metadata. Raises NotFound."""

    async def remove(self, tenant: TenantId, session: str) -> None:
        """Forget it with its items; runs stay. Raises NotFound."""

    async def add(self, tenant: TenantId, session: str, items: Sequence[AnyItem]) -> list[SessionItem]:
        """Append items; those whose id is there already are left alone. Raises NotFound."""

    async def items(
        self,
        tenant: TenantId,
        session: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        is_newest_first: bool = False,
    ) -> list[SessionItem]:
        """Return its items; `after` is an item's id. Raises NotFound."""

    async def item(self, tenant: TenantId, session: str, item: str) -> AnyItem:
        """Return one item. Raises NotFound."""

    async def remove_item(self, tenant: TenantId, session: str, item: str) -> None:
        """Remove one item. Raises NotFound."""


class Records(Protocol):
    """Small durable things, by kind and id: batches, stored chats, marks of triggers, templates."""

    async def put(
        self, tenant: TenantId, kind: str, key: str, body: bytes, *, only_new: bool = False
    ) -> None:
        """Store or replace. Raises Conflict where `only_new` and it exists."""

    async def get(self, tenant: TenantId, kind: str, key: str) -> bytes | None:
        """Return it, None where it is not."""

    async def list_records(
        self,
        tenant: TenantId | None,
        kind: str,
        *,
        after: str | None = None,
        limit: int = 100,
        is_newest_first: bool = False,
    ) -> list[tuple[TenantId, str, bytes]]:
        """Return tenant, key and body by key; all tenants where none is named."""

    async def remove(self, tenant: TenantId, kind: str, key: str) -> bool:
        """Remove it; say whether it was there."""


class SecretBox(Protocol):
    """Seals secrets before they are stored; the key lies where the store does not."""

    async def seal(self, secret: str) -> str:
        """Return the secret so that only this home's key opens it. Raises SecretsLocked."""

    async def open(self, stored: str) -> str:
        """Return the secret; what was stored before secrets were sealed comes as it is.

        Raises SecretsLocked.
        """

    def is_sealed(self, stored: str) -> bool:
        """Say whether it was sealed."""


class Lent(NamedTuple):
    """Servers that come with a request, for the time of a run."""

    definitions: Mapping[str, dict[str, Any]]
    """By label, as mcp.json writes them; secrets included, never stored but sealed (`loans`)."""
    owner: Principal | None = None
    """Who alone may use them; None: they are an agent's, and there like all others."""


class ToolSource(Protocol):
    """Where the tools of a run come from and how they are called: the hub, opened at the first use."""

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        """Return what the caller may call or ask for."""

    def lend(self, lent: Lent, origin: str) -> AbstractAsyncContextManager[Mapping[str, str]]:
        """Keep servers while the context lasts; yields their names in the hub by label.

        Raises RequestInvalid.
        """

    async def call(
        self, caller: Caller, call: Called, tool: PlannedTool, wait_s: float, move: MoveOn
    ) -> Answered:
        """Call a tool. Whatever goes wrong is a result; `code` asked names the approval in `extra`."""


class HostedTool(Protocol):
    """A tool that Lar itself carries out inside a run: file_search, web_search and the like."""

    async def call(self, caller: Caller, call: Called, tool: PlannedTool, move: MoveOn) -> Answered:
        """Carry the call out. Whatever goes wrong is a result."""


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run to be started."""

    plan: Plan
    input: tuple[AnyItem, ...]
    context: tuple[AnyItem, ...] = ()
    session: str | None = None
    previous: RunId | None = None
    parent: RunId | None = None
    parent_call: str | None = None
    trigger: str = "api"
    is_background: bool = False
    """It goes on when nobody follows it and after a restart; its happenings are kept for readers to come."""
    is_stored: bool = True
    added: tuple[AnyItem, ...] = ()
    """Items that come first in the output, such as lists of servers' tools."""
    loan: Lent | None = None
    """Servers that are lent for it already: of a background run they are kept sealed, for a restart."""


class RunFollower(Protocol):
    """One reader of a live run."""

    @property
    def run(self) -> RunId:
        """The run."""

    def __aiter__(self) -> AsyncIterator[Numbered]:
        """Yield what happens, the last of it RunOver."""

    def aclose(self) -> None:
        """Leave; a run that is not in the background and has no reader left is cancelled."""


class AgentRuns(Protocol):
    """Runs of agents and of the Responses API: one way for every face."""

    async def start(self, new: NewRun, lent: Lent | None = None) -> RunFollower:
        """Store and begin a run; the reader was there first. Raises LarError."""

    async def follow(self, tenant: TenantId, run: RunId, first: int = 0) -> RunFollower:
        """Read a run from a number on: what is stored, then what happens.

        Raises NotFound, Conflict where nothing of it was kept.
        """

    async def find(self, tenant: TenantId, run: RunId) -> RunRecord:
        """Return a run as it is now. Raises NotFound."""

    async def steps(self, tenant: TenantId, run: RunId) -> list[AnyStep]:
        """Return its steps. Raises NotFound."""

    async def list_runs(self, tenant: TenantId, query: RunQuery) -> list[RunRecord]:
        """Return runs."""

    async def runs_naming(self, tenant: TenantId, item: str) -> list[RunId]:
        """Return the first few runs whose steps name an item, the oldest first; not all need to hold it."""

    async def steer(self, tenant: TenantId, run: RunId, items: Sequence[AnyItem]) -> None:
        """Add to what was asked. Raises NotFound, Conflict where it has ended."""

    async def cancel(self, tenant: TenantId, run: RunId, reason: str) -> RunRecord:
        """Stop it; returns once it has ended, at once if it had. Raises NotFound."""

    async def wait(self, tenant: TenantId, run: RunId, limit_s: float) -> RunRecord:
        """Wait for its end that long; return it as it is then. Raises NotFound."""

    async def until_over(self, tenant: TenantId, run: RunId) -> None:
        """Return once it lives here no more: it has ended, or is left to a later server."""

    async def fork(
        self, tenant: TenantId, run: RunId, after_step: int, edits: Sequence[AnyItem], by: Principal
    ) -> RunRecord:
        """Begin a run that takes over the first steps and goes on differently. Raises NotFound, Conflict."""

    async def replay(self, tenant: TenantId, run: RunId) -> "Replayed":
        """Let the machine live the run again on what was recorded. Raises NotFound."""

    async def remove(self, tenant: TenantId, run: RunId) -> None:
        """Forget an ended run. Raises NotFound, Conflict."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay came to."""

    steps: int
    is_same: bool
    """Whether the same inputs led to the same steps."""
    first_difference: int | None = None
    told: str = ""
    """What is different there."""
