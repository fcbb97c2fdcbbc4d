"""How a response is followed: as a stream of events, or until it is whole.

No header is sent before a run was accepted, so what fails until then is a plain HTTP error. A reader who
leaves closes its follower, which ends a run that nobody else follows unless it is in the background.
"""

from collections.abc import AsyncIterator, Mapping

import anyio
import msgspec
from aiohttp import web

from runtime.api.errors import Refused, refusal_of, run_cancelled
from runtime.api.events import OPEN_STREAMS
from runtime.api.responses.errors import in_words_of_responses
from runtime.api.responses.events import NO_REASON, Face, StreamFold, error_event
from runtime.api.responses.item_events import Event
from runtime.api.runs import send_last
from runtime.api.sse import SseStream
from runtime.api.stream import ReaderGone
from runtime.core.agents.happenings import (
    AnyHappening,
    ItemBegan,
    ItemEnded,
    RunOver,
    StatusChanged,
    TurnClosed,
)
from runtime.core.agents.items import AnyItem, Called, Listed
from runtime.core.agents.ports import Numbered, RunFollower
from runtime.core.agents.steps import RunRecord
from runtime.core.errors import Fault

_DONE = b"[DONE]"
_STOPPING = Fault(
    code="shutting_down",
    message="The server is stopping. A response in the background can be followed again once it is back.",
    retry_after_s=5.0,
)


class Reading:
    """One reader of a response."""

    def __init__(self, follower: RunFollower, face: Face) -> None:
        self._happenings: AsyncIterator[Numbered] = aiter(follower)
        self._fold = StreamFold(face)
        self._held: list[Event] = []
        self._ended: dict[int, tuple[AnyItem, ...]] = {}
        self._calls: set[int] = set()
        self.is_between_turns = False
        """Whether every call that Lar carries out has just got its result."""
        self.record: RunRecord | None = None
        """Of the run, once it has ended."""

    @property
    def output(self) -> list[dict[str, object]]:
        """The items that have ended, as they are shown."""
        return self._fold.output

    @property
    def items(self) -> list[AnyItem]:
        """The items that have ended, calls with their results, as a model hears of them."""
        return [item for place in sorted(self._ended) for item in self._ended[place]]

    @property
    def is_over(self) -> bool:
        """Whether every event was returned."""
        return self.record is not None and not self._held

    async def accepted(self) -> None:
        """Wait until a model has taken the run or it gave something. Raises Refused where it never did."""
        while True:
            happening = await self._receive()
            self._held += self._fold.take(happening)
            if not _is_preparation(happening):
                break
        if self.record is not None:
            check_began(self.record, self.output)

    async def next(self) -> list[Event]:
        """Return the events that come next, perhaps none. Raises Refused where the server stops."""
        if self._held:
            events, self._held = self._held, []
            return events

        return self._fold.take(await self._receive())

    async def whole(self) -> RunRecord:
        """Wait for the end. Raises Refused."""
        while self.record is None:
            self._fold.take(await self._receive())
        return self.record

    async def _receive(self) -> AnyHappening:
        try:
            happening = (await anext(self._happenings)).happening
        except StopAsyncIteration:
            raise Refused(refusal_of(_STOPPING)) from None

        self.is_between_turns = False
        match happening:
            case RunOver(record=record):
                self.record = record
            case ItemBegan(place=place, item=Called(by_client=False)):
                self._calls.add(place)
            case ItemEnded(place=place, item=item, result=result):
                self._ended[place] = (item,) if result is None else (item, result)
                self._calls.discard(place)
                self.is_between_turns = result is not None and not self._calls
            case _:
                pass
        return happening


def check_began(record: RunRecord, output: list[dict[str, object]]) -> None:
    """Refuse what failed or was stopped before it gave anything. Raises Refused."""
    if output:
        return

    if record.status == "failed":
        raise Refused(in_words_of_responses(refusal_of(record.fault or NO_REASON)))
    if record.status == "cancelled":
        raise Refused(run_cancelled())


async def answer_stream(
    request: web.Request,
    reading: Reading,
    *,
    after: int = -1,
    is_endless: bool = False,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Send the events whose number is greater than `after`, then [DONE].

    A stream that may wait for long (`is_endless`) ends when the server is to stop, without [DONE].
    """
    stream = SseStream(request)
    stream.response.headers.update(headers or {})
    try:
        with anyio.CancelScope() as scope, request.app[OPEN_STREAMS].hold(_Ending(scope, is_endless)):
            await stream.open()
            while not reading.is_over:
                for event in await stream.next_or_comment(reading.next):
                    if event["sequence_number"] > after:
                        await send_event(stream, event)
            await stream.send(_DONE)
        if scope.cancelled_caught:
            stream.end_connection()
    except Refused as refused:
        event = error_event(refused.refusal)
        await send_last(stream, msgspec.json.encode(event), "error")
    except ReaderGone:
        stream.end_connection()
    return stream.response


async def send_event(stream: SseStream, event: Event) -> None:
    """Send one event. Raises ReaderGone."""
    await stream.send(msgspec.json.encode(event), event=event["type"])


class _Ending:
    """Ends a stream when the server stops."""

    def __init__(self, scope: anyio.CancelScope, is_endless: bool) -> None:
        self._scope = scope
        self._is_endless = is_endless

    def close(self) -> None:
        """End it now, unless it ends by itself."""
        if self._is_endless:
            self._scope.cancel()


def _is_preparation(happening: AnyHappening) -> bool:
    """Whether it comes before a model was asked at all."""
    match happening:
        case StatusChanged() | TurnClosed():  # a turn may break before a model takes it
            return True
        case ItemBegan(item=item) | ItemEnded(item=item):
            return isinstance(item, Listed)
        case _:
            return False
