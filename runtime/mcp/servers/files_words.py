"""What the tools of `files` take and give."""

from typing import Annotated, Literal

import msgspec

from runtime.mcp.servers.offering import told

Path = Annotated[str, told("A path inside the workspace, with slashes: 'notes/plan.md'", max_length=4096)]


class ListGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of list."""

    path: Annotated[str, told("The folder; left out: the whole workspace", max_length=4096)] = ""
    depth: Annotated[int, told("Levels below it", ge=1, le=32)] = 1
    limit: Annotated[int, told("Entries at most", ge=1, le=2000)] = 200


class ReadGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of read."""

    path: Path
    start_line: Annotated[int, told("First line, counted from 1", ge=1)] = 1
    lines: Annotated[int, told("Lines at most", ge=1, le=10_000)] = 1000


class WriteGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of write."""

    path: Path
    text: Annotated[str, told("The whole new content, or what is added", max_length=4_000_000)]
    mode: Annotated[
        Literal["create", "replace", "append"],
        told("create: only where nothing is yet; replace: in place of what is there; append: after it"),
    ] = "create"


class EditGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of edit."""

    path: Path
    old: Annotated[str, told("Text that is there exactly once, with enough around it", min_length=1)]
    new: Annotated[str, told("What takes its place")]
    all: Annotated[bool, told("Replace it everywhere, however often it is there")] = False


class SearchGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of search."""

    query: Annotated[str, told("Text to look for, upper and lower case alike", min_length=1, max_length=1000)]
    path: Annotated[str, told("Only in this folder", max_length=4096)] = ""
    within: Annotated[Literal["content", "names"], told("Where to look for it")] = "content"
    limit: Annotated[int, told("Places at most", ge=1, le=500)] = 50


class MoveGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of move."""

    path: Path
    to: Path
    replace: Annotated[bool, told("Put it in place of what is there")] = False


class DeleteGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of delete."""

    path: Path
    recursive: Annotated[bool, told("A folder with all that is in it")] = False


class FileLine(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a folder."""

    path: str
    is_folder: bool
    size_bytes: int
    changed_at: float
    """Seconds since 1970 (UTC)."""


class ListResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of list."""

    entries: list[FileLine]
    is_more: bool


class ReadResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of read."""

    path: str
    text: str
    start_line: int
    total_lines: int
    is_more: bool


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """Result of write and edit."""

    path: str
    size_bytes: int
    total_lines: int
    replaced: int = 0
    """How many places an edit has changed."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where something was found."""

    path: str
    line: int = 0
    """Counted from 1; 0 where the name has it."""
    text: str = ""


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of search."""

    places: list[Place]
    is_more: bool


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Result of move."""

    path: str


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """Result of delete."""

    files: int
