"""The process that reads a repository: fetches one commit, tells its files, writes blobs that are asked for.

Bounded memory and bounded files; it ends with its parent. Names of the repository are data: no path on disk
is built of one. For a repository on this machine it leaves the network first, where the system lets it; for
another one it needs the network, and its connections go to the judged addresses alone.
"""

import ctypes
import errno
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import urllib3.exceptions
from dulwich.client import HttpGitClient, HTTPUnauthorized
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.objects import Blob as GitBlob
from dulwich.objects import Commit, ObjectID, Tag
from dulwich.objects import Tree as GitTree
from dulwich.refs import Ref
from dulwich.repo import Repo

from runtime.core.knowledge import DocumentFault
from runtime.recall.seclusion import leave_network
from runtime.recall.sources.choosing import VENDORED, Choice
from runtime.recall.sources.git_pool import Elsewhere, pinned_pools
from runtime.recall.sources.git_wire import Answer, Blob, Failed, Order, Tree, Written
from runtime.recall.sources.origin import Look

_MEMORY_BYTES = 3 << 30
_STALL_S = 60.0
_MOST_VISITED = 1_000_000
_DEPTH = 100
_TAGS_DEEP = 5
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_USER = "oauth2"
"""The hosts look at the token alone, but want a name beside it."""


class Fault(Exception):
    """Carries a fault out of the middle."""

    def __init__(self, fault: DocumentFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def main() -> None:
    """Read one repository until stdin ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    outgoing = os.dup(1)
    os.dup2(2, 1)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    if order.path:
        leave_network()  # where it is refused the repository is read all the same: 'lar doctor' says so
    most = max(order.most_pack_bytes, order.most_bytes)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        repo, commit = _open(order)
        if repo is None:
            _say(outgoing, Tree(commit=commit.decode(), is_known=True))
            return
        with repo:
            _say(outgoing, _tree(repo, commit, order))
            for line in sys.stdin.buffer:
                _say(outgoing, _write(repo, msgspec.json.decode(line, type=Blob), order.most_bytes))
    except Exception as problem:  # noqa: BLE001 - the border of the process: each end is told as a fault
        _say(outgoing, Failed(fault=fault_of(problem, order)))


def _open(order: Order) -> tuple[Repo | None, ObjectID]:
    """Return the repository and the commit that is meant; no repository where the commit is known."""
    if order.path:
        repo = Repo(order.path)
        commit = _pick(dict(repo.refs.as_dict()), order.branch)
        return (None if commit.decode() == order.state_commit else repo), commit
    return _fetch(order)


def _fetch(order: Order) -> tuple[Repo | None, ObjectID]:
    """Ask which commit it is; fetch it alone if it is not known."""
    parts = urlsplit(order.url)
    client = HttpGitClient(
        f"{parts.scheme}://{parts.netloc}/",
        pool_manager=pinned_pools(order.url, order.addresses, _STALL_S),
        username=_USER if order.token else None,
        password=order.token,
        timeout=_STALL_S,
    )
    prefixes = [b"HEAD", b"refs/heads/", b"refs/tags/"]
    told = client.get_refs(parts.path, ref_prefix=prefixes)
    commit = _pick({name: value for name, value in told.refs.items() if value is not None}, order.branch)
    if commit.decode() == order.state_commit:
        return None, commit
    repo = Repo.init_bare(order.folder)
    client.fetch(parts.path, repo, determine_wants=lambda *_refs, **_depth: [commit], depth=1)
    return repo, commit


def _pick(refs: dict[Ref, ObjectID], branch: str | None) -> ObjectID:
    if branch is None:
        names = [b"HEAD"]
    else:
        name = branch.encode("utf-8", "surrogateescape")
        names = [b"refs/heads/" + name, b"refs/tags/" + name]
    for each in names:
        if Ref(each) in refs:
            return refs[Ref(each)]
    what = "no commit yet" if branch is None else f"no branch or tag '{branch}'"
    message = f"The repository has {what}. Name a branch that it has."
    raise Fault(DocumentFault(code="not_found", message=message))


class _Leaf(NamedTuple):
    path: bytes
    mode: int
    id: ObjectID


def _tree(repo: Repo, commit_id: ObjectID, order: Order) -> Tree:
    """List the files of a commit that are wanted."""
    commit = _commit(repo, commit_id)
    look = Look(uri="", include=order.include, exclude=order.exclude)
    choice = Choice(look, VENDORED, is_text_only=True)
    files: dict[str, str] = {}
    links = modules = 0
    is_whole = True
    for leaf in _leaves(repo, commit.tree, choice):
        key = leaf.path.decode("utf-8", "backslashreplace")
        if not choice.takes(key):
            continue
        if leaf.mode == 0o160000:
            modules += 1
        elif stat.S_ISLNK(leaf.mode):
            links += 1
        elif len(files) == order.most_entries:
            is_whole = False
            break
        else:
            files[key] = leaf.id.decode()
    return Tree(
        commit=commit_id.decode(),
        committed_at=float(commit.commit_time),
        files=tuple(files.items()),
        is_whole=is_whole,
        links=links,
        modules=modules,
    )


def _commit(repo: Repo, commit_id: ObjectID) -> Commit:
    found = repo[commit_id]
    for _ in range(_TAGS_DEEP):
        if not isinstance(found, Tag):
            break
        found = repo[found.object[1]]
    if not isinstance(found, Commit):
        raise GitProtocolError("what it names is no commit")
    return found


def _leaves(repo: Repo, tree_id: ObjectID, choice: Choice) -> Iterator[_Leaf]:
    """Yield what a tree holds, in the order of names; a tree that unfolds without end is refused."""
    waiting = [_Leaf(b"", 0o40000, tree_id)]
    visited = 0
    while waiting:
        leaf = waiting.pop()
        visited += 1
        if visited > _MOST_VISITED or leaf.path.count(b"/") > _DEPTH:
            message = (
                f"The repository has more than {_MOST_VISITED:,} files or {_DEPTH} folders in each other."
            )
            raise Fault(DocumentFault(code="too_large", message=f"{message} Follow a smaller one."))
        if not stat.S_ISDIR(leaf.mode):
            yield leaf
            continue
        tree = repo[leaf.id]
        if not isinstance(tree, GitTree):
            raise GitProtocolError("a folder is no folder")
        for name, mode, each in reversed(list(tree.items())):
            if not stat.S_ISDIR(mode) or choice.enters(name.decode("utf-8", "backslashreplace")):
                waiting.append(_Leaf(leaf.path + b"/" + name if leaf.path else name, mode, each))


def _write(repo: Repo, asked: Blob, most: int) -> Written | Failed:
    """Write a blob to a new file, unless it is too large."""
    try:
        found = repo[ObjectID(asked.id.encode())]
    except KeyError:
        message = "The repository does not hold this file's content; it is damaged or was fetched in part."
        return Failed(fault=DocumentFault(code="broken", message=f"{message} Check it with `git fsck`."))
    if not isinstance(found, GitBlob):
        message = "What the repository calls a file is none. Check it with `git fsck`."
        return Failed(fault=DocumentFault(code="broken", message=message))
    size = found.raw_length()
    if size <= most:
        with Path(asked.to).open("xb") as file:
            file.write(found.data)
    return Written(size=size)


def _say(outgoing: int, answer: Answer) -> None:
    rest = memoryview(msgspec.json.encode(answer) + b"\n")
    while rest:
        rest = rest[os.write(outgoing, rest) :]


def fault_of(problem: BaseException, order: Order) -> DocumentFault:
    """Say cause and fix; nothing that the host wrote is repeated but its status."""
    place = order.path or order.url
    for each in _chain(problem):
        found = _known_fault(each, place)
        if found is not None:
            return found
    message = f"{place} answered what is no git repository ({type(problem).__name__}). Check the address."
    return DocumentFault(code="broken", message=message)


def _chain(problem: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = problem
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__


def _known_fault(problem: BaseException, place: str) -> DocumentFault | None:
    match problem:
        case Fault():
            return problem.fault
        case Elsewhere():
            return DocumentFault(
                code="refused",
                message=f"{place} is not where it says: {problem}. Give the address where it ends.",
            )
        case HTTPUnauthorized():
            return DocumentFault(
                code="refused",
                message=f"{place} wants a token, or does not accept the one given. Put a token that may read "
                "the repository into an environment variable of the server, and name it in 'secret'.",
            )
        case NotGitRepository():
            return DocumentFault(
                code="not_found",
                message=f"There is no git repository at {place}, or it is private. Check the address, or "
                "give a token that may read it.",
            )
        case MemoryError():
            return DocumentFault(
                code="too_large",
                message=f"{place} takes more memory than is allowed. Follow a smaller repository.",
            )
        case OSError() if problem.errno == errno.EFBIG:
            return DocumentFault(
                code="too_large",
                message=f"{place} is larger than is allowed. Follow a smaller repository or branch.",
            )
        case urllib3.exceptions.SSLError():
            return DocumentFault(
                code="unreachable",
                message=f"{place} shows a certificate that is not trusted. Check both.",
            )
        case urllib3.exceptions.TimeoutError() | TimeoutError():
            return DocumentFault(code="too_slow", message=f"{place} did not answer. Try again later.")
        case OSError() | urllib3.exceptions.HTTPError():
            return DocumentFault(
                code="unreachable",
                message=f"{place} could not be reached ({type(problem).__name__}). Check it and the network.",
            )
        case _:
            return None
