"""Links to documents and pictures in requests: fetched if the policies let the asker, and the perimeter.

Never to this machine or a private network that the settings do not grant; never more than a document may
have. Nothing is kept.
"""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from runtime.api.responses.files_in import DOCUMENT_LIMIT_BYTES, FetchLink
from runtime.core.errors import Fault
from runtime.core.fetching import Fetched, Fetcher, FetchFault, FetchRequest
from runtime.core.gate.principals import Principal
from runtime.core.gate.words import Gate, GateResource, Question

_LIMIT_S = 30.0
_URL_CHARS = 2000
_PORTS = {"http": 80, "https": 443}


def follow_links(fetcher: Fetcher, gate: Gate | None, principal: Principal) -> FetchLink:
    """Return what fetches links on behalf of a principal."""

    async def fetch(url: str, folder: Path) -> Fetched | Fault:
        place = _place_of(url)
        if place is None:
            return _fault("it must be an address that begins with http:// or https://.")

        refusal = None if gate is None else await _refusal(gate, principal, place)
        if refusal is not None:
            return _fault(f"'{place.host}' may not be reached: {refusal}")

        request = FetchRequest(url=url, most_bytes=DOCUMENT_LIMIT_BYTES, limit_s=_LIMIT_S)
        found = await fetcher.fetch(request, folder)
        if isinstance(found, FetchFault):
            return _fault(found.message)
        return found if found.body is not None else _fault("nothing is there (any more).")

    return fetch


class _Place(NamedTuple):
    host: str
    port: int


async def _refusal(gate: Gate, principal: Principal, place: _Place) -> str | None:
    """Return why this asker may not have a host reached; where redirects lead is asked by the fetcher."""
    resource = GateResource(
        kind="Host", id=f"{place.host}:{place.port}", attributes={"host": place.host, "port": place.port}
    )
    ruling = await gate.rule(Question(principal=principal, action="connect", resource=resource))
    return None if ruling.outcome == "allow" else ruling.reason


def _place_of(url: str) -> _Place | None:
    """Return where a link leads; None where it is no link."""
    try:
        target = urlsplit(url[:_URL_CHARS])
        port = _PORTS.get(target.scheme) if target.port is None else target.port
    except ValueError:
        return None
    is_good = target.hostname and port and target.scheme in _PORTS and len(url) <= _URL_CHARS
    return _Place(target.hostname or "", port or 0) if is_good else None


def _fault(message: str) -> Fault:
    return Fault(code="invalid_request", message=message)
