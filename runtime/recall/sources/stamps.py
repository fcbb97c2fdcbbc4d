"""Times as the web writes them, and when a sitemap's `lastmod` can be trusted. Pure."""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
_SLACK_S = 60.0
"""Between the clocks of two machines."""
_ZONES_S = 12 * _HOUR_S
"""How much later than in UTC a day may end elsewhere."""
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


def read_time(text: str) -> float | None:
    """Read a time as feeds give it (RFC 3339 or RFC 822), as seconds since the epoch; None if it is none."""
    text = text.strip()[:64]
    return _read_iso(text) if text[:4].isdigit() else _read_mail(text)


def _read_iso(text: str) -> float | None:
    try:
        return _seconds(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _read_mail(text: str) -> float | None:
    try:
        return _seconds(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _seconds(read: datetime) -> float:
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()


def settled(lastmod: str, now: float) -> str:
    """Return a `lastmod` as a stamp; empty where the page may change again without a change of it.

    A day that is not over yet says too little, and a time that lies ahead says nothing at all.
    """
    end = _end_of(lastmod)
    return lastmod if end is not None and end + _SLACK_S < now else ""


def _end_of(lastmod: str) -> float | None:
    """Return when the time that a `lastmod` names is over for certain."""
    date = _DATE.fullmatch(lastmod)
    if date is None:
        start = _read_iso(lastmod[:64])
        return None if start is None else math.ceil(start) + 1.0
    year, month, day = (int(part) if part else None for part in date.groups())
    if year is None or not 1 <= year < datetime.max.year:
        return None
    days = 1 if day else 31 if month else 366
    start = _read_iso(f"{year:04}-{month or 1:02}-{day or 1:02}")
    return None if start is None else start + days * _DAY_S + _ZONES_S
