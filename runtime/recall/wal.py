"""Looks for damage of a write-ahead log that DuckDB takes for an unfinished end.

    header  entry entry flush  entry flush …      entry: size (8 bytes), checksum (8), content

A crash may leave an unfinished entry at the end: nothing of it was acknowledged, and DuckDB rightly leaves it
out. A flipped bit in the header, or in the size of an entry, looks the same to DuckDB, which then leaves out
all that follows, although it was committed. Here it is told: a flush lies behind what cannot be read.
"""

import logging
import mmap
import re
import struct
from pathlib import Path

import duckdb

logger = logging.getLogger(__name__)

_KNOWN = duckdb.__version__.startswith("2.0.")
"""Of these versions the layout is known. Of others it is not judged whether a strange header is damage."""
_HEADER = re.compile(
    rb"d\0be\0\x02f\0\x10(?:[\x80-\xff]*[\0-\x7f]){16}g\0[\x80-\xff]*[\0-\x7f]\xff\xff", re.DOTALL
)
_PREFIX_BYTES = 16
_FLUSH = b"d\0d\xff\xff"
_WHOLE_FLUSH = re.compile(re.escape(struct.pack("<Q", len(_FLUSH))) + rb".{8}" + re.escape(_FLUSH), re.DOTALL)


def is_log_damaged(log: Path) -> bool:
    """Tell whether commits lie behind something that cannot be read; checksums are DuckDB's to check."""
    if not log.exists() or not log.stat().st_size:
        return False

    with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        header = _HEADER.match(content)
        if header is None:
            if not _KNOWN:
                logger.info("the layout of this write-ahead log is unknown", extra={"path": str(log)})
                return False
            return _has_flush(content, 0)

        position = _walk(content, header.end())
        return position < len(content) and _has_flush(content, position)


def _walk(content: mmap.mmap, position: int) -> int:
    """Return where the first entry begins that does not fit into the file; its length if all do."""
    while position + _PREFIX_BYTES <= len(content):
        (size,) = struct.unpack_from("<Q", content, position)
        following = position + _PREFIX_BYTES + size
        if following > len(content):
            return position
        position = following
    return position


def _has_flush(content: mmap.mmap, position: int) -> bool:
    is_at_end = len(content) - position >= len(_FLUSH) and content[-len(_FLUSH) :] == _FLUSH
    return is_at_end or _WHOLE_FLUSH.search(content, position) is not None
