"""One computed prefix as a file: how it is laid out, written whole or not at all, and verified when read.

    magic │ length of header │ digest of header │ header: identity, tokens, size, digest of blob │ blob

A header that does not equal its digest would give one prompt the memory of another, so it is checked before
it is believed; the blob is checked whenever it is read. Blobs are large: they are written from where they
lie, and read into the memory that is handed out.
"""

import hashlib
import os
import stat
from array import array
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

import msgspec

Blob = bytes | bytearray
"""What llama.cpp gives for the state of a sequence. Changed by nobody after it was handed over."""

VERSION = 1
_MAGIC = b"LARPREF1"
_DIGEST_BYTES = 32
_LENGTH_BYTES = 4
_PREAMBLE_BYTES = len(_MAGIC) + _LENGTH_BYTES + _DIGEST_BYTES
_MOST_HEADER_BYTES = 64 * 1024 * 1024
"""More than the tokens of any context take: a length beyond it is damage, and reserves no memory."""


class Damaged(Exception):
    """The file is not what was written, or another identity or version wrote it."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself."""

    version: int = VERSION
    identity: str
    namespace: str
    tokens: list[int]
    size: int
    digest: bytes


def name_prefix(identity: str, namespace: str, tokens: Sequence[int]) -> str:
    """Return the name under which every worker keeps these tokens; tells nothing about them."""
    name = hashlib.sha256()
    for text in (identity, namespace):
        name.update(len(text.encode()).to_bytes(_LENGTH_BYTES, "little"))
        name.update(text.encode())
    name.update(array("i", tokens).tobytes())
    return name.hexdigest()


def pack_header(identity: str, namespace: str, tokens: Sequence[int], blob: Blob) -> bytes:
    """Return all that comes before the blob. Reads the blob once, for its digest."""
    header = msgspec.msgpack.encode(
        Header(
            identity=identity,
            namespace=namespace,
            tokens=list(tokens),
            size=len(blob),
            digest=_digest(blob),
        )
    )
    return b"".join((_MAGIC, len(header).to_bytes(_LENGTH_BYTES, "little"), _digest(header), header))


def write_new(path: Path, parts: Sequence[Blob]) -> None:
    """Write a file that does not exist yet, readable by its owner alone. Raises OSError."""
    with open(path, "xb", buffering=0, opener=_open_private) as file:
        for part in parts:
            left = memoryview(part)
            while left:
                left = left[file.write(left) :]


def open_whole(path: Path) -> FileIO:
    """Open a file for reading. Raises OSError, and Damaged for what is no plain file."""
    file = open(path, "rb", buffering=0, opener=_open_private)  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Damaged

    return file


def read_header(file: FileIO, identity: str) -> Header:
    """Read up to where the blob begins. Raises Damaged, OSError."""
    preamble = _read_exactly(file, _PREAMBLE_BYTES)
    length = int.from_bytes(preamble[len(_MAGIC) :][:_LENGTH_BYTES], "little")
    if preamble[: len(_MAGIC)] != _MAGIC or length > _MOST_HEADER_BYTES:
        raise Damaged

    packed = _read_exactly(file, length)
    if _digest(packed) != preamble[-_DIGEST_BYTES:]:
        raise Damaged

    try:
        header = msgspec.msgpack.decode(packed, type=Header)
    except msgspec.MsgspecError as problem:
        raise Damaged from problem

    is_ours = header.version == VERSION and header.identity == identity
    if not is_ours or os.fstat(file.fileno()).st_size != _PREAMBLE_BYTES + length + header.size:
        raise Damaged

    return header


def read_blob(file: FileIO, header: Header) -> bytearray:
    """Read what follows the header. Raises Damaged, OSError."""
    blob = _read_exactly(file, header.size)
    if _digest(blob) != header.digest:
        raise Damaged

    return blob


def _open_private(path: str, flags: int) -> int:
    """Follow no link, wait for no pipe, and let nobody else read what is created."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)


def _read_exactly(file: FileIO, length: int) -> bytearray:
    """Read in as many goes as it takes: the system returns at most 2 GiB at a time."""
    read = bytearray(length)
    left = memoryview(read)
    while left:
        count = file.readinto(left)
        if not count:
            raise Damaged

        left = left[count:]

    return read


def _digest(part: Blob) -> bytes:
    """SHA-256, since most processors compute it themselves: a quarter of the time of any other here."""
    return hashlib.sha256(part).digest()
