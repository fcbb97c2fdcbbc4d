"""Guesses the next tokens of a text from where its last few stood before. Pure.

The method is prompt lookup decoding (Apoorv Saxena, "Prompt Lookup Decoding", 2023): answers that rewrite,
quote or repeat copy long runs of what is already there, so the text itself is the draft model. Every pair
of tokens is linked to where it stood before; a draft follows the links, newest place first, and takes the
one where the longest run agrees, of up to four tokens. A single token says too little. Indexing waits until
a draft is wanted, and appending costs as much as to a list.
"""

from array import array
from collections.abc import Sequence

_MOST_PLACES = 64
"""How many places of a pair are looked at. Frequent pairs stand everywhere, and recent places tell most."""

_PAIR = 2
_NOWHERE = -1


class Lookup:
    """One text that grows."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)
        self._newest: dict[int, int] = {}
        """Where each pair ended last, as far as is indexed: the place of its second token."""
        self._earlier = array("i", [_NOWHERE])
        """For the pair that ends at each place: where it ended before."""

    def extend(self, token: int) -> None:
        """Append a token."""
        self._tokens.append(token)

    def draft(self, most: int) -> list[int]:
        """Return up to `most` tokens that may come next; none where the text never said so before.

        A run that reaches the end goes on with what it guessed: repetition is taken to repeat.
        """
        end = len(self._tokens)
        if end < _PAIR or most < 1:
            return []

        self._index()
        place = self._best_place(self._newest.get(self._pair(end - 1), _NOWHERE))
        if place == _NOWHERE:
            return []

        guessed = self._tokens[place + 1 : place + 1 + most]
        period = end - 1 - place
        while len(guessed) < most:
            guessed.append(guessed[len(guessed) - period])
        return guessed

    def _index(self) -> None:
        """Link the pairs that came since, without the last one: it would find itself."""
        tokens, newest, earlier = self._tokens, self._newest, self._earlier
        for place in range(len(earlier), len(tokens) - 1):
            pair = tokens[place - 1] << 32 | tokens[place]
            earlier.append(newest.get(pair, _NOWHERE))
            newest[pair] = place

    def _pair(self, place: int) -> int:
        return self._tokens[place - 1] << 32 | self._tokens[place]

    def _best_place(self, place: int) -> int:
        """Return the place that the longest run ends at, the newest of them. The pair itself agrees."""
        tokens, earlier, last = self._tokens, self._earlier, len(self._tokens) - 1
        third, fourth = tokens[last - 2], tokens[last - 3]  # meaningless in a short text, and not used then
        best, longest = place, _PAIR
        for _ in range(_MOST_PLACES):
            if place == _NOWHERE:
                break

            if place > 1 and tokens[place - 2] == third:
                if place > 2 and tokens[place - 3] == fourth:
                    return place

                if longest == _PAIR:
                    best, longest = place, _PAIR + 1

            place = earlier[place]

        return best
