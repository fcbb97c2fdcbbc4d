"""A git repository as a place: one commit of one branch, read in a child process that can be killed.

The host is judged here, and the child connects to the judged addresses alone.
"""

import hashlib
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

import runtime
from runtime.core.errors import RequestInvalid
from runtime.core.fetching import Fetcher, FetchFault
from runtime.core.knowledge import DocumentFault
from runtime.recall.parse.process import child_environment
from runtime.recall.sources.git_wire import Answer, Blob, Failed, Order, Tree, Written
from runtime.recall.sources.kinds import is_local, path_of
from runtime.recall.sources.origin import (
    Changed,
    Entry,
    Finished,
    Gone,
    Listed,
    Look,
    OriginFailed,
    Refused,
    Same,
    Seen,
)

_START = "import sys; sys.path.append(sys.argv[1]); from runtime.recall.sources.git_child import main; main()"
_LONGEST_ANSWER = 256 << 20
_BLOB_LIMIT_S = 60.0
_REAP_LIMIT_S = 5.0
_PORTS = {"http": 80, "https": 443}
_KEPT = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


class GitOrigin:
    """Fulfils `Origin` for repositories."""

    def __init__(
        self, fetcher: Fetcher, limit_s: float = 300.0, most_pack_bytes: int = 512 * 1024 * 1024
    ) -> None:
        self._fetcher = fetcher
        self._limit_s = limit_s
        self._most_pack_bytes = most_pack_bytes

    async def look(self, asked: Look, known: Mapping[str, Entry], folder: Path) -> AsyncGenerator[Seen, None]:
        """Yield the files of the commit. Raises OriginFailed where it cannot be had."""
        marks = _marks(asked)
        before, _, marked = asked.state.partition(" ")
        temporary = await anyio.to_thread.run_sync(tempfile.TemporaryDirectory)
        try:
            order = await self._order(asked, temporary.name, before if known and marked == marks else "")
            async with _child(temporary.name) as child:
                tree = await self._begin(child, order)
                async for seen in _compare(child, tree, asked, known, folder):
                    yield seen
            yield Finished(state=f"{tree.commit} {marks}", notes=_notes(tree, asked.most_entries))
        finally:
            with anyio.CancelScope(shield=True):  # bounded by the size of the pack
                await anyio.to_thread.run_sync(temporary.cleanup)

    async def _order(self, asked: Look, folder: str, known_commit: str) -> Order:
        """Say what the child shall do, the host judged."""
        order = Order(
            folder=folder,
            token=asked.token,
            branch=asked.branch,
            state_commit=known_commit,
            include=asked.include,
            exclude=asked.exclude,
            most_entries=asked.most_entries,
            most_bytes=asked.most_bytes,
            most_pack_bytes=self._most_pack_bytes,
        )
        if is_local(asked.uri):
            return msgspec.structs.replace(order, path=_path(asked.uri), token=None)
        host, port = _host(asked.uri)
        addresses = await self._fetcher.find_host(host, port)
        if isinstance(addresses, FetchFault):
            fault = DocumentFault(code=addresses.code, message=addresses.message)
            raise OriginFailed(fault, addresses.retry_after_s)
        return msgspec.structs.replace(order, url=asked.uri, addresses=addresses)

    async def _begin(self, child: "_Child", order: Order) -> Tree:
        try:
            with anyio.fail_after(self._limit_s):
                answer = await child.ask(order)
        except TimeoutError as problem:
            fault = DocumentFault(
                code="too_slow",
                message=f"{order.path or order.url} was not read within {self._limit_s:g} s. Try again "
                "later, or follow a smaller repository.",
            )
            raise OriginFailed(fault) from problem
        if isinstance(answer, Tree):
            return answer
        raise OriginFailed(answer.fault if isinstance(answer, Failed) else _died())


async def _compare(
    child: "_Child", tree: Tree, asked: Look, known: Mapping[str, Entry], folder: Path
) -> AsyncGenerator[Seen, None]:
    """Yield what the tree says of each entry."""
    if tree.is_known:
        yield Listed(entries=len(known))
        for key in known:
            yield Same(key=key)
        return
    yield Listed(entries=len(tree.files))
    for key, blob in tree.files:
        entry = known.get(key)
        if entry is not None and entry.stamp == blob:
            yield Same(key=key)
        else:
            yield await _read(child, tree, asked, key, blob, folder)
    if tree.is_whole:
        there = {key for key, _ in tree.files}
        for key in known:
            if key not in there:
                yield Gone(key=key, is_certain=True)


async def _read(
    child: "_Child", tree: Tree, asked: Look, key: str, blob: str, folder: Path
) -> Changed | Refused:
    """Have a blob written to the look's folder."""
    body = folder / f"blob-{secrets.token_hex(16)}"
    is_kept = False
    try:
        with anyio.fail_after(_BLOB_LIMIT_S):
            answer = await child.ask(Blob(id=blob, to=os.fspath(body)))
        if isinstance(answer, Failed):
            return Refused(key=key, fault=answer.fault)
        if not isinstance(answer, Written):
            raise OriginFailed(_died())
        if answer.size > asked.most_bytes:
            message = f"{key} has {answer.size:,} bytes; {asked.most_bytes:,} are allowed. Exclude it."
            return Refused(key=key, fault=DocumentFault(code="too_large", message=message))
        is_kept = True
    except TimeoutError as problem:
        message = f"{key} was not read within {_BLOB_LIMIT_S:g} s. Exclude it, or try again later."
        raise OriginFailed(DocumentFault(code="too_slow", message=message)) from problem
    finally:
        if not is_kept:
            with anyio.CancelScope(shield=True):
                await anyio.Path(body).unlink(missing_ok=True)
    return Changed(
        key=key,
        name=key.rpartition("/")[2],
        uri=uri_of(asked.uri, tree.commit, key),
        body=body,
        title=key,
        stamp=blob,
        created_at=tree.committed_at,
    )


def uri_of(uri: str, commit: str, key: str) -> str:
    """Return where a person finds a file: the page that forges have for it, else git's way to write it."""
    if is_local(uri):
        return f"{uri}@{commit}:{key}"
    base = uri.rstrip("/").removesuffix(".git")
    between = "src/commit" if urlsplit(uri).hostname == "codeberg.org" else "blob"
    return f"{base}/{between}/{commit}/{quote(key)}"


class _Child:
    """The process that reads the repository."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self._process = process
        self._incoming = BufferedByteReceiveStream(process.stdout)

    async def ask(self, question: Order | Blob) -> Answer:
        """Send a line and return the answer. Raises OriginFailed where the child died."""
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send(msgspec.json.encode(question) + b"\n")
            return _answers.decode(await self._incoming.receive_until(b"\n", _LONGEST_ANSWER))
        except (
            anyio.BrokenResourceError,
            anyio.ClosedResourceError,
            anyio.EndOfStream,
            anyio.IncompleteRead,
            anyio.DelimiterNotFound,
            msgspec.DecodeError,
        ) as problem:
            raise OriginFailed(_died()) from problem

    async def end(self) -> None:
        """Kill and reap it. Bounded, not to be cancelled."""
        with anyio.move_on_after(_REAP_LIMIT_S, shield=True):
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        with anyio.CancelScope(shield=True):
            await self._process.aclose()


@asynccontextmanager
async def _child(home: str) -> AsyncIterator[_Child]:
    """Start a child that knows nothing of the server's environment: no proxy, no settings of git's."""
    root = Path(runtime.__path__[0]).parent
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    process = await anyio.open_process(
        [sys.executable, "-I", "-c", _START, os.fspath(root)],
        env=child_environment(os.environ) | kept | {"HOME": home, "TMPDIR": home},
        start_new_session=True,
        stdin=-1,
        stdout=-1,
        stderr=-3,
    )
    child = _Child(process)
    try:
        yield child
    finally:
        await child.end()


def _path(uri: str) -> str:
    try:
        return path_of(uri)
    except RequestInvalid as problem:
        raise OriginFailed(DocumentFault(code="refused", message=str(problem))) from problem


def _host(uri: str) -> tuple[str, int]:
    """Return host and port of a web address. Raises OriginFailed for all others."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme in _PORTS and host and "@" not in parts.netloc:
        return host, port or _PORTS[parts.scheme]
    message = (
        "Repositories are read by https: give their https address without user and password, and a token."
    )
    raise OriginFailed(DocumentFault(code="refused", message=message))


def _marks(asked: Look) -> str:
    """Return what tells looks apart that want different files of the same commit."""
    wanted = (asked.branch, asked.include, asked.exclude, asked.most_entries, asked.most_bytes)
    return hashlib.sha256(msgspec.json.encode(wanted)).hexdigest()[:16]


def _notes(tree: Tree, most: int) -> tuple[str, ...]:
    notes = []
    if not tree.is_whole:
        notes.append(f"There are more than {most:,} files: the others were left out. Exclude some.")
    if tree.links:
        notes.append(f"{tree.links:,} links were skipped.")
    if tree.modules:
        notes.append(f"{tree.modules:,} submodules were skipped: follow them as sources of their own.")
    return tuple(notes)


def _died() -> DocumentFault:
    return DocumentFault(
        code="broken",
        message="The process that reads the repository ended over it: it is damaged, or takes more than is "
        "allowed. Check it with `git fsck`, and the memory that is left.",
    )
