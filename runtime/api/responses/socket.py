"""WebSocket on /v1/responses: many responses over one connection, each told as it would be over HTTP.

    frame response.create ──► lane (`stream_id`) ──► one response after the other, lanes side by side
    frame response.steer  ──► the response that it names

The connection remembers what it made, stored or not, so that the next request can go on from there. What a
frame does wrong is an error frame, and the connection stays. Who leaves ends what is being made.
"""

import re
from typing import Any

import anyio
import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from anyio.abc import TaskGroup

from runtime.api.deps import DEPS
from runtime.api.errors import Refusal, Refused, invalid
from runtime.api.events import OPEN_STREAMS
from runtime.api.responses.lanes import Frame, Lane, LaneFull, error_frame
from runtime.api.responses.opening import Memory, opener_of
from runtime.api.responses.steering import Steering
from runtime.api.stream import ReaderGone

LIMIT_S = 3600.0
"""How long a connection may last, as OpenAI's do."""
HEARTBEAT_S = 30.0
"""How often a connection is asked whether it lives: below the idle limits of common proxies."""
WRITE_STALL_S = 60.0
"""How long one frame may wait for the reader to make room."""
LANES = 32
"""Lanes of one connection; each may have a run of its own."""
_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_CLOSED = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})
_LIMIT_REACHED = Refusal(
    status=400,
    type="invalid_request_error",
    code="websocket_connection_limit_reached",
    message=f"A connection lasts {LIMIT_S / 60:g} minutes. Open a new one and go on there.",
)


async def serve_socket(request: web.Request) -> web.WebSocketResponse:
    """Serve one connection until either side ends it."""
    settings = request.app[DEPS].settings
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_S, compress=False, max_msg_size=settings.max_body_bytes
    )
    connection = _Connection(request, socket)
    await socket.prepare(request)
    with request.app[OPEN_STREAMS].hold(connection):
        await connection.serve()
    return socket


class _Connection:
    """One client."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._memory = Memory()
        self._opener = opener_of(request, self._memory)
        self._steering = Steering()
        self._lanes: dict[str | None, Lane] = {}
        self._sending = anyio.Lock()
        self._scope = anyio.CancelScope()
        self._close_code = WSCloseCode.OK

    def close(self) -> None:
        """End the connection: the server stops."""
        self._close_code = WSCloseCode.GOING_AWAY
        self._scope.cancel()

    async def serve(self) -> None:
        """Take frames until the end; leaving ends what is being made."""
        is_gone = False
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    with anyio.move_on_after(LIMIT_S) as limit:
                        await self._receive(tasks)
                    if limit.cancelled_caught:
                        await self._send(error_frame(_LIMIT_REACHED))
                    tasks.cancel_scope.cancel()
        except* ReaderGone:
            is_gone = True
        if not is_gone:
            with anyio.move_on_after(WRITE_STALL_S):
                await self._socket.close(code=self._close_code)

    async def _receive(self, tasks: TaskGroup) -> None:
        while True:
            message = await self._socket.receive()
            if message.type in _CLOSED:
                return
            stream_id: object = None
            try:
                frame = _decoded(message.type, message.data)
                stream_id = frame.get("stream_id")
                await self._take(frame, tasks)
            except Refused as refused:
                lane = {"stream_id": stream_id} if isinstance(stream_id, str) else {}
                await self._send(error_frame(refused.refusal) | lane)

    async def _take(self, frame: Frame, tasks: TaskGroup) -> None:
        match frame.get("type"):
            case "response.create":
                self._create({name: value for name, value in frame.items() if name != "type"}, tasks)
            case "response.steer":
                await self._send(self._steering.take(frame))
            case other:
                known = "'response.create' or 'response.steer'"
                raise invalid(f"'type' must be {known}, not '{str(other)[:80]}'.", "type")

    def _create(self, asked: Frame, tasks: TaskGroup) -> None:
        stream_id = asked.pop("stream_id", None)
        if asked.pop("background", None):
            raise invalid("'background' is not for WebSocket: use POST /v1/responses.", "background")
        asked.pop("stream", None)
        lane = self._lanes.get(stream_id) if isinstance(stream_id, str | None) else None
        if lane is None:
            lane = self._lane(stream_id)
            tasks.start_soon(lane.run)
        try:
            lane.give(asked)
        except LaneFull:
            raise _too_many("Too many requests wait in this lane. Wait for a response.") from None

    def _lane(self, stream_id: object) -> Lane:
        if stream_id is not None and not (isinstance(stream_id, str) and _STREAM_ID.fullmatch(stream_id)):
            message = "'stream_id' must be 1 to 256 letters, digits, underscores, hyphens or periods."
            raise invalid(message, "stream_id")
        if len(self._lanes) >= LANES:
            raise _too_many(f"A connection has {LANES} lanes at most. Open another one.")

        lane = Lane(stream_id, self._opener, self._memory, self._steering, self._send)
        self._lanes[stream_id] = lane
        return lane

    async def _send(self, frame: Frame) -> None:
        """Send one frame. Raises ReaderGone."""
        try:
            with anyio.fail_after(WRITE_STALL_S):
                async with self._sending:
                    await self._socket.send_str(msgspec.json.encode(frame).decode())
        except (ConnectionError, TimeoutError) as problem:
            raise ReaderGone from problem


def _decoded(kind: WSMsgType, data: Any) -> Frame:
    """Return a frame. Raises Refused."""
    if kind is not WSMsgType.TEXT:
        raise invalid("Frames must be JSON text.", None, code="invalid_json")

    try:
        frame = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise invalid(f"The frame is not valid JSON: {problem}.", None, code="invalid_json") from problem
    if not isinstance(frame, dict):
        raise invalid("A frame must be a JSON object.", None, code="invalid_json")
    return frame


def _too_many(message: str) -> Refused:
    return Refused(
        Refusal(
            status=429, type="rate_limit_error", code="too_many_requests", message=message, retry_after_s=1.0
        )
    )
