r"""Log probabilities in the form of plain completions: four lists of equal length, one place per token.

A token whose bytes are no text by themselves (half a character) is written `bytes:\xe2\x82`, as OpenAI
does, so that two of them stay two keys. A token that nothing precedes has no probability: null.
"""

import codecs
import math
from collections.abc import Iterable

import msgspec

from runtime.core.messages import ChosenLogprob, TokenLogprob


class LegacyLogprobs(msgspec.Struct, kw_only=True):
    """Tokens of a text with their log probabilities."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    """The most likely tokens at each place, and the chosen one with them."""
    text_offset: list[int]
    """Where each token's text begins, in characters from the beginning of the answer."""


class LegacyWriter:
    """Writes one answer's log probabilities; it keeps count of the characters between pieces."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._offset = 0

    def write(self, chosen: Iterable[ChosenLogprob]) -> LegacyLogprobs:
        """Return the form of the next tokens."""
        legacy = LegacyLogprobs(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=[])
        for each in chosen:
            is_known = math.isfinite(each.logprob)
            legacy.tokens.append(token_text(bytes(each.bytes)))
            legacy.token_logprobs.append(each.logprob if is_known else None)
            legacy.top_logprobs.append(_top(each) if is_known else None)
            legacy.text_offset.append(self._offset)
            self._offset += len(self._decode(bytes(each.bytes)))
        return legacy


def token_text(data: bytes) -> str:
    """Return a token's text, or its bytes spelled out where they are no text by themselves."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{each:02x}" for each in data)


def mean_logprob(chosen: Iterable[ChosenLogprob]) -> float:
    """Return how likely an answer is per token; one without tokens is the least likely."""
    known = [each.logprob for each in chosen if math.isfinite(each.logprob)]
    return math.fsum(known) / len(known) if known else -math.inf


def _top(chosen: ChosenLogprob) -> dict[str, float]:
    places: list[TokenLogprob] = [*chosen.top_logprobs, chosen]
    return {token_text(bytes(each.bytes)): each.logprob for each in places if math.isfinite(each.logprob)}
