"""What the server and a reading child say to each other: eight bytes of length, then MessagePack. Pure."""

import struct

import msgspec

from runtime.core.knowledge import Chunking, DocumentFault
from runtime.recall.parse.limits import Limits
from runtime.recall.parts import Parsed

LENGTH = struct.Struct(">Q")
BEGUN = b"\x06"
"""What a child says once it has a request: if it dies after that, it died of the document."""
EXIT_MEMORY = 4
"""A child took more memory than its document may, where the system does not enforce that by itself."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A document to be read."""

    path: str
    name: str
    media_type: str
    limits: Limits
    tesseract: str
    chunking: Chunking | None
    """How to cut it as well; None: not at all."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it: exactly one of `parsed`, `fault` and `recording`."""

    parsed: Parsed | None = None
    pieces: list[tuple[int, int, tuple[str, ...]]] = []
    """Start, end and heading of each."""
    fault: DocumentFault | None = None
    recording: str = ""
    """Media type of a recording: somebody else writes down what is said in it."""
    trace: str = ""
    """Where a format's reader failed unforeseen, for the log."""
    is_last: bool = False
    """Whether the child ends now: it has read enough, or has grown too large."""


def encode(message: Request | Answer) -> bytes:
    """Return a message as a frame."""
    payload = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(payload)) + payload


decode_request = msgspec.msgpack.Decoder(Request).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
