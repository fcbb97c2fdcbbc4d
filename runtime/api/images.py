"""Pictures that come with a request: from base64 or a data URL to the core's ImagePart, or to a clear 400.

Nothing is fetched: a link in a message would make the server reach out on behalf of whoever wrote it. What a
picture is, is read from its first bytes, never from the type that the client states; so are its width and
height, since a small file can unpack to more than the memory holds. No decoding happens here. Pure.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

from runtime.api.errors import Refused, invalid
from runtime.core.messages import ImagePart

IMAGE_LIMIT_BYTES = 20 * 1024 * 1024
"""Of one picture as a file; what OpenAI takes. A whole body is bounded by server.max_body_bytes."""
PIXELS_LIMIT = 50_000_000
"""Of one picture, unpacked: above what cameras make, and 150 MB in memory."""
IMAGES_LIMIT = 64
"""Pictures in one request."""

ImageKind = Literal["png", "jpeg", "gif", "bmp", "webp"]

_NAMES = "PNG, JPEG, GIF, BMP or WebP"
_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?P<parameters>(?:;[^;,]*)*),", re.IGNORECASE)
_HEAD_CHARS = 200
"""How far into a data URL its comma is looked for."""
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's markers that carry width and height."""
_SEGMENTS_LIMIT = 1000
"""How many of a JPEG's segments are looked through; a picture's own are a few dozen."""
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG's markers without a length."""


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def image_of_url(url: str, param: str) -> ImagePart:
    """Return the picture that a data URL holds. Raises Refused; a link to elsewhere is not followed."""
    if url[:5].lower() != "data:":
        scheme = url.partition(":")[0][:16].lower()
        what = "Links to pictures are not followed" if scheme in ("http", "https") else "This is no data URL"
        raise invalid(
            f"{what}: this server fetches nothing for a message. Send the picture itself, as "
            "'data:image/png;base64,…'.",
            param,
            code="invalid_image_url",
        )

    found = _DATA_URL.match(url[:_HEAD_CHARS])
    if found is None or "base64" not in found["parameters"].lower().split(";"):
        raise invalid(
            "A data URL must have the form 'data:image/png;base64,…'.", param, code="invalid_image_url"
        )

    return image_of_base64(url[found.end() :], param)


def image_of_base64(text: str, param: str) -> ImagePart:
    """Return the picture that base64 text holds. Raises Refused."""
    if len(text) > IMAGE_LIMIT_BYTES * 2:  # base64 takes 4/3, line breaks a little more
        raise _too_large(param)

    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise invalid(f"'{param}' is not valid base64.", param, code="invalid_base64_image") from problem
    return image_of_bytes(data, param)


def image_of_bytes(data: bytes, param: str) -> ImagePart:
    """Return the picture that a file's bytes are. Raises Refused."""
    if len(data) > IMAGE_LIMIT_BYTES:
        raise _too_large(param)

    kind = kind_of(data)
    if kind is None:
        raise invalid(
            f"'{param}' is not a picture that can be read. Send {_NAMES}.",
            param,
            code="invalid_image_format",
        )

    size = size_of(data, kind)
    if size is None or size.width < 1 or size.height < 1:
        raise invalid(
            f"'{param}' begins like a {kind.upper()} file but is damaged or cut off.",
            param,
            code="image_parse_error",
        )

    if size.width * size.height > PIXELS_LIMIT:
        raise invalid(
            f"'{param}' has {size.width} by {size.height} pixels; at most "
            f"{PIXELS_LIMIT // 1_000_000} million are taken. Scale it down.",
            param,
            code="image_too_large",
        )

    return ImagePart(data=data)


def kind_of(data: bytes) -> ImageKind | None:
    """Return the format that the first bytes show; None where it is none that we know."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(b"BM"):
        return "bmp"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None


def size_of(data: bytes, kind: ImageKind) -> Size | None:
    """Return width and height as the file's head states them; None where it is cut off or damaged."""
    match kind:
        case "png":
            is_header = len(data) >= 24 and data[12:16] == b"IHDR"
            return Size(_big(data, 16, 4), _big(data, 20, 4)) if is_header else None
        case "gif":
            return Size(_little(data, 6, 2), _little(data, 8, 2)) if len(data) >= 13 else None
        case "bmp":
            return _bmp_size(data)
        case "jpeg":
            return _jpeg_size(data)
        case "webp":
            return _webp_size(data)


def _bmp_size(data: bytes) -> Size | None:
    if len(data) < 26:
        return None

    if _little(data, 14, 4) == 12:  # the oldest header
        return Size(_little(data, 18, 2), _little(data, 20, 2))

    # A negative height says that the rows go from top to bottom.
    height = int.from_bytes(data[22:26], "little", signed=True)
    return Size(_little(data, 18, 4), abs(height))


def _jpeg_size(data: bytes) -> Size | None:
    for marker, at in islice(_jpeg_segments(data), _SEGMENTS_LIMIT):
        if marker in _FRAME_HEADERS and at + 7 <= len(data):
            return Size(_big(data, at + 5, 2), _big(data, at + 3, 2))

    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each segment's marker and where its length stands, up to the picture's own data."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        at += 1 if marker == 0xFF else 2  # markers may be padded
        if marker == 0xFF or marker in _BARE_MARKERS:
            continue

        if marker in (0xD9, 0xDA):
            return

        yield marker, at
        at += max(2, _big(data, at, 2))


def _webp_size(data: bytes) -> Size | None:
    if len(data) < 30:
        return None

    match data[12:16]:
        case b"VP8 ":
            return Size(_little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF)
        case b"VP8L":
            bits = _little(data, 21, 4)
            return Size((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1)
        case b"VP8X":
            return Size(_little(data, 24, 3) + 1, _little(data, 27, 3) + 1)
        case _:
            return None


def _big(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _too_large(param: str) -> Refused:
    return invalid(
        f"'{param}' is larger than {IMAGE_LIMIT_BYTES} bytes. Send a smaller picture.",
        param,
        code="image_too_large",
    )
