"""Time as the console reads it: a port of its own, so that a screen can be drawn at a fixed moment."""

import time
from datetime import datetime, tzinfo
from typing import Protocol


class Clock(Protocol):
    """Where the console reads the time."""

    def now(self) -> float:
        """Seconds since the epoch (UTC)."""

    def monotonic(self) -> float:
        """Seconds from an unspecified start; never goes back."""

    def zone(self) -> tzinfo:
        """Return the time zone in which moments are shown."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the epoch (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an unspecified start; never goes back."""
        return time.monotonic()

    def zone(self) -> tzinfo:
        """Return the machine's time zone."""
        zone = datetime.now().astimezone().tzinfo
        assert zone is not None
        return zone
