"""Checks that a file is a whole GGUF header before llama.cpp is asked to read it.

llama.cpp trusts much of what a header says, and a damaged one can abort the process. This walks every
length in it against the size of the file. Tensor data is llama.cpp's to check.
"""

import mmap
import struct
from pathlib import Path

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 4
_MAX_NESTING = 4
"""Arrays of arrays exist in the format; no writer goes deeper than two."""


class WeightsBroken(Exception):
    """The file cannot be a model; the message says why, as the end of a sentence about the file."""


def check_weights(path: Path) -> None:
    """Walk the header of the file. Raises WeightsBroken."""
    if not path.exists():
        raise WeightsBroken("does not exist")

    if path.is_dir():
        raise WeightsBroken("is a folder; name the .gguf file in it")

    if not path.is_file():
        raise WeightsBroken("is not a regular file")

    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise WeightsBroken("is empty")

            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                _check_header(view)
    except OSError as error:
        raise WeightsBroken(f"cannot be read: {error.strerror}") from error


def _check_header(view: mmap.mmap) -> None:
    if view[:4] != _MAGIC:
        raise WeightsBroken("is not a GGUF file: it does not begin with 'GGUF'")

    try:
        _Walk(view).header()
    except (struct.error, IndexError) as error:
        raise WeightsBroken("is cut off or damaged: its header points past the end of the file") from error


class _Walk:
    """A position in the header that moves forward; struct.error means that the file ended first."""

    def __init__(self, view: mmap.mmap) -> None:
        self._view = view
        self._at = len(_MAGIC)

    def header(self) -> None:
        version = self._number("<I")
        if version not in _VERSIONS:
            raise WeightsBroken(f"has GGUF version {version}; versions 2 and 3 can be read")

        tensors, entries = self._number("<Q"), self._number("<Q")
        if tensors == 0:
            raise WeightsBroken("holds no tensors: it is a vocabulary or another part, not a model")

        for _ in range(entries):
            self._string()
            self._value(self._number("<I"), _MAX_NESTING)

        for _ in range(tensors):
            self._tensor()

    def _number(self, form: str) -> int:
        (number,) = struct.unpack_from(form, self._view, self._at)
        self._at += struct.calcsize(form)
        return int(number)

    def _string(self) -> None:
        self._skip(self._number("<Q"))

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._view):
            raise struct.error

    def _value(self, kind: int, nesting: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY and nesting:
            self._array(nesting)
        elif kind in _VALUE_BYTES:
            self._skip(_VALUE_BYTES[kind])
        else:
            raise WeightsBroken(f"is damaged: its header holds a value of the unknown type {kind}")

    def _array(self, nesting: int) -> None:
        kind, count = self._number("<I"), self._number("<Q")
        if kind in _VALUE_BYTES:
            self._skip(_VALUE_BYTES[kind] * count)
            return

        for _ in range(count):
            self._value(kind, nesting - 1)

    def _tensor(self) -> None:
        self._string()
        dimensions = self._number("<I")
        if dimensions > _MAX_DIMENSIONS:
            raise WeightsBroken(f"is damaged: a tensor in its header has {dimensions} dimensions")

        self._skip(dimensions * 8 + 4 + 8)
