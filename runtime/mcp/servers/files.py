"""The MCP server `files`: a workspace of its own for each agent, and for each key that calls without one.

$LAR_HOME/workspaces/<tenant>/agents/<agent>/…
                              keys/<key>/…
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import anyio
import anyio.to_thread
import msgspec
from mcp.server import Server

from runtime.core.tools import Caller, ToolHints
from runtime.mcp.servers.files_resources import FilesResources
from runtime.mcp.servers.files_words import (
    Deleted,
    DeleteGiven,
    EditGiven,
    ListGiven,
    ListResult,
    Moved,
    MoveGiven,
    ReadGiven,
    ReadResult,
    SearchGiven,
    SearchResult,
    WriteGiven,
    Written,
)
from runtime.mcp.servers.jail import Jail
from runtime.mcp.servers.offering import CHANGES, READS, Call, Offer, Work, tool_server
from runtime.mcp.servers.workspace import Workspace

_INSTRUCTIONS = (
    "A folder of your own for notes, drafts and results; it outlives the conversation, and nothing outside "
    "of it can be reached. Paths are relative, with slashes."
)
_NAME_LENGTH = 180
"""Of a folder's name, so that an encoded name of an agent still is one."""


class _Tool(NamedTuple):
    """A tool by the name of the workspace's method."""

    name: str
    title: str
    description: str
    given: type[msgspec.Struct]
    result: type[msgspec.Struct]
    hints: ToolHints


_TOOLS = (
    _Tool("list", "List files", "List files and folders of the workspace.", ListGiven, ListResult, READS),
    _Tool("read", "Read a file", "Read a text file, some lines at a time.", ReadGiven, ReadResult, READS),
    _Tool(
        "search",
        "Search files",
        "Find a text in the files of the workspace, or in their names.",
        SearchGiven,
        SearchResult,
        READS,
    ),
    _Tool(
        "write",
        "Write a file",
        "Create a text file, replace it, or add to it. Folders are made as needed.",
        WriteGiven,
        Written,
        CHANGES,
    ),
    _Tool(
        "edit", "Edit a file", "Replace a passage of a text file by another one.", EditGiven, Written, CHANGES
    ),
    _Tool("move", "Move a file", "Move or rename a file or a folder.", MoveGiven, Moved, CHANGES),
    _Tool("delete", "Delete a file", "Delete a file or a folder for good.", DeleteGiven, Deleted, CHANGES),
)


def files_server(folder: Path) -> Server[Any]:
    """Return the server; workspaces lie in the folder."""
    workspaces = _Workspaces(folder)
    offers = [
        Offer(
            each.name,
            each.title,
            each.description,
            each.given,
            each.result,
            workspaces.work(each.name, is_writing=not each.hints.is_read_only),
            each.hints,
        )
        for each in _TOOLS
    ]
    resources = FilesResources(lambda caller: place_of(folder, caller))
    return tool_server("files", "Files", _INSTRUCTIONS, offers, resources)


def place_of(folder: Path, caller: Caller) -> Path:
    """Return where the caller's workspace lies. Names are encoded, so that none is a path."""
    tenant = folder / _encoded(caller.principal.tenant)
    if caller.agent is not None:
        return tenant / "agents" / _encoded(caller.agent)
    return tenant / "keys" / _encoded(caller.principal.id)


def _encoded(name: str) -> str:
    text = quote(name, safe="").replace(".", "%2E") or "%"
    return text if len(text) <= _NAME_LENGTH else f"{text[:100]}%%{hashlib.sha256(name.encode()).hexdigest()}"


class _Workspaces:
    """Runs tools over the caller's workspace; those that write one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing: dict[Path, anyio.Lock] = {}

    def work(self, name: str, *, is_writing: bool) -> Work:
        """Return what the tool does."""

        async def work(given: Any, call: Call) -> msgspec.Struct:
            place = place_of(self._folder, call.caller)

            def act() -> msgspec.Struct:
                jail = Jail(place)
                try:
                    result: msgspec.Struct = getattr(Workspace(jail), name)(given)
                    return result
                finally:
                    jail.close()

            if not is_writing:
                return await anyio.to_thread.run_sync(act)
            async with self._writing.setdefault(place, anyio.Lock()):
                return await anyio.to_thread.run_sync(act)

        return work
