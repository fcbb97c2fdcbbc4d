"""How often a model's worker may die before Lar stops trying. Pure."""

import msgspec

DEATHS_ALLOWED = 5
"""Deaths within the window after which the model is left alone."""
WINDOW_S = 300.0
FIRST_DELAY_S = 0.5


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Start again after a delay."""

    attempt: int
    delay_s: float


class Abandon(msgspec.Struct, frozen=True, kw_only=True):
    """Do not start again until somebody asks for the model to be loaded."""

    attempts: int


def decide_restart(deaths: tuple[float, ...], now: float) -> Restart | Abandon | None:
    """Say how to go on after these deaths (monotonic seconds); None: it never died lately, just start."""
    recent = [death for death in deaths if now - death < WINDOW_S]
    if not recent:
        return None

    if len(recent) >= DEATHS_ALLOWED:
        return Abandon(attempts=len(recent))

    # The first death may be an accident: go on at once. Then wait longer each time.
    delay_s = 0.0 if len(recent) == 1 else FIRST_DELAY_S * 2 ** (len(recent) - 2)
    return Restart(attempt=len(recent), delay_s=delay_s)
