"""How the tokens of one seq are chosen, with every default decided. Pure."""

from dataclasses import dataclass
from typing import NamedTuple

from runtime.backends.protocol import Fault, Sampling, Tuning

TEMPERATURE, TOP_P, TOP_K, MIN_P = 0.8, 0.95, 40, 0.05
"""Where neither request nor tuning says anything: what llama.cpp itself starts with."""

MAX_ALTERNATIVES = 20


class Picked(NamedTuple):
    """A token, with log probabilities where they were asked for."""

    token: int
    logprob: float = 0.0
    rivals: tuple[tuple[int, float], ...] | None = None
    """The likeliest tokens at this place, likeliest first; None where nobody asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Numbers for the sampler. A temperature of 0 takes the likeliest token."""

    temperature: float
    top_p: float
    top_k: int
    """0: all tokens."""
    min_p: float
    typical_p: float
    """1: all tokens."""
    presence_penalty: float
    frequency_penalty: float
    repeat_penalty: float
    seed: int | None
    bias: dict[int, float]
    alternatives: int | None
    """How many rivals to report per token; None: no log probabilities."""
    is_endless: bool
    """Whether tokens that end an answer are never chosen."""


def decide_recipe(sampling: Sampling, tuning: Tuning, vocabulary: int) -> Recipe | Fault:
    """Return what to sample with, or why that is impossible."""
    strange = [token for token in sampling.logit_bias if not 0 <= token < vocabulary]
    if strange:
        return Fault(
            code="invalid_request",
            message=f"logit_bias names the token {strange[0]}, but this model's tokens "
            f"go from 0 to {vocabulary - 1}.",
            param="logit_bias",
        )

    alternatives = sampling.logprobs
    return Recipe(
        temperature=_first(sampling.temperature, tuning.temperature, TEMPERATURE),
        top_p=_first(sampling.top_p, tuning.top_p, TOP_P),
        top_k=int(_first(sampling.top_k, tuning.top_k, TOP_K)),
        min_p=_first(sampling.min_p, tuning.min_p, MIN_P),
        typical_p=1.0 if sampling.typical_p is None else sampling.typical_p,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repeat_penalty=sampling.repeat_penalty,
        seed=sampling.seed,
        bias=dict(sampling.logit_bias),
        alternatives=None if alternatives is None else max(0, min(alternatives, MAX_ALTERNATIVES)),
        is_endless=sampling.ignore_eos,
    )


def _first(asked: float | None, tuned: float | None, default: float) -> float:
    if asked is not None:
        return asked

    return default if tuned is None else tuned
