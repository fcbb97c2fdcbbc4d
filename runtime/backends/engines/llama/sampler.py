"""Chooses the next token of a seq from a row of logits, with numpy and without sorting a vocabulary.

The order is: bias and penalties, temperature, min_p, top_k, typical_p, top_p, then one draw of the seq's own
generator.
"""

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from runtime.backends.engines.llama.recipe import Picked, Recipe

Array = Any
"""A numpy array: numpy lives only in the engine's environment, so its types are not at hand."""

_COLDEST = 1e-6
"""Below this temperature only the likeliest token has any chance."""

_REPEAT_WINDOW = 64
"""Tokens that the repeat penalty looks back on, prompt included."""

_SORTED = 1024
"""The greatest candidates, which are sorted. Where these do not hold top_p, the border is bisected."""

_HALVINGS = 48
"""Bisections: as fine as the weights themselves."""

_SLACK = 1e-3

_LEAST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON cannot say."""

_SEED_MASK = 2**64 - 1


class LogitsBroken(Exception):
    """The model computed no usable number for any token."""


class Sampler:
    """The choices of one seq. The same recipe, seed and logits give the same tokens."""

    def __init__(self, recipe: Recipe, prompt: Sequence[int], ends: Sequence[int]) -> None:
        self._recipe = recipe
        self._counts: Counter[int] = Counter()
        self._recent = deque(prompt[-_REPEAT_WINDOW:], maxlen=_REPEAT_WINDOW)
        self._bias_tokens = np.array(list(recipe.bias), dtype=np.int64)
        self._bias_values = np.array(list(recipe.bias.values()), dtype=np.float32)
        self._banned = np.array(ends if recipe.is_endless else (), dtype=np.int64)
        seed = None if recipe.seed is None else recipe.seed & _SEED_MASK
        self._random = np.random.Generator(np.random.PCG64(seed))

    def pick(self, row: Array) -> Picked:
        """Choose a token. Neither row nor memory is modified: `note` what was taken. Raises LogitsBroken."""
        adjusted = self._adjust(row)
        likeliest = int(adjusted.argmax())
        if not math.isfinite(adjusted[likeliest]):
            raise LogitsBroken("the model computed no finite probability for any token")

        token = likeliest if self._recipe.temperature < _COLDEST else self._draw(adjusted)
        return Picked(token)

    def note(self, token: int) -> None:
        """Remember a token of the answer, for the penalties."""
        self._counts[token] += 1
        self._recent.append(token)

    @property
    def wants_logprobs(self) -> bool:
        """Whether each token's chances are to be told."""
        return self._recipe.alternatives is not None

    def explain(self, token: int, row: Array | None) -> Picked:
        """Return the token with log probabilities, where they were asked for and there are any."""
        if row is None:
            return Picked(token)

        return (
            Picked(token)
            if self._recipe.alternatives is None
            else with_logprobs(token, row, self._recipe.alternatives)
        )

    def _adjust(self, row: Array) -> Array:
        """Apply bias and penalties to a copy, where there are any."""
        recipe = self._recipe
        repeats = recipe.repeat_penalty != 1.0 and self._recent
        penalised = (recipe.presence_penalty or recipe.frequency_penalty) and self._counts
        if not (repeats or penalised or self._banned.size or self._bias_tokens.size):
            return row

        row = row.copy()
        if repeats:
            tokens = np.fromiter(set(self._recent), dtype=np.int64)
            values = row[tokens]
            row[tokens] = np.where(values > 0, values / recipe.repeat_penalty, values * recipe.repeat_penalty)

        if penalised:
            tokens = np.fromiter(self._counts.keys(), dtype=np.int64)
            counts = np.fromiter(self._counts.values(), dtype=np.float32)
            row[tokens] -= recipe.presence_penalty + recipe.frequency_penalty * counts

        row[self._bias_tokens] += self._bias_values
        row[self._banned] = -np.inf
        return row

    def _draw(self, row: Array) -> int:
        recipe = self._recipe
        tokens = _candidates(row, recipe)
        values = row[tokens].astype(np.float64)
        weights = np.exp((values - values.max()) / recipe.temperature)
        kept = weights >= recipe.min_p
        tokens, weights = tokens[kept], weights[kept]
        if recipe.typical_p < 1:
            places = _typical(weights, recipe.typical_p)
            tokens, weights = tokens[places], weights[places]
        if recipe.top_p < 1:
            places = _nucleus(weights, recipe.top_p)
            tokens, weights = tokens[places], weights[places]

        totals = np.cumsum(weights)
        place = int(np.searchsorted(totals, self._random.random() * totals[-1], side="right"))
        return int(tokens[min(place, len(tokens) - 1)])


def _candidates(row: Array, recipe: Recipe) -> Array:
    """Return the tokens that top_k leaves of about those that min_p will leave.

    The threshold of min_p costs one pass over the row and leaves few, so it comes first; a little slack
    covers the rounding, since the weights are compared exactly afterwards.
    """
    if recipe.min_p > 0:
        floor = float(row.max()) + recipe.temperature * math.log(recipe.min_p) - _SLACK
        tokens = np.flatnonzero(row >= floor)
    else:
        tokens = np.arange(len(row))

    if 0 < recipe.top_k < len(tokens):
        tokens = tokens[top_places(row[tokens], recipe.top_k)]

    return tokens


def top_places(row: Array, count: int) -> Array:
    """Return where the `count` greatest values stand, in no order.

    The row is laid out as a table and its columns are reduced to their greatest values: the `count`-th
    greatest of these is no more than the `count`-th greatest of all, so few values are left to compare.
    """
    height = max(1, min(64, len(row) // (4 * count)))
    width = len(row) // height
    peaks = row[: height * width].reshape(height, width).max(axis=0)
    if width > count:
        floor = np.partition(peaks, width - count)[width - count]
        places = np.flatnonzero(row >= floor)
    else:
        places = np.arange(len(row))

    if len(places) <= count:
        return places

    return places[np.argpartition(row[places], len(places) - count)[-count:]]


def _nucleus(weights: Array, top_p: float) -> Array:
    """Return where the fewest, greatest weights stand that hold this share of the whole."""
    wanted = top_p * weights.sum()
    places = top_places(weights, _SORTED) if len(weights) > _SORTED else np.arange(len(weights))
    places = places[np.argsort(-weights[places], kind="stable")]
    totals = np.cumsum(weights[places])
    if totals[-1] >= wanted or len(places) == len(weights):
        return places[: int(np.searchsorted(totals, wanted)) + 1]

    low, high = 0.0, float(weights.max())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if weights[weights >= middle].sum() >= wanted:
            low = middle
        else:
            high = middle

    return np.flatnonzero(weights >= low)


def _typical(weights: Array, typical_p: float) -> Array:
    """Return where the weights stand that are the least surprising in either direction.

    Locally typical sampling: Meister et al., "Locally Typical Sampling" (TACL 2023). Tokens are taken in the
    order of how far their information is from the entropy, until they hold this share of the whole.
    """
    chances = weights / weights.sum()
    information = -np.log(np.maximum(chances, np.finfo(np.float64).tiny))
    entropy = float((chances * information).sum())
    order = np.argsort(np.abs(information - entropy), kind="stable")
    count = int(np.searchsorted(np.cumsum(chances[order]), typical_p)) + 1
    return order[:count]


def with_logprobs(token: int, row: Array, alternatives: int) -> Picked:
    """Add natural log probabilities over the model's own logits, before bias, penalties and temperature."""
    greatest = row.max()
    total = float(greatest) + math.log(float(np.exp(row - greatest).sum(dtype=np.float64)))
    places = top_places(row, alternatives) if alternatives else np.arange(0)
    places = places[np.argsort(-row[places], kind="stable")]
    rivals = tuple((int(place), _logprob(row[place], total)) for place in places)
    return Picked(token, _logprob(row[token], total), rivals)


def _logprob(logit: Any, total: float) -> float:
    """Stay within what a log probability can be: rounding goes past 0, and JSON knows no infinity."""
    return min(0.0, max(float(logit) - total, _LEAST_LOGPROB))
