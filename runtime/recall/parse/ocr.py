"""Pictures of text read by Tesseract, a program that the user installs. It is given pixels, never a file."""

import subprocess

import pypdfium2  # type: ignore[import-untyped]  # pypdfium2 ships no types

_DOTS_PER_INCH = 300
_POINTS_PER_INCH = 72
_MAX_PIXELS = 30_000_000
"""A2 at 200 dots per inch; a page that claims to be larger is rendered more coarsely."""
_LIMIT_S = 60.0
"""For one page; the document's own limit ends it anyhow."""


def page_text(page: pypdfium2.PdfPage, tesseract: str) -> str:
    """Return what Tesseract reads on a page, empty where it fails."""
    width, height = page.get_size()
    inches = max(width * height, 1.0) / _POINTS_PER_INCH**2
    dots = min(_DOTS_PER_INCH, (_MAX_PIXELS / inches) ** 0.5)
    bitmap = page.render(scale=dots / _POINTS_PER_INCH, grayscale=True)
    try:
        return picture_text(_graymap(bitmap), tesseract, int(dots))
    finally:
        bitmap.close()


def picture_text(picture: bytes, tesseract: str, dots_per_inch: int = _DOTS_PER_INCH) -> str:
    """Return what Tesseract reads in a picture (PNM, PNG, JPEG, TIFF), empty where it fails."""
    command = [tesseract, "stdin", "stdout", "--dpi", str(dots_per_inch)]
    try:
        done = subprocess.run(  # noqa: S603 - the program of the operator; the picture comes through a pipe
            command,
            input=picture,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _graymap(bitmap: pypdfium2.PdfBitmap) -> bytes:
    """Return a bitmap of one byte for each pixel as PGM."""
    pixels = memoryview(bytes(bitmap.buffer))
    rows = (pixels[row * bitmap.stride : row * bitmap.stride + bitmap.width] for row in range(bitmap.height))
    return b"P5 %d %d 255\n" % (bitmap.width, bitmap.height) + b"".join(rows)
