"""Carries requests to a server's /api/recall and turns its refusals back into the errors of the core.

The tenant is the one of the key; what callers name is not sent.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from runtime.api.client import ANSWER_S, LarClient, ServerRefused, ServerUnreachable
from runtime.core.errors import (
    Conflict,
    Fault,
    FaultCode,
    LarError,
    ModelUnavailable,
    NotFound,
    RequestInvalid,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
)

SEARCH_LIMIT_S = 120.0
"""A search may wait for a model to be loaded."""
LONG_LIMIT_S = 900.0
"""Reading the whole store, or writing much, takes as long as the disk is slow."""

_T = TypeVar("_T")
_KINDS: Mapping[str, tuple[type[LarError], FaultCode]] = {
    "not_found": (NotFound, "not_found"),
    "conflict": (Conflict, "conflict"),
    "store_full": (StoreFull, "store_full"),
    "store_damaged": (StoreDamaged, "store_damaged"),
    "model_not_found": (ModelUnavailable, "model_not_found"),
    "model_installing": (ModelUnavailable, "model_installing"),
    "model_broken": (ModelUnavailable, "model_broken"),
    "backend_missing": (ModelUnavailable, "backend_missing"),
}
_INVALID = (400, 413, 415, 422)
_NO_KEY = 401


class Wire:
    """A connection to one server's recall."""

    def __init__(self, client: LarClient) -> None:
        self._client = client

    async def ask(
        self,
        method: str,
        path: str,
        answer: type[_T],
        *,
        body: object = None,
        limit_s: float = ANSWER_S,
        **more: Any,
    ) -> _T:
        """Send a request below /api/recall. Raises what the ports do, and StoreUnavailable."""
        if body is not None:
            more = {
                **more,
                "data": msgspec.json.encode(body),
                "headers": {"Content-Type": "application/json"},
            }
        try:
            return await self._client.ask(method, f"/api/recall{path}", answer, limit_s=limit_s, **more)
        except ServerRefused as problem:
            raise _as_error(problem) from problem
        except ServerUnreachable as problem:
            raise StoreUnavailable(str(problem)) from problem

    async def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield a long answer as it comes. Raises as `ask` does."""
        try:
            async for piece in self._client.pieces(f"/api/recall{path}"):
                yield piece
        except ServerRefused as problem:
            raise _as_error(problem) from problem
        except ServerUnreachable as problem:
            raise StoreUnavailable(str(problem)) from problem


def part(text: str) -> str:
    """Return a text as one part of a path."""
    return quote(text, safe="")


def _as_error(refused: ServerRefused) -> Exception:
    message = str(refused).removeprefix(f"HTTP {refused.status}: ")
    kind = _KINDS.get(refused.code)
    if kind is None and refused.status in _INVALID:
        kind = (RequestInvalid, "invalid_request")
    if kind is None and refused.status == _NO_KEY:
        return refused

    error, code = kind or (LarError, "internal_error")
    return error(Fault(code=code, message=message))
