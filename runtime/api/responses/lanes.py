"""One lane of a WebSocket: its responses are made one after the other, and told as they come about."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec

from runtime.api.bodies import decode_body
from runtime.api.errors import Refusal, Refused, headers_of, refusal_of
from runtime.api.responses.body import CreateBody
from runtime.api.responses.errors import in_words_of_responses
from runtime.api.responses.live import Reading
from runtime.api.responses.object import STEERED, response_id
from runtime.api.responses.opening import Memory, Opened, Opener
from runtime.api.responses.steering import Steering
from runtime.api.responses.warming import is_warm_up, warm_up
from runtime.core.errors import LarError

WAITING = 16
"""Requests that may wait in a lane for the one before them."""

Frame = dict[str, Any]


class LaneFull(Exception):
    """More requests wait in a lane than it holds."""


class Lane:
    """Requests of one `stream_id`, in order."""

    def __init__(
        self,
        stream_id: str | None,
        opener: Opener,
        memory: Memory,
        steering: Steering,
        send: Callable[[Frame], Awaitable[None]],
    ) -> None:
        self._stream_id = stream_id
        self._opener = opener
        self._memory = memory
        self._steering = steering
        self._send_frame = send
        self._given, self._taken = anyio.create_memory_object_stream[Frame](WAITING)

    def give(self, asked: Frame) -> None:
        """Let a request wait for its turn. Raises LaneFull."""
        try:
            self._given.send_nowait(asked)
        except anyio.WouldBlock:
            raise LaneFull from None

    async def run(self) -> None:
        """Make responses until the connection ends."""
        with self._given, self._taken:
            async for asked in self._taken:
                response = await self._make(asked)
                while response is not None:
                    successor = {**asked, "previous_response_id": response, "input": []}
                    response = await self._make(successor, is_successor=True)

    async def refuse(self, refusal: Refusal) -> None:
        """Tell that something cannot be done."""
        await self._send(error_frame(refusal))

    async def _make(self, asked: Frame, *, is_successor: bool = False) -> str | None:
        """Make one response; return its id where another one follows from it by itself."""
        previous = asked.get("previous_response_id")
        steered = self._steering.waiting(previous)
        whole = {**asked, "input": [*steered, *_listed(asked.get("input"))]} if steered else asked
        try:
            body = decode_body(msgspec.json.encode(whole), CreateBody)
            if is_warm_up(asked):
                await self._warm_up(body)
                return None

            opened = await self._opener.open(body)
            try:
                return await self._tell(opened, previous)
            finally:
                opened.follower.aclose()
        except Refused as refused:
            refusal = refused.refusal
        except LarError as problem:
            refusal = in_words_of_responses(refusal_of(problem.fault))
        self._memory.forget(previous)
        await self.refuse(refusal)
        if is_successor:
            for event in self._steering.give_back(previous, refusal.message):
                await self._send(event)
        return None

    async def _warm_up(self, body: CreateBody) -> None:
        warmed = await warm_up(self._opener, body)
        self._memory.keep(warmed.run, warmed.conversation)
        for event in warmed.events:
            await self._send(event)

    async def _tell(self, opened: Opened, previous: str | None) -> str | None:
        reading = Reading(opened.follower, opened.face)
        await reading.accepted()
        response = response_id(opened.follower.run)
        self._steering.claim(previous)
        self._steering.begin(response, self._stream_id, can_be_steered=opened.asked.session is None)
        last: Frame = {}
        while not reading.is_over:
            for event in await reading.next():
                last = event
                await self._send(event)
            if reading.is_between_turns and self._steering.is_waited_for(response):
                await self._opener.stop(opened.follower.run, STEERED)
        assert reading.record is not None
        self._memory.keep(opened.follower.run, [*opened.conversation, *reading.items])
        opened.note(reading.items)
        after = self._steering.end(response, last["response"]["status"], reading.output)
        for event in after.events:
            await self._send(event)
        return response if after.has_successor else None

    async def _send(self, event: Frame) -> None:
        await self._send_frame(event if self._stream_id is None else {**event, "stream_id": self._stream_id})


def error_frame(refusal: Refusal) -> Frame:
    """Return the frame that says what cannot be done, as HTTP would."""
    error: Frame = {
        "type": refusal.type,
        "code": refusal.code,
        "message": refusal.message,
        "param": refusal.param,
    }
    if headers := headers_of(refusal):
        error["headers"] = headers
    return {"type": "error", "status": refusal.status, "error": error}


def _listed(given: object) -> list[Any]:
    """Return the input of a request as a list of items."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return given if isinstance(given, list) else []
