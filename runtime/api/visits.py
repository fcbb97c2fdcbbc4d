"""The requests that are being answered, and the keys that let them in: once a key is gone, so is its visitor.

What a request may do is decided when it comes; an event stream, a socket or a long answer lasts. So the keys
are looked at again while it does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
from aiohttp import web

from runtime.core.gate.principals import Principal

LOOK_S = 1.0
"""So often the keys of open requests are looked at."""

IsWelcome = Callable[[web.Request, Principal], bool]
"""Says whether a request would still be let in as this principal."""


class Visits:
    """Who is being answered."""

    def __init__(self, is_welcome: IsWelcome) -> None:
        self._is_welcome = is_welcome
        self._open: dict[anyio.CancelScope, tuple[web.Request, Principal]] = {}

    @contextmanager
    def hold(self, request: web.Request, principal: Principal) -> Iterator[anyio.CancelScope]:
        """Answer within the scope; it is cancelled where the visitor's key goes."""
        with anyio.CancelScope() as scope:
            self._open[scope] = (request, principal)
            try:
                yield scope
            finally:
                del self._open[scope]

    async def watch_forever(self) -> None:
        """End what is answered to visitors who would not be let in any more. For the app's task group."""
        while True:
            await anyio.sleep(LOOK_S)
            for scope, (request, principal) in list(self._open.items()):
                if not self._is_welcome(request, principal):
                    scope.cancel()


VISITS = web.AppKey("visits", Visits)
