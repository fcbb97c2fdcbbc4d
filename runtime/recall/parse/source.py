"""The document that a format's reader is given: where its bytes lie and what is known about it."""

from pathlib import Path
from typing import NamedTuple

from runtime.recall.parse.limits import Limits


class Source(NamedTuple):
    """One document to be read. Its name is data, never a path."""

    path: Path
    name: str
    media_type: str
    """As found out, without parameters."""
    charset: str
    """As whoever gave the document says; empty: not told."""
    limits: Limits
    tesseract: str
    """Path of the OCR program; empty: there is none."""

    def content(self) -> bytes:
        """Return all bytes."""
        return self.path.read_bytes()

    @property
    def suffix(self) -> str:
        """What follows the name's last dot, in lower case, with the dot; empty where there is none."""
        return Path(self.name.replace("\\", "/")).suffix.lower()
