"""Whether guessing ahead pays, and how far: what a step costs against what it is expected to bring. Pure.

A step over m rows costs more than one over a single row, on some machines nearly m times as much, so the
cost is measured when the model is loaded. What a draft brings depends on how well this text can be
guessed, so that is learnt from each seq by itself. Both are joined into the speed of the whole batch:

    gain of d more rows = (tokens per second with them) / (tokens per second without)

A gate needs no trial runs to learn that guessing has begun to pay: guesses that nobody computes can be
compared with what comes (`drafts.py`), which costs nothing, so it is off until it is known to pay.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping

MOST_DRAFTED = 16
"""Beyond it even a good guess is rarely right to its end."""

MARGIN = 1.1
"""The gain that a draft must promise: the curve and the acceptance are both only estimates."""

FORCED_MARGIN = 1.05
"""The same for tokens that a grammar forces: they are certain, so only the curve may be wrong."""


_KEPT = 0.95
"""Of what earlier guesses taught, after each new one: about the last twenty count."""

_DOUBT_TOKENS, _DOUBT_RATE = 6.0, 0.3
"""What a seq is taken to have shown before it began: enough to keep a lucky draft from turning it on."""

_CAUTION = 0.5
"""Standard errors that the acceptance is taken to be lower than it looks: luck must not turn drafts on."""


class CostCurve:
    """Seconds that a step takes by its rows, from a few measurements. More rows never cost less."""

    def __init__(self, times: Mapping[int, float]) -> None:
        assert times, "a curve needs a point"
        assert all(rows > 0 and time_s > 0 for rows, time_s in times.items()), "rows and seconds are positive"
        self._rows: list[int] = []
        self._times: list[float] = []
        for rows, time_s in sorted(times.items()):
            self._rows.append(rows)
            self._times.append(max(time_s, self._times[-1]) if self._times else time_s)
        self._steps: dict[int, float] = {}
        """What was asked before; there are few sizes of a batch."""

    def step_s(self, rows: int) -> float:
        """Return how long a step takes: between measurements on a line, beyond the last on the same line.

        A single measurement says nothing about more rows, so each is taken to cost as much again.
        """
        time_s = self._steps.get(rows)
        if time_s is None:
            time_s = self._steps[rows] = self._interpolate(rows)
        return time_s

    def gain(self, tokens: float, rows: int, rows_beside: int) -> float:
        """Return how much faster the batch gets by `rows` more rows that bring `tokens` more tokens."""
        plain = rows_beside + 1
        return (plain + tokens) / plain * self.step_s(plain) / self.step_s(plain + rows)

    def is_worth_forcing(self, count: int, rows_beside: int) -> bool:
        """Whether to compute so many tokens at once that are certain, and not one in each step."""
        return count > 0 and self.gain(count, count, rows_beside) >= FORCED_MARGIN

    def _interpolate(self, rows: int) -> float:
        if rows <= self._rows[0]:
            return self._times[0]

        if len(self._rows) == 1:
            return self._times[0] * rows / self._rows[0]

        at = min(bisect_left(self._rows, rows), len(self._rows) - 1)
        few, many = self._rows[at - 1], self._rows[at]
        slope = (self._times[at] - self._times[at - 1]) / (many - few)
        return self._times[at - 1] + slope * (rows - few)


class Gate:
    """How far to guess ahead in one seq, from how its guesses fared. Off until they are known to be good."""

    def __init__(self, curve: CostCurve, *, most: int = MOST_DRAFTED) -> None:
        self._curve = curve
        self._most = most
        self._tried = _DOUBT_TOKENS
        self._right = _DOUBT_TOKENS * _DOUBT_RATE
        self._lengths: dict[int, int] = {}
        """What was decided by rows beside, since something new was seen."""

    @property
    def rate(self) -> float:
        """How likely a guess is right when all before it were."""
        return self._right / self._tried

    @property
    def _cautious_rate(self) -> float:
        error = math.sqrt(self.rate * (1 - self.rate) / self._tried)
        return max(0.0, self.rate - _CAUTION * error)

    def seen(self, drafted: int, accepted: int) -> None:
        """Learn from a draft whose first `accepted` tokens came indeed, computed ahead or only compared."""
        tried = accepted + (accepted < drafted)
        kept = _KEPT**tried
        self._tried = self._tried * kept + tried
        self._right = self._right * kept + accepted
        self._lengths.clear()

    def length(self, rows_beside: int) -> int:
        """Return how many tokens to draft for the next step; 0: none. Others' rows make drafts dearer."""
        length = self._lengths.get(rows_beside)
        if length is None:
            length = self._lengths[rows_beside] = self._decide(rows_beside)
        return length

    def _decide(self, rows_beside: int) -> int:
        best, best_gain = 0, MARGIN
        rate, chance, expected = self._cautious_rate, 1.0, 0.0
        for count in range(1, self._most + 1):
            chance *= rate
            expected += chance
            gain = self._curve.gain(expected, count, rows_beside)
            if gain >= best_gain:
                best, best_gain = count, gain

        return best
