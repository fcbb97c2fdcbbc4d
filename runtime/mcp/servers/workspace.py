"""What one workspace can do: its files as text, read, changed and searched. Blocking; call it in a thread."""

import itertools
from collections.abc import Iterator

from runtime.core.errors import Fault, NotFound, RequestInvalid, StoreFull
from runtime.mcp.servers.files_words import (
    Deleted,
    DeleteGiven,
    EditGiven,
    FileLine,
    ListGiven,
    ListResult,
    Moved,
    MoveGiven,
    Place,
    ReadGiven,
    ReadResult,
    SearchGiven,
    SearchResult,
    WriteGiven,
    Written,
)
from runtime.mcp.servers.jail import DEPTH_LIMIT, Entry, Jail

MIB = 1024 * 1024
FILE_BYTES = 16 * MIB
"""What one file may have."""
FILES_LIMIT = 10_000
ROOM_BYTES = 256 * MIB
"""What all files of a workspace may have together."""
_READ_CHARACTERS = 400_000
_LINE_CHARACTERS = 300
"""What is shown of a line in which something was found."""


class Workspace:
    """The files of one agent, or of one key."""

    def __init__(self, jail: Jail) -> None:
        self._jail = jail

    def list(self, given: ListGiven) -> ListResult:
        """List a folder."""
        found = list(itertools.islice(self._jail.walk(given.path, given.depth), given.limit + 1))
        return ListResult(
            entries=[_line(each) for each in found[: given.limit]], is_more=len(found) > given.limit
        )

    def read(self, given: ReadGiven) -> ReadResult:
        """Read lines of a file."""
        lines = self._text(given.path).splitlines(keepends=True)
        shown: list[str] = []
        room = _READ_CHARACTERS
        for each in lines[given.start_line - 1 : given.start_line - 1 + given.lines]:
            if len(each) > room and shown:
                break
            shown.append(each[:room])
            room -= len(each)
        return ReadResult(
            path=given.path,
            text="".join(shown),
            start_line=given.start_line,
            total_lines=len(lines),
            is_more=given.start_line - 1 + len(shown) < len(lines),
        )

    def write(self, given: WriteGiven) -> Written:
        """Write a file."""
        text = given.text
        if given.mode == "append":
            try:
                text = self._text(given.path) + text
            except NotFound:
                text = given.text
        return self._write(given.path, text, is_new=given.mode == "create")

    def edit(self, given: EditGiven) -> Written:
        """Replace a text in a file."""
        text = self._text(given.path)
        count = text.count(given.old)
        if count == 0:
            raise _invalid(
                f"'old' is not in '{given.path}' as it stands. Read the file, then quote it exactly."
            )
        if count > 1 and not given.all:
            raise _invalid(
                f"'old' is in '{given.path}' {count} times. Quote more of what is around it, or say 'all'."
            )
        written = self._write(given.path, text.replace(given.old, given.new), is_new=False)
        return Written(
            path=written.path,
            size_bytes=written.size_bytes,
            total_lines=written.total_lines,
            replaced=count,
        )

    def search(self, given: SearchGiven) -> SearchResult:
        """Find a text."""
        places = self._names(given) if given.within == "names" else self._contents(given)
        found = list(itertools.islice(places, given.limit + 1))
        return SearchResult(places=found[: given.limit], is_more=len(found) > given.limit)

    def move(self, given: MoveGiven) -> Moved:
        """Move a file or a folder."""
        self._jail.move(given.path, given.to, may_replace=given.replace)
        return Moved(path=given.to)

    def delete(self, given: DeleteGiven) -> Deleted:
        """Delete a file or a folder."""
        return Deleted(files=self._jail.remove(given.path, with_content=given.recursive))

    def _names(self, given: SearchGiven) -> Iterator[Place]:
        wanted = given.query.casefold()
        for each in self._jail.walk(given.path, DEPTH_LIMIT):
            if wanted in each.path.rpartition("/")[2].casefold():
                yield Place(path=each.path)

    def _contents(self, given: SearchGiven) -> Iterator[Place]:
        wanted = given.query.casefold()
        for each in self._jail.walk(given.path, DEPTH_LIMIT):
            if each.is_folder or each.size_bytes > FILE_BYTES:
                continue
            try:
                lines = self._text(each.path).splitlines()
            except (NotFound, RequestInvalid):
                continue  # no text, or gone since it was listed
            for number, line in enumerate(lines, 1):
                at = line.casefold().find(wanted)
                if at >= 0:
                    begin = max(0, at - _LINE_CHARACTERS // 2)
                    yield Place(path=each.path, line=number, text=line[begin : begin + _LINE_CHARACTERS])

    def _text(self, path: str) -> str:
        """Return a file as text. Raises NotFound, RequestInvalid."""
        content = self._jail.read(path, FILE_BYTES)
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise _invalid(f"'{path}' is no text in UTF-8 ({len(content)} bytes).") from problem
        if "\0" in text:
            raise _invalid(f"'{path}' is no text ({len(content)} bytes).")
        return text

    def _write(self, path: str, text: str, *, is_new: bool) -> Written:
        content = _encoded(text)
        if len(content) > FILE_BYTES:
            raise _invalid(f"'{path}' would have {len(content)} bytes; {FILE_BYTES} are the limit of a file.")
        files, used = self._jail.used()
        if files >= FILES_LIMIT or used + len(content) > ROOM_BYTES:
            message = f"The workspace is full: {files} files, {used // MIB} MiB. Delete what is not needed."
            raise StoreFull(Fault(code="store_full", message=message))
        self._jail.write(path, content, is_new=is_new)
        return Written(path=path, size_bytes=len(content), total_lines=len(text.splitlines()))


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise _invalid("'text' holds half a character (a lone surrogate), which no file can.") from problem


def _line(entry: Entry) -> FileLine:
    return FileLine(
        path=entry.path,
        is_folder=entry.is_folder,
        size_bytes=entry.size_bytes,
        changed_at=round(entry.changed_at, 3),
    )


def _invalid(message: str) -> RequestInvalid:
    return RequestInvalid(Fault(code="invalid_request", message=message))
