"""Whether two texts say the same, told by their words. Pure.

Three degrees: the same text (`hash_of`), much the same (`is_near`, with `simhash_of` as a cheap gate), and
the same said twice (`sayings_of`). Only the last may be merged without asking anybody, so it forgives no
more than case, punctuation and articles: texts that differ in one number or one name are different facts,
however near their vectors lie.
"""

import hashlib
import re
import unicodedata
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from runtime.core.memories import ItemKind

NEAR_BITS = 16
"""Of 64 bits of a simhash that may differ between texts worth a closer look; unlike ones differ in 32 ± 4."""
NEAR_SHARE = 0.5
"""Jaccard of words and word pairs from which on two texts say much the same."""
NEAR_COSINE = 0.86
"""Of two texts' vectors, for the same. Sentence models put rewordings at .85 to .95."""

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_EDGES = ".,;:!?\"'\u201c\u201d\u2018\u2019«»()[]{}…"
_ARTICLES = frozenset(
    (
        "a",
        "an",
        "the",
        "o",
        "os",
        "um",
        "uma",
        "uns",
        "umas",
        "el",
        "los",
        "las",
        "un",
        "una",
        "unos",
        "unas",
        "le",
        "les",
        "une",
        "der",
        "das",
        "ein",
        "eine",
        "einen",
        "il",
        "gli",
    )
)
"""Words that are articles in one language and nothing that matters in the others."""


class Print(NamedTuple):
    """What tells a text apart without reading it; worked out once, since long texts take milliseconds."""

    text_hash: str
    simhash: int
    sayings_hash: str
    """Of equal ones texts may be merged; empty: never."""


def print_of(text: str, kind: ItemKind) -> Print:
    """Return the fingerprints of an item's text."""
    exact = hash_of(text, kind)
    if kind == "procedure":
        # Case, indents and signs of a recipe or a command matter.
        return Print(exact, simhash_of(text), exact)

    sayings = "\n".join(sayings_of(text))
    return Print(exact, simhash_of(text), _sha256(sayings) if sayings else "")


def hash_of(text: str, kind: ItemKind) -> str:
    """Return the SHA-256 of the text, spaces apart. A procedure's line ends and indents count, too."""
    text = unicodedata.normalize("NFC", text)
    if kind == "procedure":
        plain = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    else:
        plain = " ".join(text.split())
    return _sha256(plain)


def simhash_of(text: str) -> int:
    """Return 64 bits as a signed number; texts that share words and word pairs differ in few of them."""
    digests = b"".join(
        hashlib.blake2b(each.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for each in sorted(features_of(text))
    )
    if not digests:
        return 0

    bits = np.unpackbits(np.frombuffer(digests, dtype=np.uint8).reshape(-1, 8), axis=1)
    majority = np.packbits(bits.sum(axis=0) * 2 > len(bits))
    return int.from_bytes(majority.tobytes(), "big", signed=True)


def features_of(text: str) -> frozenset[str]:
    """Return a text's words and pairs of neighbouring words, whatever their case."""
    words = _WORD.findall(text.casefold())
    return frozenset([*words, *(f"{one} {other}" for one, other in pairwise(words))])


def is_near(one: frozenset[str], other: frozenset[str]) -> bool:
    """Tell whether two texts say much the same, by their features."""
    if not one or not other:
        return False

    return len(one & other) >= NEAR_SHARE * len(one | other)


def sayings_of(text: str) -> tuple[str, ...]:
    """Return the text's words in order without articles, case of capitalised words and edges of sentences.

    Texts of equal sayings may be merged. Empty where a text is nothing but punctuation: never merged.
    """
    pieces = [piece.strip(_EDGES) for piece in unicodedata.normalize("NFC", text).split()]
    return tuple(
        _plain(piece) for place, piece in enumerate(pieces) if piece and not _is_article(place, piece)
    )


def _is_article(place: int, piece: str) -> bool:
    # In `vitamin A` it is none.
    return piece in _ARTICLES or (place == 0 and piece.lower() in _ARTICLES)


def _plain(piece: str) -> str:
    # `Tea` is `tea`, but `US` is not `us`.
    return piece.lower() if piece[1:].islower() else piece


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
