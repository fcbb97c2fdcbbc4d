"""Forms with files (`multipart/form-data`), read piece by piece: no file is ever whole in memory.

    form = open_form(request)
    async for part in form.parts():     FormField: a short text · FormFile: read its `chunks()` at once

Every wait for the client has a bound, every file a size; what is malformed is a 400 that says so.
"""

from collections.abc import AsyncIterator, Awaitable, Collection
from typing import NamedTuple, TypeVar

import anyio
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import BadHttpMessage

from runtime.api.bodies import invite
from runtime.api.deps import DEPS
from runtime.api.errors import Refusal, Refused, invalid

STALL_S = 60.0
"""How long a client may be silent in the middle of a form."""
CHUNK_BYTES = 256 * 1024
"""What is read of a file at once."""
FIELD_LIMIT_BYTES = 64 * 1024
"""Of a plain field; files are bounded by `server.max_upload_bytes`."""
PARTS_LIMIT = 4096
NAME_LIMIT = 255
"""Characters of a file's name that are kept, its end above all: what follows the dot."""

_T = TypeVar("_T")

_MALFORMED = (ValueError, RuntimeError, LookupError, AssertionError, BadHttpMessage, web.RequestPayloadError)
"""What aiohttp's reader raises at forms that are none."""


class FileLimit(NamedTuple):
    """How large a file may be."""

    size_bytes: int
    fix: str
    """What to do about one that is larger."""


class FormField:
    """A plain field."""

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value


class FormFile:
    """A file inside a form; its content can be read once."""

    def __init__(self, part: BodyPartReader, limit: "FileLimit") -> None:
        self._part = part
        self._limit = limit
        self.name = part.name or ""
        """The field that it stands in."""
        self.filename = _kept_name(part.filename)
        self.media_type = part.headers.get("Content-Type", "").partition(";")[0].strip().lower() or None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content. Raises Refused: 413 beyond the limit, 408 after silence, 400."""
        size = 0
        while not self._part.at_eof():
            chunk = await _bounded(_next_chunk(self._part))
            size += len(chunk)
            if size > self._limit.size_bytes:
                raise upload_too_large(self._limit, self.name)

            if chunk:
                yield chunk


class Form:
    """A form that is being read."""

    def __init__(self, request: web.Request, limit: FileLimit, file_fields: Collection[str]) -> None:
        self._request = request
        self._limit = limit
        self._file_fields = file_fields

    async def parts(self) -> AsyncIterator[FormField | FormFile]:
        """Yield each part as it comes. Raises Refused."""
        await invite(self._request)
        reader = await _bounded(self._request.multipart())
        for _ in range(PARTS_LIMIT):
            part = await _bounded(_next_part(reader))
            if part is None:
                return

            if part.filename is not None or part.name in self._file_fields:
                yield FormFile(part, self._limit)
            else:
                yield FormField(part.name or "", await self._text(part))
        raise invalid(f"The form has more than {PARTS_LIMIT} parts. Send several requests.", None)

    async def _text(self, part: BodyPartReader) -> str:
        content = bytearray()
        while not part.at_eof():
            content += await _bounded(_next_chunk(part))
            if len(content) > FIELD_LIMIT_BYTES:
                name = (part.name or "")[:80]
                message = f"The field '{name}' is longer than {FIELD_LIMIT_BYTES} bytes."
                raise invalid(message, name or None)
        try:
            return content.decode()
        except UnicodeDecodeError as problem:
            name = (part.name or "")[:80]
            raise invalid(f"The field '{name}' is not valid UTF-8.", name or None) from problem


def is_form(request: web.Request) -> bool:
    """Whether the body is a form with files."""
    return request.content_type == "multipart/form-data"


def open_form(
    request: web.Request, limit: FileLimit | None = None, file_fields: Collection[str] = ("file",)
) -> Form:
    """Return the request's form; a file in it has `server.max_upload_bytes` at most, or the given limit.

    A part is a file if it has a filename or stands in one of `file_fields`. Raises Refused: 415 where the
    body is no form.
    """
    if not is_form(request):
        given = request.headers.get("Content-Type", "none")[:80]
        message = f"The body must be a form with a file, 'Content-Type: multipart/form-data', not '{given}'."
        refusal = Refusal(
            status=415, type="invalid_request_error", code="unsupported_media_type", message=message
        )
        raise Refused(refusal)

    return Form(request, limit or file_limit(request), file_fields)


def file_limit(request: web.Request) -> FileLimit:
    """Return the limit of the settings."""
    size_bytes = request.app[DEPS].settings.max_upload_bytes
    return FileLimit(size_bytes, "Send a smaller one, or raise server.max_upload_bytes in lar.toml.")


def upload_too_large(limit: FileLimit, param: str) -> Refused:
    """Return the 413; raise it."""
    message = f"The file is larger than {limit.size_bytes} bytes. {limit.fix}"
    refusal = Refusal(
        status=413, type="invalid_request_error", code="request_too_large", message=message, param=param
    )
    return Refused(refusal)


def silent_client() -> Refused:
    """Return the 408 for a client that stopped sending; raise it."""
    message = f"Nothing of the body arrived for {STALL_S:g} s. Send it again."
    return Refused(Refusal(status=408, type="invalid_request_error", code="request_timeout", message=message))


async def _next_part(reader: MultipartReader) -> BodyPartReader | None:
    part = await reader.next()
    if isinstance(part, MultipartReader):
        raise invalid("The form holds a form inside. Send the files side by side.", None)
    return part


async def _next_chunk(part: BodyPartReader) -> bytes:
    return bytes(part.decode(await part.read_chunk(CHUNK_BYTES)))


async def _bounded(work: Awaitable[_T]) -> _T:
    try:
        with anyio.fail_after(STALL_S):
            return await work
    except TimeoutError as problem:
        raise silent_client() from problem
    except _MALFORMED as problem:
        message = "The form is malformed or ended early. Let your HTTP library make it."
        raise invalid(message, None, code="invalid_form") from problem


def _kept_name(name: str | None) -> str:
    """Return the name without what cannot be stored or shown, its end kept where it is too long."""
    text = "".join(each for each in name or "" if each.isprintable()).strip()
    text = text.encode("utf-8", "ignore").decode()
    return text[-NAME_LIMIT:] or "file"
