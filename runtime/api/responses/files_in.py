"""Files within a request: stored ones by their id, others as data URLs; what a model reads of them is text.

Links are fetched by `links_in`, under the perimeter and the policies.
"""

import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import anyio
import anyio.to_thread

from runtime.api.errors import Refused, invalid
from runtime.api.images import IMAGE_LIMIT_BYTES, image_of_bytes, image_of_url
from runtime.api.openai.files import is_record
from runtime.api.responses.item_bodies import InputFile, InputImage, Screenshot
from runtime.core.agents.items import Document, Picture
from runtime.core.errors import Fault, NotFound
from runtime.core.fetching import Fetched
from runtime.core.ids import FileId, TenantId
from runtime.core.knowledge import StoredFile
from runtime.core.recall import Files

ReadText = Callable[[Path, str, str | None], Awaitable[str | Fault]]
"""Returns the text of a document: its path, its name, its media type; or why it cannot be read."""
FetchLink = Callable[[str, Path], Awaitable[Fetched | Fault]]
"""Fetches what a link names into a folder, or says why not."""
DOCUMENT_LIMIT_BYTES = 50 * 1024 * 1024
"""Of one document, as OpenAI's; the whole body is bounded by server.max_body_bytes."""

_LINK = re.compile(r"https?:", re.IGNORECASE)
_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]*)*;base64,", re.IGNORECASE)
_HEAD_CHARS = 300
_NAME_CHARS = 100
_PLAIN = ("text/", "application/json", "application/xml")


class InputFiles:
    """The files of one tenant, as requests may name them."""

    def __init__(
        self,
        files: Files | None,
        tenant: TenantId,
        read_text: ReadText | None,
        fetch: FetchLink | None = None,
    ) -> None:
        self._files = files
        self._fetch = fetch
        self._tenant = tenant
        self._read_text = read_text

    async def picture(self, part: InputImage | Screenshot, path: str) -> Picture:
        """Return a picture: its bytes from a URL, or the id of a file that holds one. Raises Refused."""
        detail = (part.detail if isinstance(part, InputImage) else None) or "auto"
        if part.image_url is not None and self._fetch is not None and _LINK.match(part.image_url):
            return await self._linked_picture(self._fetch, part.image_url, f"{path}.image_url", detail)

        if part.image_url is not None:
            return Picture(data=image_of_url(part.image_url, f"{path}.image_url").data, detail=detail)

        if part.file_id is None:
            param = f"{path}.image_url"
            message = f"Missing required parameter: '{param}' or '{path}.file_id'."
            raise invalid(message, param, code="missing_required_parameter")

        param = f"{path}.file_id"
        stored = await self._find(part.file_id, param, "image_file_not_found")
        if stored.size_bytes > IMAGE_LIMIT_BYTES:
            raise invalid(
                f"'{param}' is larger than {IMAGE_LIMIT_BYTES} bytes.", param, code="image_file_too_large"
            )

        image_of_bytes(await self._bytes(stored, param), param)
        return Picture(file_id=part.file_id, detail=detail)

    async def document(self, part: InputFile, path: str) -> Document:
        """Return a document with its text. Raises Refused."""
        if part.file_id is not None:
            return await self._stored(part.file_id, f"{path}.file_id")

        if part.file_data is not None:
            return await self._given(part, part.file_data, f"{path}.file_data")

        if part.file_url is not None:
            return await self._linked(part.file_url, f"{path}.file_url")

        param = f"{path}.file_id"
        message = f"Missing required parameter: '{param}' or '{path}.file_data'."
        raise invalid(message, param, code="missing_required_parameter")

    async def _find(self, file: str, param: str, code: str = "file_not_found") -> StoredFile:
        try:
            stored = None if self._files is None else await self._files.find(self._tenant, FileId(file))
        except NotFound:
            stored = None
        if stored is None or is_record(stored):
            raise invalid(f"No such File object: {file[:80]}.", param, code=code)
        return stored

    async def _bytes(self, stored: StoredFile, param: str) -> bytes:
        assert self._files is not None
        try:
            return await anyio.Path(await self._files.path(self._tenant, stored.id)).read_bytes()
        except (NotFound, FileNotFoundError) as problem:
            raise invalid(f"The file {stored.id} is gone.", param, code="file_not_found") from problem

    async def _stored(self, file: str, param: str) -> Document:
        stored = await self._find(file, param)
        if stored.size_bytes > DOCUMENT_LIMIT_BYTES:
            raise _too_large(param)

        if _is_plain(stored.media_type):
            text = _decoded(await self._bytes(stored, param), param)
        else:
            assert self._files is not None
            text = await self._read(
                await self._files.path(self._tenant, stored.id), stored.name, stored.media_type, param
            )
        return Document(filename=stored.name, file_id=file, text=text)

    async def _given(self, part: InputFile, given: str, param: str) -> Document:
        head = _DATA_URL.match(given[:_HEAD_CHARS])
        media_type = head["type"].lower() if head is not None else None
        coded = given[head.end() :] if head is not None else given
        if len(coded) > DOCUMENT_LIMIT_BYTES * 2:
            raise _too_large(param)

        try:
            content = await anyio.to_thread.run_sync(_unpacked, coded)
        except (binascii.Error, ValueError) as problem:
            message = f"'{param}' is not valid base64. Send 'data:application/pdf;base64,…'."
            raise invalid(message, param, code="invalid_base64_file") from problem
        if len(content) > DOCUMENT_LIMIT_BYTES:
            raise _too_large(param)

        name = part.filename or "document"
        if _is_plain(media_type):
            text = _decoded(content, param)
        else:
            async with anyio.TemporaryDirectory() as folder:
                path = anyio.Path(folder) / "document"
                await path.write_bytes(content)
                text = await self._read(Path(path), name, media_type or None, param)
        return Document(filename=name, data=given, text=text)

    async def _linked(self, url: str, param: str) -> Document:
        if self._fetch is None:
            message = (
                f"'{param}' is a link, and links are not followed here: this server fetches nothing for this "
                "message. Upload the file to /v1/files, or send it as 'file_data'."
            )
            raise invalid(message, param, code="invalid_file_url")

        async with anyio.TemporaryDirectory() as folder:
            fix = "Or upload the file to /v1/files, and send its 'file_id'."
            fetched, body = _had(await self._fetch(url, Path(folder)), param, fix, "invalid_file_url")
            name = unquote(urlsplit(fetched.url).path.rpartition("/")[2])[-_NAME_CHARS:] or "document"
            if _is_plain(fetched.media_type):
                text = _decoded(await anyio.Path(body).read_bytes(), param)
            else:
                text = await self._read(body, name, fetched.media_type or None, param)
        return Document(filename=name, url=url, text=text)

    async def _linked_picture(self, fetch: FetchLink, url: str, param: str, detail: str) -> Picture:
        async with anyio.TemporaryDirectory() as folder:
            fix = "Or send the picture itself, as 'data:image/png;base64,…'."
            _, body = _had(await fetch(url, Path(folder)), param, fix, "failed_to_download_image")
            content = await anyio.Path(body).read_bytes()
        return Picture(data=image_of_bytes(content, param).data, url=url, detail=detail)

    async def _read(self, path: Path, name: str, media_type: str | None, param: str) -> str:
        if self._read_text is None:
            message = (
                f"'{param}' cannot be read: this server runs without readers of documents. Send its text."
            )
            raise invalid(message, param, code="unsupported_file")

        text = await self._read_text(path, name, media_type)
        if isinstance(text, Fault):
            raise invalid(f"'{param}' cannot be read: {text.message}", param, code="unsupported_file")
        return text


def _had(answer: Fetched | Fault, param: str, fix: str, code: str) -> tuple[Fetched, Path]:
    """Return what a link has given, and where it lies. Raises Refused."""
    if isinstance(answer, Fault):
        raise invalid(f"'{param}' cannot be fetched: {answer.message} {fix}", param, code=code)
    assert answer.body is not None
    return answer, answer.body


def _unpacked(coded: str) -> bytes:
    return base64.b64decode("".join(coded.split()), validate=True)


def _is_plain(media_type: str | None) -> bool:
    return media_type is not None and media_type.startswith(_PLAIN) and media_type != "text/html"


def _decoded(content: bytes, param: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise invalid(f"'{param}' is not UTF-8 text.", param, code="unsupported_file") from problem


def _too_large(param: str) -> Refused:
    return invalid(f"'{param}' is larger than {DOCUMENT_LIMIT_BYTES} bytes.", param, code="file_too_large")
