"""The words between a link and whoever holds it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import mcp.types as wire
from mcp import Client

from runtime.core.tools import Progressed

MakeTarget = Callable[[Callable[[], None]], Awaitable[Any]]
"""Given what to call at the connection's end, returns what the SDK's client connects to; each time a new one.
Raises ConfigInvalid, VariableMissing."""
Use = Callable[[Client], Awaitable[Any]]
LinkStatus = Literal["idle", "connecting", "ready", "failed"]


class LinkFailed(Exception):
    """The server did not do what was asked; the message says why, for a model or a person."""

    def __init__(self, code: Literal["unreachable", "timeout", "too_large", "refused"], message: str) -> None:
        super().__init__(message)
        self.code = code
        """refused: the server itself has said no."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkCall:
    """One call of a tool."""

    tool: str
    arguments: dict[str, Any]
    limit_s: float
    is_repeatable: bool = False
    """Whether it does no harm if the tool runs twice."""
    progressed: Progressed | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkLimits:
    """What one server may take."""

    connect_s: float = 20.0
    concurrency: int = 8
    backoff_s: tuple[float, float] = (0.5, 30.0)
    """Between attempts to connect: at first and at most."""


class LinkListener(Protocol):
    """Whoever is told what becomes of a link."""

    async def link_opened(self, protocol: str, tools: Sequence[wire.Tool]) -> None:
        """Take note that the server is connected and offers this."""

    async def tools_changed(self, tools: Sequence[wire.Tool]) -> None:
        """Take note that it offers something else from now on."""

    async def link_lost(self, message: str) -> None:
        """Take note that the connection broke, or could not be made."""

    async def link_closed(self) -> None:
        """Take note that the connection was given up on purpose."""
