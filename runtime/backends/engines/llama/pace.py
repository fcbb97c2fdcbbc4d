"""How many prompt tokens one step may compute, from how fast this machine turned out to be.

Pure: the shell measures, this decides. Sizes come from a short ladder with some inertia, since the shape
of a batch shows in the last digits of the logits: the same prompt should be cut the same way next time.
"""

from typing import NamedTuple

ALONE_S = 1.0
"""A step without any stream to feed: long enough for full speed, short enough to see a cancel."""

BESIDE_S = 0.4
"""A step that streams wait for: the longest pause that a reader gets between two tokens."""

_WHOLE_TOKENS, _WHOLE_S = 64, 2.0
"""A prompt as short as this is computed in one go where that takes no longer: most are never cut."""

_WHOLE_BESIDE_TOKENS, _WHOLE_BESIDE_S = 128, 0.8
"""The same beside streams. One pause costs a reader less than many small ones with the same work in them, and
small slices are computed at half the speed of large ones: what an agent adds in a turn goes in one step."""

_LADDER = (16, 32, 64, 128, 256, 512, 1024, 2048)
_INERTIA = 1.3
"""A larger size must promise this much room before it is taken, and a smaller one is taken at once."""

_WEIGHT = 0.3
"""Of the newest measurement in the running mean of the speed."""

_LEAST_TOKENS = 16
"""Shorter slices say more about the fixed cost of a step than about speed."""


_ROWS_WEIGHT = 0.1
"""Of the newest measurement in the running mean of what a generated token costs."""


class Budgets(NamedTuple):
    """Prompt tokens for a step: when nobody streams, and beside streams."""

    alone: int
    beside: int
    whole: int = 0
    """Beside streams a prompt with no more than this left is computed to its end, even beyond `beside`."""


class Pace:
    """Keeps the speed of prompt computation and the slice sizes that fit it."""

    def __init__(self, most_tokens: int, tokens_per_s: float) -> None:
        self._sizes = [size for size in _LADDER if size < most_tokens] + [most_tokens]
        self._speed = tokens_per_s
        self._row_s = 0.0
        """What one generated token adds to a step."""
        self._alone = self._settle(self._sizes[0], ALONE_S)
        self._beside = self._settle(self._sizes[0], BESIDE_S)

    @property
    def budgets(self) -> Budgets:
        """The sizes to plan the next step with."""
        whole = min(_WHOLE_TOKENS, self._sizes[-1])
        is_quick = whole <= self._speed * _WHOLE_S
        return Budgets(
            alone=max(self._alone, whole) if is_quick else self._alone,
            beside=self._beside,
            whole=min(_WHOLE_BESIDE_TOKENS, self._sizes[-1], int(self._speed * _WHOLE_BESIDE_S)),
        )

    def measured(self, prompt_tokens: int, generated: int, duration_s: float) -> None:
        """Learn from a step that computed so many prompt tokens beside so many generated ones.

        What the generated ones cost is known from steps without a prompt, and taken off. Steps with few
        prompt tokens teach nothing about prompts.
        """
        if duration_s <= 0:
            return

        if prompt_tokens == 0 and generated > 0:
            self._row_s += _ROWS_WEIGHT * (duration_s / generated - self._row_s)
        if prompt_tokens < _LEAST_TOKENS:
            return

        prompt_s = max(duration_s - generated * self._row_s, duration_s / 4)
        self._speed += _WEIGHT * (prompt_tokens / prompt_s - self._speed)
        self._alone = self._settle(self._alone, ALONE_S)
        self._beside = self._settle(self._beside, BESIDE_S)

    def _settle(self, current: int, target_s: float) -> int:
        room = self._speed * target_s
        sizes = [size for size in self._sizes if size <= current and size <= room]
        sizes += [size for size in self._sizes if size > current and size * _INERTIA <= room]
        return max(sizes, default=self._sizes[0])
