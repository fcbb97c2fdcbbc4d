"""Checks that a file is a whole GGUF header before llama.cpp is asked to read it, and reads what it says.

llama.cpp trusts much of what a header says, and a damaged one can abort the process. This walks every
length in it against the size of the file. Tensor data is llama.cpp's to check. What `read_metadata` keeps of
a header is small, however large the header is: of long lists only how long they are.
"""

import mmap
import re
import struct
from itertools import pairwise
from pathlib import Path

from runtime.backends.engines.llama.metadata import Counted, Metadata, Value, describe

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_VALUE_BYTES = {kind: struct.calcsize(f"<{form}") for kind, form in _FORMS.items()}
_STRING, _ARRAY = 8, 9
_LENGTH = struct.Struct("<Q")
_MAX_DIMENSIONS = 4
_MAX_NESTING = 4
"""Arrays of arrays exist in the format; no writer goes deeper than two."""
_KEPT_ENTRIES = 4096
"""Lists of numbers up to so long are kept: one number per layer."""
_KEPT_TEXT_BYTES = 1 << 20
_DEFAULT_ALIGNMENT = 32
_PART = re.compile(r"-00001-of-(\d{5})\.gguf\Z")
_MOST_PARTS = 999


class WeightsBroken(Exception):
    """The file cannot be a model; the message says why, as the end of a sentence about the file."""


def check_weights(path: Path) -> None:
    """Walk the header of the file. Raises WeightsBroken."""
    _walk(path)


def read_metadata(path: Path) -> Metadata:
    """Return what the file says of its model; of weights in several files, name the first.

    Raises WeightsBroken. Blocking: a tenth of a second where the vocabulary is large.
    """
    values: dict[str, Value] = {}
    tensors: dict[str, int] = {}
    for part in reversed(_parts(path)):
        walk = _walk(part)
        values.update(walk.values)  # the first part has the last word: it holds the model's own keys
        tensors.update(walk.sizes())

    return describe(values, tensors)


def read_text(path: Path, key: str) -> str:
    """Return the text that the file's header holds under a key; empty where it holds none.

    Raises WeightsBroken.
    """
    value = _walk(path).values.get(key)
    return value if isinstance(value, str) else ""


def _parts(path: Path) -> list[Path]:
    """Return all files of a model that was split, or the one."""
    found = _PART.search(path.name)
    count = int(found[1]) if found else 1
    if found is None or not 1 < count <= _MOST_PARTS:
        return [path]

    start = path.name[: found.start()]
    return [path.with_name(f"{start}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]


def _walk(path: Path) -> "_Walk":
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
                return _walk_header(view)
    except OSError as error:
        raise WeightsBroken(f"cannot be read: {error.strerror}") from error


def _walk_header(view: mmap.mmap) -> "_Walk":
    if view[:4] != _MAGIC:
        raise WeightsBroken("is not a GGUF file: it does not begin with 'GGUF'")

    walk = _Walk(view)
    try:
        walk.header()
    except (struct.error, IndexError) as error:
        raise WeightsBroken("is cut off or damaged: its header points past the end of the file") from error

    return walk


class _Walk:
    """A position in the header that moves forward; struct.error means that the file ended first."""

    def __init__(self, view: mmap.mmap) -> None:
        self._view = view
        self._at = len(_MAGIC)
        self._size = len(view)
        self._offsets: list[tuple[int, str]] = []
        self.values: dict[str, Value] = {}

    def header(self) -> None:
        version = self._number("<I")
        if version not in _VERSIONS:
            raise WeightsBroken(f"has GGUF version {version}; versions 2 and 3 can be read")

        tensors, entries = self._number("<Q"), self._number("<Q")
        if tensors == 0:
            raise WeightsBroken("holds no tensors: it is a vocabulary or another part, not a model")

        for _ in range(entries):
            key = self._text()
            self.values[key] = self._value(self._number("<I"), _MAX_NESTING)

        for _ in range(tensors):
            self._tensor()

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each tensor: from where it begins to where the next one does."""
        told = self.values.get("general.alignment")
        alignment = told if isinstance(told, int) and told > 0 else _DEFAULT_ALIGNMENT
        start = -(-self._at // alignment) * alignment
        ordered = [*sorted(self._offsets), (max(0, self._size - start), "")]
        return {name: max(0, end - begin) for (begin, name), (end, _) in pairwise(ordered)}

    def _number(self, form: str) -> int:
        (number,) = struct.unpack_from(form, self._view, self._at)
        self._at += struct.calcsize(form)
        return int(number)

    def _text(self) -> str:
        """Read a text; one that is longer than any that matters is passed over."""
        length = self._number("<Q")
        begin = self._at
        self._skip(length)
        return self._view[begin : self._at].decode("utf-8", "replace") if length <= _KEPT_TEXT_BYTES else ""

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > self._size:
            raise struct.error

    def _value(self, kind: int, nesting: int) -> Value:
        if kind == _STRING:
            return self._text()

        if kind == _ARRAY and nesting:
            return self._array(nesting)

        if kind not in _FORMS:
            raise WeightsBroken(f"is damaged: its header holds a value of the unknown type {kind}")

        (value,) = struct.unpack_from(f"<{_FORMS[kind]}", self._view, self._at)
        self._at += _VALUE_BYTES[kind]
        return value  # type: ignore[no-any-return]  # the forms are all numbers

    def _array(self, nesting: int) -> Value:
        kind, count = self._number("<I"), self._number("<Q")
        if kind in _FORMS:
            begin = self._at
            self._skip(_VALUE_BYTES[kind] * count)
            if count <= _KEPT_ENTRIES:
                return struct.unpack_from(f"<{count}{_FORMS[kind]}", self._view, begin)
        elif kind == _STRING:
            self._pass_texts(count)
        else:
            for _ in range(count):
                self._value(kind, nesting - 1)

        return Counted(count)

    def _pass_texts(self, count: int) -> None:
        """Pass over a list of texts; vocabularies have hundreds of thousands, so this loop is bare."""
        view, at, size, length_of = self._view, self._at, self._size, _LENGTH.unpack_from
        for _ in range(count):
            at += 8 + length_of(view, at)[0]
            if at > size:
                raise struct.error

        self._at = at

    def _tensor(self) -> None:
        name = self._text()
        dimensions = self._number("<I")
        if dimensions > _MAX_DIMENSIONS:
            raise WeightsBroken(f"is damaged: a tensor in its header has {dimensions} dimensions")

        self._skip(dimensions * 8 + 4)
        self._offsets.append((self._number("<Q"), name))
