"""What the console asks of a server, and the small structs in which the answers come.

`Source` is the only door to the outside: `tui.source` implements it over HTTP, the tests in memory.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, TypeVar

import msgspec

from runtime.core.events import Envelope
from runtime.core.ids import ModelId, RunId
from runtime.core.messages import Message, Usage
from runtime.core.states import ModelState, ServerState
from tui.agents import RunHappening
from tui.calls import Call

T = TypeVar("T")


class ChatStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The server took the request; `run_id` names it in the events, None where the server did not say."""

    run_id: RunId | None


class ChatText(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the answer."""

    text: str


class ChatReasoning(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of what the model thinks before it answers."""

    text: str


class ChatDone(msgspec.Struct, frozen=True, kw_only=True):
    """The answer is complete; nothing follows."""

    usage: Usage | None
    finish_reason: str
    seconds: float
    """From the request to the end."""


class ChatFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer broke or was refused; nothing follows."""

    code: str
    message: str


ChatPiece = ChatStarted | ChatText | ChatReasoning | ChatDone | ChatFailed


class LinkLost(msgspec.Struct, frozen=True, kw_only=True):
    """The server cannot be reached; the next attempt comes in `retry_s`."""

    reason: str
    attempt: int
    retry_s: float


FeedItem = ServerState | Envelope | LinkLost
"""A ServerState means: connected, this is the truth now. Envelopes follow until a LinkLost."""


class Refused(Exception):
    """The server said no, or could not be asked; `code` and `message` say why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Source(Protocol):
    """A server as the console sees it."""

    async def state(self) -> ServerState:
        """Return the server's state now. Raises Refused."""

    def events(self, after: int | None) -> AsyncGenerator[FeedItem, None]:
        """Follow the server for ever: its state, then facts with a greater seq, across reconnects.

        None means: from a little before now, so that a screen of events is not empty.
        """

    def chat(self, messages: Sequence[Message], model: ModelId) -> AsyncGenerator[ChatPiece, None]:
        """Ask for an answer; ends in ChatDone or ChatFailed. Closing the generator cancels the run."""

    async def install(self, model: ModelId) -> ModelState:
        """Begin to install a model. Raises Refused."""

    async def unload(self, model: ModelId) -> None:
        """Free a resident model. Raises Refused."""

    def follow(self, run: str) -> AsyncGenerator[tuple[int, RunHappening] | LinkLost, None]:
        """Follow a run from its beginning to its end, numbered, across reconnects. Raises Refused."""

    async def ask(self, call: Call[T]) -> T:
        """Make one of the requests of `tui.calls`. Raises Refused."""

    async def aclose(self) -> None:
        """Close what is open."""
