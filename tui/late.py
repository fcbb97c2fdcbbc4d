"""A source that is built when it is first asked: the first frame does not wait for an HTTP library."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

import anyio.to_thread

from runtime.core.ids import ModelId
from runtime.core.messages import Message
from runtime.core.states import ModelState, ServerState
from tui.agents import RunHappening
from tui.calls import Call
from tui.ports import ChatPiece, FeedItem, LinkLost, Source

T = TypeVar("T")


class LateSource:
    """Fulfils `tui.ports.Source` with an `HttpSource` that it imports in a thread."""

    def __init__(self, base_url: str, key: str | None) -> None:
        self._base_url = base_url
        self._key = key
        self._source: Source | None = None

    async def state(self) -> ServerState:
        """Return the server's state now. Raises Refused."""
        return await (await self._ready()).state()

    async def events(self, after: int | None) -> AsyncGenerator[FeedItem, None]:
        """Follow the server for ever."""
        source = await self._ready()
        async with aclosing(source.events(after)) as items:
            async for item in items:
                yield item

    async def chat(self, messages: Sequence[Message], model: ModelId) -> AsyncGenerator[ChatPiece, None]:
        """Ask for an answer."""
        source = await self._ready()
        async with aclosing(source.chat(messages, model)) as pieces:
            async for piece in pieces:
                yield piece

    async def follow(self, run: str) -> AsyncGenerator[tuple[int, RunHappening] | LinkLost, None]:
        """Follow a run to its end."""
        source = await self._ready()
        async with aclosing(source.follow(run)) as happenings:
            async for each in happenings:
                yield each

    async def install(self, model: ModelId) -> ModelState:
        """Begin to install a model. Raises Refused."""
        return await (await self._ready()).install(model)

    async def unload(self, model: ModelId) -> None:
        """Free a resident model. Raises Refused."""
        await (await self._ready()).unload(model)

    async def ask(self, call: Call[T]) -> T:
        """Make one of the requests of `tui.calls`. Raises Refused."""
        return await (await self._ready()).ask(call)

    async def aclose(self) -> None:
        """Close what was opened."""
        if self._source is not None:
            await self._source.aclose()

    async def _ready(self) -> Source:
        if self._source is None:
            # A bounded wait: it ends when a module is read from the disk.
            built = await anyio.to_thread.run_sync(_build, self._base_url, self._key)
            return self._keep(built)
        return self._source

    def _keep(self, built: Source) -> Source:
        # Two may ask at once. The one that comes second drops what it built: nothing is open in it yet.
        if self._source is None:
            self._source = built
        return self._source


def _build(base_url: str, key: str | None) -> Source:
    # The one lazy import of aiohttp: it takes about as long as everything else before the first frame.
    from tui.source import HttpSource

    return HttpSource(base_url, key)
