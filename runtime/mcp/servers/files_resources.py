"""The files of the caller's workspace as MCP resources: `files:///notes/a.md`."""

import base64
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, unquote

import anyio.to_thread
import mcp.types as wire
from mcp.shared.exceptions import MCPError

from runtime.core.errors import LarError
from runtime.core.tools import Caller
from runtime.mcp.servers.jail import DEPTH_LIMIT, Entry, Jail
from runtime.mcp.servers.workspace import FILE_BYTES

PREFIX = "files:///"
_TYPES = mimetypes.MimeTypes(filenames=())
"""Those that come with Python: the tables of the machine would be read in the middle of a request."""
_TYPES.add_type("text/markdown", ".md")
_PAGE = 100
_BINARY = "application/octet-stream"


class FilesResources:
    """The files of each caller."""

    def __init__(self, place: Callable[[Caller], Path]) -> None:
        self._place = place

    async def list_all(
        self, caller: Caller, params: wire.PaginatedRequestParams | None
    ) -> wire.ListResourcesResult:
        """List a page of files, by path."""
        found = await anyio.to_thread.run_sync(_files, self._place(caller))
        after = unquote(params.cursor) if params is not None and params.cursor else ""
        rest = [each for each in found if each.path > after]
        shown = rest[:_PAGE]
        return wire.ListResourcesResult(
            resources=[_resource(each) for each in shown],
            next_cursor=quote(shown[-1].path) if len(rest) > _PAGE else None,
        )

    async def templates(self) -> wire.ListResourceTemplatesResult:
        """Tell how files are addressed."""
        template = wire.ResourceTemplate(
            name="file",
            title="File",
            uri_template=f"{PREFIX}{{+path}}",
            description="A file of your workspace, by its path.",
        )
        return wire.ListResourceTemplatesResult(resource_templates=[template])

    async def read(self, caller: Caller, uri: str) -> wire.ReadResourceResult:
        """Return a file, as text where it is text. Raises MCPError."""
        path = unquote(uri.removeprefix(PREFIX))
        if not uri.startswith(PREFIX) or not path:
            _not_found(uri, f"There is no resource '{uri[:200]}'.")
        try:
            content = await anyio.to_thread.run_sync(_content, self._place(caller), path)
        except LarError as problem:
            _not_found(uri, problem.fault.message)
        return wire.ReadResourceResult(contents=[_contents(uri, path, content)])


def _files(place: Path) -> list[Entry]:
    jail = Jail(place)
    try:
        found = [each for each in jail.walk("", DEPTH_LIMIT) if not each.is_folder]
    finally:
        jail.close()
    return sorted(found, key=lambda each: each.path)


def _content(place: Path, path: str) -> bytes:
    jail = Jail(place)
    try:
        return jail.read(path, FILE_BYTES)
    finally:
        jail.close()


def _contents(uri: str, path: str, content: bytes) -> wire.TextResourceContents | wire.BlobResourceContents:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        blob = base64.b64encode(content).decode("ascii")
        return wire.BlobResourceContents(uri=uri, mime_type=_type_of(path) or _BINARY, blob=blob)
    return wire.TextResourceContents(uri=uri, mime_type=_type_of(path) or "text/plain", text=text)


def _resource(entry: Entry) -> wire.Resource:
    return wire.Resource(
        uri=f"{PREFIX}{quote(entry.path)}",
        name=entry.path,
        mime_type=_type_of(entry.path),
        size=entry.size_bytes,
    )


def _type_of(path: str) -> str | None:
    return _TYPES.guess_type(path, strict=False)[0]


def _not_found(uri: str, message: str) -> NoReturn:
    raise MCPError(wire.INVALID_PARAMS, message, {"uri": uri})
