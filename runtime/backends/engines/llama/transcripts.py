"""The exact tokens of what was generated, for when a conversation comes back as text. Pure.

A model does not always spell a text with the tokens that the tokeniser would choose. Tokenised again, the
history of a conversation would part from what the context holds in the middle of the last answer. So the
runs of tokens between two control tokens that spell differently are kept by their text; where the same run
stands between control tokens of a prompt, these tokens are taken.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence, Set

KEPT_TOKENS = 1_000_000
"""Tokens kept in all: some ten megabytes."""


class Transcripts:
    """Runs of tokens by their text; those not used for longest go first."""

    def __init__(self, controls: Set[int], most_tokens: int = KEPT_TOKENS) -> None:
        self._controls = controls
        self._most_tokens = most_tokens
        self._runs: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._tokens = 0

    def note(
        self,
        prompt: Sequence[int],
        generated: Sequence[int],
        spell: Callable[[Sequence[int]], str],
        encode: Callable[[str], list[int]],
    ) -> None:
        """Keep the runs of an answer, the first one with what the prompt leads in with."""
        for run in self._split([*_tail(prompt, self._controls), *generated]):
            text = spell(run)
            if text and encode(text) != run:
                self._keep(text, run)

    def find(self, text: str) -> tuple[int, ...] | None:
        """Return the tokens that a text was generated with."""
        run = self._runs.get(text)
        if run is not None:
            self._runs.move_to_end(text)
        return run

    def __bool__(self) -> bool:
        return bool(self._runs)

    def _keep(self, text: str, run: list[int]) -> None:
        self._tokens -= len(self._runs.pop(text, ()))
        self._runs[text] = tuple(run)
        self._tokens += len(run)
        while self._tokens > self._most_tokens:
            _, oldest = self._runs.popitem(last=False)
            self._tokens -= len(oldest)

    def _split(self, tokens: Sequence[int]) -> Iterator[list[int]]:
        run: list[int] = []
        for token in tokens:
            if token in self._controls:
                if run:
                    yield run
                run = []
            else:
                run.append(token)
        if run:
            yield run


def _tail(prompt: Sequence[int], controls: Set[int]) -> list[int]:
    """Return what follows the last control token of the prompt."""
    at = len(prompt)
    while at and prompt[at - 1] not in controls:
        at -= 1
    return list(prompt[at:])
