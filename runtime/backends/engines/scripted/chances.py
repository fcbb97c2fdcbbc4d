"""Log probabilities of scripted tokens: made up, but the same every time and consistent in themselves.

The chosen token is the likeliest one, no value exceeds 0, the alternatives come in falling order, and all
probabilities at a place add up to less than 1.
"""

import hashlib
import math

from runtime.backends.protocol import Alternative, Choice

_OTHERS = (
    " the", " a", " of", " to", " and", " in", " is", " it", " that", " for", " on", " with", " as", " at",
    " by", " this", " or", " be", " from", " not", ".", ",",
)  # fmt: skip
"""Tokens that could have stood there; two more than anybody may ask for."""


def choose(piece: str, position: int, count: int) -> Choice:
    """Return the piece as the token chosen at this position, with `count` tokens in the top list."""
    probability = _likelihood(piece, position)
    chosen = _alternative(piece, probability)
    top = [chosen] if count else []
    rest = 1.0 - probability
    for other in _OTHERS:
        if len(top) >= count:
            break
        if other != piece:
            rest /= 2
            top.append(_alternative(other, rest))

    return Choice(chosen=chosen, top=top)


def _likelihood(piece: str, position: int) -> float:
    """Return a probability from 0.5 up to 0.99."""
    digest = hashlib.sha256(f"{position} {piece}".encode()).digest()
    return 0.5 + 0.49 * int.from_bytes(digest[:4], "big") / 2**32


def _alternative(token: str, probability: float) -> Alternative:
    return Alternative(token=token, logprob=round(math.log(probability), 6), data=token.encode())
