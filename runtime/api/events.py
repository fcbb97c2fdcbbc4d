"""GET /api/events: what happened and what happens, as one stream without gaps or repetitions.

after                                            now
  │ journal pages ──────► │ the bus's memory ──► │ live, from a subscription that was there first
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import anyio
import msgspec
from aiohttp import web

from runtime.api.bodies import nearest
from runtime.api.deps import DEPS, ApiDeps
from runtime.api.errors import Refused, invalid
from runtime.api.sse import SseStream
from runtime.api.stream import ReaderGone
from runtime.core.bus import Bus
from runtime.core.events import KINDS, BusLagged, Envelope
from runtime.core.ids import RunId
from runtime.core.ports import EventQuery, Journal

SUBSCRIPTION_CAPACITY = 4096
"""Facts that may wait for a slow reader; what it misses beyond is read again from memory and journal."""
PAGE = 500
"""Facts read from the journal at once."""
_SEQ_LIMIT = 2**63
_GROUPS = frozenset(f"{kind.partition('.')[0]}.*" for kind in KINDS)
_PARAMETERS = frozenset({"after", "last", "kinds", "run_id", "follow"})
_LAST_LIMIT = 100_000
"""How many facts of the past `last` may ask for at once."""
_SETTLE_LIMIT_S = 2.0
"""How long a reader that does not follow waits for the newest facts to be stored."""

Send = Callable[[Envelope], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What the reader asked for."""

    after: int | None
    """Only facts with a greater seq; None: what happens from now on (all that is stored, if not follow)."""
    kinds: frozenset[str]
    run_id: RunId | None
    follow: bool
    last: int | None = None
    """Without `after`: begin this many stored facts back, before they are narrowed."""

    def is_met_by(self, envelope: Envelope) -> bool:
        """Whether the reader wants this fact."""
        if self.run_id is not None and envelope.run_id != self.run_id:
            return False

        kind = envelope.kind
        return not self.kinds or kind in self.kinds or f"{kind.partition('.')[0]}.*" in self.kinds


class History:
    """A reader's way from a seq in the past to the present; `position` is the last seq that it passed."""

    def __init__(self, bus: Bus, journal: Journal, wish: Wish, position: int) -> None:
        self._bus = bus
        self._journal = journal
        self._wish = wish
        self.position = position

    async def catch_up(self, send: Send) -> None:
        """Send the wished facts between the position and the present."""
        while True:
            recent, complete_from = self._bus.recent(self.position)
            if self.position + 1 >= complete_from:
                break

            page = await self._journal.read(
                EventQuery(after=self.position, kinds=self._wish.kinds, run_id=self._wish.run_id, limit=PAGE)
            )
            for envelope in page:
                if envelope.seq < complete_from:
                    await self._pass(envelope, send)
            if len(page) < PAGE or page[-1].seq >= complete_from:
                # The journal has no more below the memory, which may have moved on meanwhile: look again.
                self.position = max(self.position, complete_from - 1)

        for envelope in recent:
            await self._pass(envelope, send)

    async def go_on(self, envelope: Envelope, send: Send) -> None:
        """Send what the subscription gave; what it had to drop is read again from memory and journal."""
        if isinstance(envelope.event, BusLagged):
            await self.catch_up(send)
        else:
            await self._pass(envelope, send)

    async def _pass(self, envelope: Envelope, send: Send) -> None:
        """Move on to the fact; send it if it is new and wished."""
        if envelope.seq <= self.position:
            return

        self.position = envelope.seq
        if self._wish.is_met_by(envelope):
            await send(envelope)


class Closable(Protocol):
    """What stands behind an open stream."""

    def close(self) -> None:
        """Let the stream come to its end."""


class OpenStreams:
    """The streams that are open; they would never end by themselves, so a stop ends them."""

    def __init__(self) -> None:
        self._open: set[Closable] = set()
        self._is_closed = False

    @contextmanager
    def hold(self, stream: Closable) -> Iterator[None]:
        """Count the stream as open."""
        self._open.add(stream)
        if self._is_closed:
            stream.close()
        try:
            yield
        finally:
            self._open.discard(stream)

    def close(self) -> None:
        """End every stream once it has sent what it holds, and those that come later at once."""
        self._is_closed = True
        for stream in list(self._open):
            stream.close()


OPEN_STREAMS = web.AppKey("open_streams", OpenStreams)


async def get_events(request: web.Request) -> web.StreamResponse:
    """Stream facts as server-sent events."""
    deps = request.app[DEPS]
    wish = parse_wish(request)
    start = await _start_of(deps, wish)
    if not wish.follow:
        # Who reads once reads what is stored; where the disk refuses, health tells, and memory answers.
        with anyio.move_on_after(_SETTLE_LIMIT_S):
            await deps.journal.settle(deps.bus.last_seq)
    history = History(deps.bus, deps.journal, wish, min(start, deps.bus.last_seq))
    stream = SseStream(request)

    async def send(envelope: Envelope) -> None:
        await stream.send(msgspec.json.encode(envelope), event=envelope.kind, seq=envelope.seq)

    with deps.bus.subscribe("events", SUBSCRIPTION_CAPACITY) as facts, request.app[OPEN_STREAMS].hold(facts):
        try:
            await stream.open()
            await history.catch_up(send)
            while wish.follow:
                envelope = await stream.next_or_comment(lambda: anext(facts, None))
                if envelope is None:
                    break
                await history.go_on(envelope, send)
        except ReaderGone:
            stream.end_connection()
    return stream.response


async def _start_of(deps: ApiDeps, wish: Wish) -> int:
    """Return the seq after which the reader's stream begins."""
    if wish.after is not None:
        return wish.after

    if wish.last is not None:
        return await deps.journal.seq_before_newest(wish.last)

    return deps.bus.last_seq if wish.follow else 0


def parse_wish(request: web.Request) -> Wish:
    """Read the query and Last-Event-ID. Raises Refused, naming the field."""
    query = request.query
    for name in query:
        if name not in _PARAMETERS:
            meant = nearest(name, _PARAMETERS)
            hint = f" Did you mean '{meant}'?" if meant else ""
            known = ", ".join(sorted(_PARAMETERS))
            raise invalid(
                f"Unknown query parameter '{name[:80]}'.{hint} Known: {known}.",
                name[:80],
                code="unknown_parameter",
            )

    # A browser that reconnects repeats its first URL and adds the header: the header is newer.
    last_seen = request.headers.get("Last-Event-ID")
    after = _seq_of("Last-Event-ID", last_seen) if last_seen else _seq_of("after", query.get("after"))
    run_id = query.get("run_id")
    return Wish(
        after=after,
        kinds=_kinds_of(query.getall("kinds", [])),
        run_id=RunId(run_id) if run_id else None,
        follow=_flag_of("follow", query.get("follow", "true")),
        last=_last_of(query.get("last")),
    )


def _last_of(text: str | None) -> int | None:
    if text is None:
        return None

    if not (text.isascii() and text.isdecimal()) or len(text) > 6 or int(text) > _LAST_LIMIT:
        raise invalid(f"'last' must be a number of events, from 0 to {_LAST_LIMIT}.", "last")
    return int(text)


def _seq_of(name: str, text: str | None) -> int | None:
    if text is None:
        return None

    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) >= _SEQ_LIMIT:
        raise invalid(f"'{name}' must be the seq of an event, an integer from 0.", name)
    return int(text)


def _flag_of(name: str, text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True

    if text.lower() in ("false", "0"):
        return False
    raise invalid(f"'{name}' must be 'true' or 'false'.", name)


def _kinds_of(texts: list[str]) -> frozenset[str]:
    """Accept `kinds=run.*,model.loaded` and repeated parameters alike."""
    kinds = frozenset(each.strip() for text in texts for each in text.split(",") if each.strip())
    for kind in sorted(kinds):
        if kind not in KINDS and kind not in _GROUPS:
            raise _unknown_kind(kind)
    return kinds


def _unknown_kind(kind: str) -> Refused:
    meant = nearest(kind, KINDS | _GROUPS)
    hint = f" Did you mean '{meant}'?" if meant else f" Groups: {', '.join(sorted(_GROUPS))}."
    return invalid(f"'kinds' holds '{kind[:80]}', which no event is.{hint}", "kinds")
