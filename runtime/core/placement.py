"""Which model leaves memory when another must come in. Pure; the pool loads and evicts."""

from collections.abc import Sequence

import msgspec

from runtime.core.ids import ModelId


class Occupant(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is in memory or on its way in."""

    model: ModelId
    leases: int
    """Runs that hold it."""
    last_used: float
    """Monotonic seconds."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Load the wanted model, after evicting these."""

    evict: tuple[ModelId, ...] = ()


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Every place is held by a busy model: ask again when one falls idle."""


def decide_placement(occupants: Sequence[Occupant], max_loaded: int) -> Load | Wait:
    """Say how a model that is not resident can come in: the least recently used idle ones make room."""
    excess = len(occupants) + 1 - max_loaded
    if excess <= 0:
        return Load()

    idle = sorted((each for each in occupants if each.leases == 0), key=lambda each: each.last_used)
    if len(idle) < excess:
        return Wait()

    return Load(evict=tuple(each.model for each in idle[:excess]))


def decide_idle(occupants: Sequence[Occupant], now: float, idle_unload_s: float) -> tuple[ModelId, ...]:
    """Return the models that nobody has used for `idle_unload_s`."""
    return tuple(
        each.model for each in occupants if each.leases == 0 and now - each.last_used >= idle_unload_s
    )
