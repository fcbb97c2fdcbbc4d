"""Whether the files of an index are as they were written.

Tantivy ends each file of a segment with a footer: its checksum (CRC-32) as JSON, the length of that JSON and
a magic number. The library writes it and does not look at it when it opens an index, so Lar does.
"""

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

_MAGIC = 1337
_TAIL_BYTES = 8
"""The footer's length and the magic number, four bytes each, little-endian."""
_LONGEST_FOOTER_BYTES = 50_000
_BLOCK_BYTES = 1 << 20


class Segments(NamedTuple):
    """What the index's own list of segments says."""

    names: tuple[str, ...]
    chunks: int
    """Entries that are alive."""
    removed: int
    """Entries that were removed and whose words are still in the files, until segments are merged."""


def segments(folder: Path) -> Segments:
    """Return what lies in an index. Raises OSError, ValueError, KeyError where its list is not readable."""
    listed: list[dict[str, Any]] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["segments"]
    removed = sum(int((each.get("deletes") or {}).get("num_deleted_docs", 0)) for each in listed)
    total = sum(int(each["max_doc"]) for each in listed)
    names = tuple(str(each["segment_id"]).replace("-", "") for each in listed)
    return Segments(names, total - removed, removed)


def damage(folder: Path) -> list[str]:
    """Return what is wrong with an index's files, a sentence each; reads all of them."""
    try:
        names = segments(folder).names
    except (OSError, ValueError, KeyError, TypeError) as problem:
        return [f"its list of segments cannot be read: {problem!r}"]

    found: list[str] = []
    present = sorted(folder.iterdir())
    for name in names:
        files = [path for path in present if path.name.startswith(name)]
        if not files:
            found.append(f"segment {name} is missing")
        found += [f"{path.name}: {wrong}" for path in files if (wrong := _wrong(path))]
    return found


def _wrong(path: Path) -> str:
    try:
        return _check(path)
    except OSError as problem:
        return f"cannot be read: {problem}"


def _check(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC.to_bytes(4, "little") or not 0 < length <= min(_LONGEST_FOOTER_BYTES, size - 8):
            return "its end is damaged"

        body = size - _TAIL_BYTES - length
        file.seek(body)
        try:
            expected = int(json.loads(file.read(length))["crc"])
        except (ValueError, KeyError, TypeError):
            return "its footer is damaged"

        file.seek(0)
        checksum, left = 0, body
        while left and (block := file.read(min(left, _BLOCK_BYTES))):
            checksum = zlib.crc32(block, checksum)
            left -= len(block)
    return "" if checksum == expected else "its checksum is wrong"
