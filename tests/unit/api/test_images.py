"""Pictures in requests: what they are is read from their bytes, and nothing is fetched."""

import base64
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api import images
from runtime.api.errors import Refusal, Refused
from runtime.api.images import Size, image_of_base64, image_of_bytes, image_of_url, kind_of, size_of
from runtime.core.messages import ImagePart

PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def png(width: int = 2, height: int = 3) -> bytes:
    return PNG_HEAD + struct.pack(">II", width, height) + b"\x08\x02\0\0\0"


def jpeg(width: int = 2, height: int = 3) -> bytes:
    app0 = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    frame = b"\xff\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + b"\0" * 9
    return b"\xff\xd8" + app0 + frame + b"\xff\xda\x00\x02" + b"\0" * 8


def gif(width: int = 2, height: int = 3) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0"


def bmp(width: int = 2, height: int = 3) -> bytes:
    return b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, width, height) + b"\0" * 8


def old_bmp(width: int = 2, height: int = 3) -> bytes:
    return b"BM" + b"\0" * 12 + struct.pack("<IHH", 12, width, height) + b"\0" * 8


def webp(chunk: bytes, body: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + chunk + b"\0\0\0\0" + body + b"\0" * 10


WEBP = {
    "lossy": webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 2, 3)),
    "lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", (2 - 1) | (3 - 1) << 14)),
    "extended": webp(b"VP8X", b"\0\0\0\0" + b"\x01\0\0" + b"\x02\0\0"),
}


def refuse(data: bytes) -> Refusal:
    with pytest.raises(Refused) as caught:
        image_of_bytes(data, "here")
    assert caught.value.refusal.param == "here"
    return caught.value.refusal


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (png(), "png"),
        (jpeg(), "jpeg"),
        (gif(), "gif"),
        (bmp(), "bmp"),
        (bmp(height=-3), "bmp"),
        (old_bmp(), "bmp"),
        (WEBP["lossy"], "webp"),
        (WEBP["lossless"], "webp"),
        (WEBP["extended"], "webp"),
    ],
)
def test_kind_and_size_are_read_from_the_bytes(data: bytes, kind: images.ImageKind) -> None:
    assert kind_of(data) == kind
    assert size_of(data, kind) == Size(2, 3)
    assert image_of_bytes(data, "here") == ImagePart(data=data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "invalid_image_format"),
        (b"<svg/>", "invalid_image_format"),
        (b"%PDF-1.7", "invalid_image_format"),
        (png()[:20], "image_parse_error"),
        (png(width=0), "image_parse_error"),
        (jpeg()[:22], "image_parse_error"),
        (b"\xff\xd8\xff\xd9\0\0\0\0", "image_parse_error"),
        (gif()[:8], "image_parse_error"),
        (bmp()[:20], "image_parse_error"),
        (webp(b"ALPH", b"\0" * 8), "image_parse_error"),
        (webp(b"VP8 ", b"")[:20], "image_parse_error"),
        (png(50_000, 50_000), "image_too_large"),
    ],
)
def test_what_is_no_whole_picture_or_unpacks_to_too_much_is_refused(data: bytes, code: str) -> None:
    assert refuse(data).code == code


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "IMAGE_LIMIT_BYTES", 10)

    assert refuse(png()).code == "image_too_large"
    with pytest.raises(Refused, match="larger than 10 bytes"):
        image_of_base64("A" * 21, "here")


def test_a_data_url_may_name_any_type_and_break_its_lines() -> None:
    text = base64.b64encode(png()).decode()

    assert image_of_url(f"data:image/jpeg;base64,{text}", "here").data == png()
    assert image_of_url(f"DATA:;charset=x;BASE64,{text[:10]}\r\n{text[10:]}", "here").data == png()


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("https://example.org/a.png", "invalid_image_url", "not followed"),
        ("HTTP://169.254.169.254/", "invalid_image_url", "not followed"),
        ("file:///etc/passwd", "invalid_image_url", "no data URL"),
        ("/9j/4AAQSkZJRg==", "invalid_image_url", "data:image/png;base64"),
        ("data:image/png,%89PNG", "invalid_image_url", "form"),
        ("data:image/png;base64", "invalid_image_url", "form"),
        ("data:image/png;base64,", "invalid_image_format", "not a picture"),
        ("data:image/png;base64,%%%", "invalid_base64_image", "base64"),
        ("data:image/png;base64,é", "invalid_base64_image", "base64"),
    ],
)
def test_a_url_that_holds_no_picture_is_refused_with_the_way_out(url: str, code: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        image_of_url(url, "here")

    assert caught.value.refusal.code == code
    assert words in caught.value.refusal.message


def test_a_jpeg_of_endless_segments_is_given_up() -> None:
    assert refuse(b"\xff\xd8" + b"\xff\xe0\0\0" * 100_000).code == "image_parse_error"


@given(
    st.sampled_from([png(), jpeg(), gif(), bmp(), *WEBP.values()]),
    st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=4)), max_size=4),
    st.integers(0, 80),
)
def test_a_damaged_picture_is_taken_or_refused_but_never_breaks_the_reader(
    whole: bytes, damages: list[tuple[int, bytes]], length: int
) -> None:
    stream = io.BytesIO(whole)
    for at, damage in damages:
        stream.seek(at)
        stream.write(damage)
    data = stream.getvalue()[:length]
    try:
        found = image_of_bytes(data, "here")
    except Refused:
        return  # said no, and did not break
    assert found.data == data
