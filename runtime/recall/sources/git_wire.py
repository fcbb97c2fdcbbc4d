"""What the server and the child that reads a repository say to each other: lines of JSON."""

import msgspec

from runtime.core.knowledge import DocumentFault


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the child shall read; the first line that it is given."""

    url: str = ""
    path: str = ""
    """Of a repository on this machine; then there is no url."""
    folder: str
    """Empty, for what is fetched."""
    addresses: tuple[str, ...] = ()
    """Of the url's host, judged: the child connects to these and no others."""
    token: str | None = None
    branch: str | None = None
    state_commit: str = ""
    """The commit that is known already: then nothing is fetched."""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    most_entries: int
    most_bytes: int
    most_pack_bytes: int


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for a blob, to be written to a new file."""

    id: str
    to: str


class Tree(msgspec.Struct, frozen=True, kw_only=True, tag="tree"):
    """The commit that was found, and the files of it that are wanted: path and blob id."""

    commit: str
    committed_at: float = 0.0
    is_known: bool = False
    files: tuple[tuple[str, str], ...] = ()
    is_whole: bool = True
    links: int = 0
    modules: int = 0


class Written(msgspec.Struct, frozen=True, kw_only=True, tag="written"):
    """The blob has so many bytes; more than are allowed were not written."""

    size: int


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """It could not be done."""

    fault: DocumentFault


Answer = Tree | Written | Failed
