"""Length-prefixed frames on a byte stream: four bytes of big-endian length, then the payload.

Pure: bytes in, frames out. Reading and writing pipes is the caller's.
"""

import struct

_LENGTH = struct.Struct(">I")

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""A longer frame is a fault of the peer (noise on the pipe, not a message)."""


class FrameTooLarge(ValueError):
    """The stream announces or is given a frame beyond MAX_FRAME_BYTES; it cannot be resynchronised."""


def encode_frame(payload: bytes) -> bytes:
    """Return the payload with its length in front. Raises FrameTooLarge."""
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"a frame of {len(payload)} bytes exceeds {MAX_FRAME_BYTES}")

    return _LENGTH.pack(len(payload)) + payload


class FrameDecoder:
    """Collects bytes as they arrive and gives back whole payloads, in order, however the bytes were split."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take more bytes; return the payloads that are now complete. Raises FrameTooLarge."""
        self._buffer += chunk
        payloads: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > MAX_FRAME_BYTES:
                raise FrameTooLarge(f"the peer announces a frame of {length} bytes")

            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break

            payloads.append(bytes(self._buffer[start + _LENGTH.size : end]))
            start = end

        del self._buffer[:start]
        return payloads

    @property
    def pending_bytes(self) -> int:
        """Bytes of an unfinished frame; not zero at the end of a stream means it was cut."""
        return len(self._buffer)
