"""Pictures among the tokens of a prompt: where they stand, and what tokens stand for them. Pure.

A picture has no tokens of the vocabulary. It gets made-up ones, negative and derived from its bytes, so that
all that knows prefixes by their tokens knows pictures too: the same picture at the same place is the same
prefix, in the context, in the vault and on disk. A projector may cut a picture into parts and write control
tokens between them; each part stands for itself.
"""

import hashlib
from array import array
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from runtime.backends.engines.llama.masking import Piece
from runtime.backends.engines.llama.plan import Picture
from runtime.backends.engines.llama.template import MEDIA

_MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM")
_ADVICE = "Send it as PNG, JPEG, GIF or BMP."

_TOKEN_BYTES = 4
_LEAST_TOKEN = -(2**31)

Part = tuple[int, ...] | int
"""Tokens of text that the projector writes, or how many tokens a part of the picture takes."""


class Look(NamedTuple):
    """What a picture becomes in a prompt."""

    digest: str
    """Of its bytes."""
    parts: tuple[Part, ...]

    @property
    def length(self) -> int:
        """How many tokens it takes in all."""
        return sum(part if isinstance(part, int) else len(part) for part in self.parts)


class Prompt(NamedTuple):
    """A prompt with pictures in it."""

    tokens: list[int]
    pictures: tuple[Picture, ...]


class PictureUnreadable(Exception):
    """Bytes that are no picture, or none that can be decoded; the text is the end of a sentence about it."""


class Eyes(Protocol):
    """What a model with a projector sees with."""

    def look(self, data: bytes) -> Look:
        """Return what a picture becomes. Raises PictureUnreadable."""


def check_format(data: bytes) -> None:
    """Let pass what looks like a picture that can be decoded. Raises PictureUnreadable."""
    if data.startswith(_MAGICS):
        return

    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        raise PictureUnreadable(f"is in the format WebP, which this engine cannot decode. {_ADVICE}")

    raise PictureUnreadable(f"is in no format that this engine knows. {_ADVICE}")


def digest_of(data: bytes) -> str:
    """Return what names these bytes, and no others, for good: answers of others depend on it."""
    return hashlib.blake2b(data, digest_size=24).hexdigest()


def part_of(key: str) -> tuple[str, int]:
    """Return the digest of the picture that a key names, and which of its parts."""
    digest, _, place = key.partition(":")
    return digest, int(place)


def split_at_media(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Cut the pieces of a prompt where pictures belong: one more than there are pictures."""
    segments: list[list[Piece]] = [[]]
    for piece in pieces:
        texts = piece.text.split(MEDIA) if piece.is_trusted else [piece.text]
        for place, text in enumerate(texts):
            if place:
                segments.append([])
            if text:
                segments[-1].append(Piece(text, piece.is_trusted))
    return segments


def weave(segments: Sequence[Sequence[int]], looks: Sequence[Look]) -> Prompt:
    """Return the prompt of the tokens of text, with a picture between each two segments."""
    assert len(segments) == len(looks) + 1
    tokens: list[int] = list(segments[0])
    pictures: list[Picture] = []
    for segment, look in zip(segments[1:], looks, strict=True):
        for place, part in enumerate(look.parts):
            if isinstance(part, int):
                picture = Picture(len(tokens), part, f"{look.digest}:{place}")
                pictures.append(picture)
                tokens += made_up_tokens(picture.key, part)
            else:
                tokens += part
        tokens += segment
    return Prompt(tokens, tuple(pictures))


def made_up_tokens(key: str, count: int) -> list[int]:
    """Return the tokens that stand for a picture: negative, and always the same."""
    numbers = array("i")
    numbers.frombytes(hashlib.shake_256(key.encode()).digest(count * _TOKEN_BYTES))
    return [number | _LEAST_TOKEN for number in numbers]


def words_only(tokens: Sequence[int]) -> list[int]:
    """Return the tokens without those of pictures."""
    return [token for token in tokens if token >= 0]


def last_words(tokens: Sequence[int], pictures: Sequence[Picture]) -> Sequence[int]:
    """Return the tokens that follow the last picture."""
    return tokens[pictures[-1].start + pictures[-1].length :] if pictures else tokens
