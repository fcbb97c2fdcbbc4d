"""One upstream MCP server: connected when it is needed, rebuilt when it breaks, used by many tasks at once.

One task owns the connection, since the SDK's client must be left by the task that entered it; it is stopped
by an event and never cancelled first. Callers wait for the state that they need.

    idle ── wanted ──► connecting ──► ready ── breaks ──┐
                        ▲    └── fails ──► failed        │
                        └── back-off, or somebody waits ─┘
"""

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import mcp.types as wire
from mcp import Client, MCPError
from mcp.shared.dispatcher import ProgressFnT

from runtime.mcp.faults import is_closed, is_unsent, told
from runtime.mcp.link_words import LinkCall, LinkFailed, LinkLimits, LinkListener, LinkStatus, MakeTarget
from runtime.mcp.listing import follow_changes, list_tools
from runtime.mcp.stdio import TOO_LARGE

logger = logging.getLogger(__name__)

_ATTEMPTS_ALONE = 6
"""So often a broken server is tried again while nobody waits for it; with the back-off, half a minute."""
_MIN_GAP_S = 0.2
"""Between attempts, however many wait."""
_STEADY_S = 30.0
"""A connection that lasted so long starts the back-off anew."""
_VERDICT_S = 2.0
"""For the owner to find out why a connection broke: stopping a local server takes about as long."""
_CLOSE_S = 5.0
"""To say goodbye to a remote server; a local one has bounds of its own."""
_T = TypeVar("_T")


class Link:
    """The connection to one server. `run` owns it; everything else may be called from any task."""

    def __init__(
        self,
        name: str,
        make: MakeTarget,
        listener: LinkListener,
        limits: LinkLimits,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.status: LinkStatus = "idle"
        self.fault = ""
        self.protocol = ""
        self.restarts = 0
        self.ended = anyio.Event()
        """Set once `run` has returned."""
        self._make = make
        self._listener = listener
        self._limits = limits
        self._options = options or {}
        self._client: Client | None = None
        self._problem: Exception | None = None
        self._failed_attempts = 0
        self._in_a_row = 0
        self._in_flight = 0
        self._waiting = 0
        self._slots = anyio.Semaphore(limits.concurrency, fast_acquire=True)
        self._connecting: anyio.CancelScope | None = None
        self._is_wanted = False
        self._stopping = anyio.Event()
        self._poked = anyio.Event()
        self._broken = anyio.Event()
        self._changed = anyio.Event()

    @property
    def capabilities(self) -> wire.ServerCapabilities:
        """What the server says it can; nothing while it is not connected."""
        return wire.ServerCapabilities() if self._client is None else self._client.server_capabilities

    def stop(self) -> None:
        """Let `run` close the connection and return."""
        self._stopping.set()
        self._broken.set()
        self._poked.set()
        if self._connecting is not None:
            self._connecting.cancel()
        self._changed.set()

    def want(self) -> None:
        """Have the owner connect now, without waiting for it."""
        self._is_wanted = True
        self._poked.set()

    async def renew(self) -> None:
        """Connect anew. Raises LinkFailed where that fails."""
        if self._client is not None:
            self._client = None
            self._is_wanted = True
            self._broken.set()
        await self.connected()

    async def run(self) -> None:
        """Own the connection until `stop`."""
        try:
            await self._pause(math.inf)
            while not self._stopping.is_set():
                await self._live()
                with anyio.move_on_after(_MIN_GAP_S):
                    await self._stopping.wait()
                await self._pause(self._backoff_s())
        finally:
            self._move("idle")
            self.ended.set()

    async def connected(self) -> Client:
        """Return the client, connecting if need be. Raises LinkFailed after a failed attempt."""
        failed_before = self._failed_attempts
        self._waiting += 1
        try:
            while self._client is None:
                if self._stopping.is_set():
                    raise LinkFailed("unreachable", f"The server '{self.name}' is being stopped.")
                if self._failed_attempts != failed_before:
                    raise LinkFailed(
                        "unreachable", f"The server '{self.name}' cannot be reached: {self.fault}."
                    )
                self._poked.set()
                await self._changed.wait()
            return self._client
        finally:
            self._waiting -= 1

    async def call(self, call: LinkCall) -> wire.CallToolResult:
        """Call a tool; cancelling it cancels the tool. Raises LinkFailed."""

        async def send(client: Client) -> wire.CallToolResult:
            return await client.call_tool(call.tool, call.arguments, progress_callback=_progress(call))

        return await self.use(send, limit_s=call.limit_s, is_repeatable=call.is_repeatable)

    async def use(
        self, send: Callable[[Client], Awaitable[_T]], *, limit_s: float, is_repeatable: bool = True
    ) -> _T:
        """Ask the server something. Raises LinkFailed."""
        try:
            with anyio.fail_after(limit_s):
                async with self._slots:
                    return await self._send(send, is_repeatable=is_repeatable)
        except TimeoutError as problem:
            raise LinkFailed(
                "timeout", f"The server '{self.name}' did not answer within {limit_s:g} s."
            ) from problem

    async def _send(self, send: Callable[[Client], Awaitable[_T]], *, is_repeatable: bool) -> _T:
        is_second = False
        while True:
            client = await self.connected()
            self._in_flight += 1
            was_alone = self._in_flight == 1
            try:
                return await send(client)
            except Exception as problem:  # the border of the tool call: the SDK's errors have no common base
                if not is_closed(problem):
                    raise self._refusal(problem) from problem
                await self._lose(client)
                never_ran = "Session not found" in str(problem) or (was_alone and is_unsent(self._problem))
                if is_second or not (is_repeatable or never_ran):
                    raise self._broke() from problem
                is_second = True
            finally:
                self._in_flight -= 1

    async def _live(self) -> None:
        """Connect, and stay connected until something ends it."""
        self._is_wanted = False
        self._broken = broken = anyio.Event()
        self._move("connecting")
        ready_at: float | None = None
        problem: Exception | None = None
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._limits.connect_s) as scope:
                self._connecting = scope
                async with Client(await self._make(broken.set), cache=None, **self._options) as client:
                    tools = await list_tools(client)
                    self._connecting, scope.deadline = None, math.inf
                    self.protocol = client.protocol_version
                    await self._listener.link_opened(self.protocol, tools)
                    ready_at = anyio.current_time()
                    await self._stay(client, broken)
                    scope.deadline = anyio.current_time() + _CLOSE_S
            if ready_at is None:
                problem = TimeoutError(f"it did not answer within {self._limits.connect_s:g} s")
        except Exception as error:  # noqa: BLE001 - the border of the supervisor: whatever broke becomes a state
            problem = error
        finally:
            self._client = self._connecting = None
        await self._leave(problem, ready_at)

    async def _stay(self, client: Client, broken: anyio.Event) -> None:
        self._problem, self.fault = None, ""
        self._client = client
        self._move("ready")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow_changes, client, self._listener.tools_changed, self._options)
            await broken.wait()
            self._client = None
            tasks.cancel_scope.cancel()

    async def _leave(self, problem: Exception | None, ready_at: float | None) -> None:
        """Tell what has become of the connection."""
        if self._stopping.is_set():
            if ready_at is not None:
                await self._listener.link_closed()
            return

        self._problem = problem
        self.fault = told(problem) if problem else "the connection has ended"
        is_steady = ready_at is not None and anyio.current_time() - ready_at > _STEADY_S
        self._in_a_row = 0 if is_steady else self._in_a_row + 1
        if ready_at is None:
            self._failed_attempts += 1
        else:
            self.restarts += 1
        logger.warning("an MCP server is lost", extra={"server": self.name, "reason": self.fault})
        await self._listener.link_lost(self.fault)
        self._move("failed" if ready_at is None else "idle")

    def _backoff_s(self) -> float:
        first, most = self._limits.backoff_s
        if self._in_a_row > _ATTEMPTS_ALONE:
            return math.inf
        return min(first * 2.0 ** max(self._in_a_row - 1, 0), most)

    async def _pause(self, limit_s: float) -> None:
        """Wait before the next attempt; whoever waits for the server cuts it short."""
        with anyio.move_on_after(limit_s):
            while not (self._waiting or self._is_wanted or self._stopping.is_set()):
                self._poked = anyio.Event()
                await self._poked.wait()

    async def _lose(self, client: Client) -> None:
        """Have the owner rebuild the connection that somebody found dead, and wait for its verdict."""
        if self._client is client:
            self._client = None
            self._broken.set()
        if self.status == "ready":
            with anyio.move_on_after(_VERDICT_S):
                await self._changed.wait()

    def _move(self, status: LinkStatus) -> None:
        self.status = status
        self._changed.set()
        self._changed = anyio.Event()

    def _broke(self) -> LinkFailed:
        return LinkFailed(
            "unreachable",
            f"The connection to the server '{self.name}' broke during the call ({self.fault or 'closed'}). "
            "It is not known whether the tool has run; check before you call it again.",
        )

    def _refusal(self, problem: Exception) -> LinkFailed:
        if isinstance(problem, MCPError):
            if problem.code == TOO_LARGE:
                return LinkFailed("too_large", f"The server '{self.name}' answered too much: {problem}.")
            return LinkFailed("refused", f"The server '{self.name}' refused: {problem}")
        return LinkFailed(
            "refused", f"The server '{self.name}' answered with what is no valid result: {told(problem)}"
        )


def _progress(call: LinkCall) -> ProgressFnT | None:
    progressed = call.progressed
    if progressed is None:
        return None

    async def report(progress: float, total: float | None, message: str | None) -> None:
        await progressed(progress, total, message or "")

    return report
