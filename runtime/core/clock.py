"""Time as a port: code asks its clock, tests move theirs."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a component reads the time."""

    def now(self) -> float:
        """Seconds since the epoch (UTC); may jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds from an unspecified start; never goes back."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the epoch (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some start; never goes back."""
        return time.monotonic()
