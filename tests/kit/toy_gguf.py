"""Writes GGUF headers with any keys and tensors: files that can be read, not run."""

import struct
from collections.abc import Mapping, Sequence

UINT32, FLOAT32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
ALIGNMENT = 32

Value = bool | int | float | str | Sequence[str] | Sequence[int] | Sequence[bool]


def toy_gguf(values: Mapping[str, Value], tensors: Mapping[str, int]) -> bytes:
    """Return a whole file; `tensors` is name to bytes, multiples of 32."""
    start = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    keys = b"".join(_text(key) + _tagged(value) for key, value in values.items())
    places, offset = b"", 0
    for name, size in tensors.items():
        places += _text(name) + struct.pack("<IQIQ", 1, size, 0, offset)
        offset += size
    header = start + keys + places
    return header + bytes(-len(header) % ALIGNMENT + offset)


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _tagged(value: Value) -> bytes:
    kind, content = _plain(value)
    return struct.pack("<I", kind) + content


def _plain(value: Value) -> tuple[int, bytes]:
    match value:
        case bool():
            return BOOL, struct.pack("<?", value)
        case int():
            return UINT32, struct.pack("<I", value)
        case float():
            return FLOAT32, struct.pack("<f", value)
        case str():
            return STRING, _text(value)
        case _:
            parts = [_plain(each) for each in value]
            kind = parts[0][0] if parts else UINT32
            return ARRAY, struct.pack("<IQ", kind, len(parts)) + b"".join(content for _, content in parts)
