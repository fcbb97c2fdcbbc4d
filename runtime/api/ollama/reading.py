"""How bodies of Ollama's API are read: as any JSON, also where a client does not say that it is JSON.

Ollama never looks at the content type, and its own examples call curl without one. What a form on a page can
write JSON into (`text/plain`, `multipart`) is refused still, and other origins are refused before this.
"""

from typing import TypeVar

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body

_T = TypeVar("_T", bound=msgspec.Struct)

_TAKEN = frozenset(
    {
        "application/json",
        "application/octet-stream",  # what a missing header counts as
        "application/x-www-form-urlencoded",  # what curl says; a form cannot write JSON in this encoding
    }
)


async def read_wire(request: web.Request, shape: type[_T]) -> _T:
    """Read and decode the body as `shape`. Raises Refused as `read_body` does."""
    return await read_body(request, shape, taken=_TAKEN)
