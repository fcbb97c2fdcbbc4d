"""What is remembered as JSONL: GET /api/recall/memories/export and POST /api/recall/memories/import.

Both are streams: neither side ever holds more than some lines.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import msgspec
from aiohttp import web

from runtime.api.bodies import invite
from runtime.api.errors import Refusal, Refused, invalid
from runtime.api.multipart import STALL_S, file_limit, silent_client, upload_too_large
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.api.stream import BoundedStream, ReaderGone

LINE_LIMIT_BYTES = 1024 * 1024
"""Far above what an item can take."""
PROBLEMS_LIMIT = 1000
"""What is told of lines that could not be taken; beyond it they are only counted."""
WRITE_STALL_S = 60.0

_PIECE_BYTES = 16 * 1024
_TAKEN = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/json")
_HEADERS = {"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"}


async def get_export(request: web.Request) -> web.StreamResponse:
    """Stream everything that is remembered, a line each."""
    lines = recall_of(request).memories.export(tenant_of(request))
    stream = BoundedStream(request, _HEADERS)
    piece = bytearray()
    try:
        await stream.open(WRITE_STALL_S)
        async for line in lines:
            piece += msgspec.json.encode(line) + b"\n"
            if len(piece) >= _PIECE_BYTES:
                await stream.write(bytes(piece), WRITE_STALL_S)
                piece.clear()
        if piece:
            await stream.write(bytes(piece), WRITE_STALL_S)
    except ReaderGone:
        stream.end_connection()
    return stream.response


async def post_import(request: web.Request) -> web.Response:
    """Store what an export wrote; 200 with how many items came and what was wrong with the others."""
    if request.content_type not in _TAKEN:
        given = request.headers.get("Content-Type", "none")[:80]
        message = f"The body must be lines of JSON, 'Content-Type: application/x-ndjson', not '{given}'."
        raise Refused(
            Refusal(status=415, type="invalid_request_error", code="unsupported_media_type", message=message)
        )

    problems: list[str] = []
    memories = recall_of(request).memories
    imported, refused = await memories.import_items(tenant_of(request), _decoded(request, problems))
    told = [*problems, *refused]
    return json_answer({"imported": imported, "refused": len(told), "problems": told[:PROBLEMS_LIMIT]})


async def _decoded(request: web.Request, problems: list[str]) -> AsyncIterator[Mapping[str, Any]]:
    """Yield each line as an object; note those that are none."""
    number = 0
    async for line in _lines(request):
        number += 1
        if not line.strip():
            continue

        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
            problems.append(f"Line {number} is not a JSON object: {problem}")


async def _lines(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the lines of a body, without their ends. Raises Refused."""
    await invite(request)
    limit = file_limit(request)
    rest, size = bytearray(), 0
    while piece := await _next_piece(request):
        size += len(piece)
        if size > limit.size_bytes:
            raise upload_too_large(limit, "body")

        *lines, last = (bytes(rest) + piece).split(b"\n")
        for line in lines:
            yield line
        rest = bytearray(last)
        if len(rest) > LINE_LIMIT_BYTES:
            raise invalid(f"A line is longer than {LINE_LIMIT_BYTES} bytes. Send one item per line.", None)
    if rest:
        yield bytes(rest)


async def _next_piece(request: web.Request) -> bytes:
    try:
        with anyio.fail_after(STALL_S):
            return await request.content.readany()
    except TimeoutError as problem:
        raise silent_client() from problem
    except web.RequestPayloadError as problem:
        raise invalid("The request body ended early or is encoded wrongly.", None) from problem


ROUTES: tuple[Entry, ...] = (
    ("GET", "/api/recall/memories/export", "infer", get_export),
    ("POST", "/api/recall/memories/import", "infer", post_import),
)
