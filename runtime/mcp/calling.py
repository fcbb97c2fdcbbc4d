"""Who calls, as Lar's own servers in memory see it. The hub sets it around each call of theirs.

A call in memory runs its handler in the caller's own task, so a context variable reaches it. The servers
that are offered outward set it from the key of the request.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from runtime.core.tools import Caller

_CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current_caller() -> Caller | None:
    """Return on whose behalf the present call comes; None outside of one, as while tools are listed."""
    return _CALLER.get()


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """Let servers in memory know the caller while the context lasts."""
    token = _CALLER.set(caller)
    try:
        yield
    finally:
        _CALLER.reset(token)
