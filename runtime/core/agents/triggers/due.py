"""When a trigger of time is due. Pure: every time is given, in seconds since the epoch.

Cron fields are read by `cronsim`, which knows the days on which clocks are changed: a start that falls into
the hour that is left out comes right after it, and one in the hour that comes twice comes once.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tzlocal
from cronsim import CronSim, CronSimError

from runtime.core.agents.definition import Agent, Trigger
from runtime.core.errors import Fault, RequestInvalid

LATE_S = 60.0
"""A start that is later than so is one that was missed."""
MOST_MISSED = 100
"""Starts that are made up for at most, of a trigger that wants all."""
SHORTEST_S = 10.0
_EVERY = re.compile(r"^(?P<count>\d+(?:\.\d+)?)\s*(?P<unit>[smhd])$")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Due(NamedTuple):
    """What is to be done now."""

    starts: tuple[float, ...]
    """The times that are due, the oldest first."""
    missed: int
    """Times that were passed over."""
    last: float
    """Up to when all is decided."""
    following: float
    """When to look again."""


def check_triggers(agent: Agent) -> None:
    """Look at the times of an agent's triggers. Raises RequestInvalid that names the field."""
    for place, trigger in enumerate(agent.triggers):
        path = f"triggers[{place}]"
        if trigger.every is not None:
            every_s(trigger.every, f"{path}.every")
        if trigger.cron is not None:
            _ticks(trigger, datetime(2026, 1, 1, tzinfo=UTC), path)


def is_timed(trigger: Trigger) -> bool:
    """Say whether times start it."""
    return trigger.cron is not None or trigger.every is not None


def decide_due(trigger: Trigger, last: float, now: float) -> Due:
    """Say which starts are due since `last`. A clock that was put back starts nothing twice."""
    if now < last:
        return Due((), 0, last, next_after(trigger, last))

    times = _times(trigger, last, now)
    on_time = [each for each in times if now - each <= LATE_S]
    late = [each for each in times if now - each > LATE_S]
    newest = on_time[-1:]
    chosen = {"skip": newest, "once": newest or late[-1:], "all": (late + on_time)[-MOST_MISSED:]}[
        trigger.missed
    ]
    reached = times[-1] if times else last
    return Due(tuple(chosen), len(times) - len(chosen), reached, next_after(trigger, max(reached, now)))


def next_after(trigger: Trigger, at: float) -> float:
    """Return the next time after this one."""
    if trigger.every is not None:
        return at + every_s(trigger.every, "every")
    return next(_ticks(trigger, datetime.fromtimestamp(at, UTC), "cron")).timestamp()


def every_s(text: str, field: str) -> float:
    """Return the seconds of `90s`, `10m`, `6h` or `1d`. Raises RequestInvalid."""
    told = _EVERY.match(text.strip())
    if told is None:
        raise _invalid(
            f"'{field}' must be a number with s, m, h or d, such as '10m'; it is '{text[:40]}'.", field
        )
    seconds = float(told["count"]) * _UNITS[told["unit"]]
    if seconds < SHORTEST_S:
        raise _invalid(f"'{field}' must be {SHORTEST_S:g} s or more.", field)
    return seconds


def _times(trigger: Trigger, last: float, now: float) -> list[float]:
    """Return the times in (last, now]; of very many, the newest."""
    times: list[float] = []
    if trigger.every is not None:
        pace = every_s(trigger.every, "every")
        count = int((now - last) // pace)
        first = max(1, count - MOST_MISSED)
        return [last + pace * number for number in range(first, count + 1)]

    for tick in _ticks(trigger, datetime.fromtimestamp(last, UTC), "cron"):
        at = tick.timestamp()
        if at > now:
            break
        times.append(at)
        if len(times) > 4 * MOST_MISSED:
            times = times[-MOST_MISSED:]
    return times


def _ticks(trigger: Trigger, after: datetime, path: str) -> CronSim:
    zone = _zone(trigger.timezone, path)
    try:
        return CronSim(trigger.cron or "", after.astimezone(zone))
    except CronSimError as problem:
        wanted = "five fields (minute hour day month weekday)"
        message = f"'{path}.cron' must be {wanted}; '{trigger.cron}' is not: {problem}."
        raise _invalid(message, f"{path}.cron") from problem


def _zone(name: str, path: str) -> ZoneInfo:
    """Return the time zone; without a name, the machine's own."""
    if not name:
        return tzlocal.get_localzone()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as problem:
        message = f"'{path}.timezone': there is no time zone '{name[:60]}'. Name one such as 'Europe/Lisbon'."
        raise _invalid(message, f"{path}.timezone") from problem


def _invalid(message: str, param: str) -> RequestInvalid:
    return RequestInvalid(Fault(code="invalid_request", message=message, param=param))
