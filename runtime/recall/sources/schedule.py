"""When a place is looked at again: by its interval, later after failures, spread out after a restart.

Pure: the time and the dice (0 up to 1) are given. Every result lies after `now` and is bounded.
"""

JITTER = 0.1
"""Of the interval, to either side: places that were followed together do not stay together."""
FIRST_REST_S = 300.0
"""After the first failure, unless the interval is shorter; each further one doubles it."""
LONGEST_REST_S = 86400.0
"""However often it failed and whatever the other side asks for, unless the interval is longer."""
STEP_S = 5.0
"""Between the places that a restart finds overdue."""
SPREAD_S = 900.0
"""For all of these together."""
_MOST_DOUBLINGS = 30


def after_success(now: float, interval_s: float, dice: float) -> float:
    """Return when a place is due that is in step now."""
    return now + _shaken(interval_s, dice)


def after_failure(
    now: float, interval_s: float, failures: int, retry_after_s: float | None, dice: float
) -> float:
    """Return when a place is due that could not be looked at `failures` times in a row, now for the last.

    Not before the other side wants to be asked again, as long as it wants that within the bound.
    """
    longest_s = max(interval_s, LONGEST_REST_S)
    doublings = min(max(failures, 1) - 1, _MOST_DOUBLINGS)
    rest_s = min(min(interval_s, FIRST_REST_S) * 2.0**doublings, longest_s)
    asked_s = min(max(retry_after_s or 0.0, 0.0), longest_s)
    return now + max(_shaken(rest_s, dice), asked_s)


def after_restart(now: float, place: int, overdue: int, dice: float) -> float:
    """Return when the overdue place of this number (from 0) is due, of so many that are."""
    step_s = min(STEP_S, SPREAD_S / max(overdue, 1))
    return now + (place + dice) * step_s


def _shaken(seconds: float, dice: float) -> float:
    return seconds * (1.0 - JITTER + 2.0 * JITTER * dice)
