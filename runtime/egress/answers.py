"""What the answers and the failures of other hosts mean, in plain words."""

import ssl
from datetime import datetime
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp import ClientResponse

from runtime.core.fetching import FetchFault

_LONGEST_WAIT_S = 86400.0
_REFUSED = {401: "wants a valid token", 403: "forbids it to whoever asks with this token, or with none"}
_ASKS_TO_WAIT = frozenset({429, 503})
_PARTIAL = 206
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate", "br", "zstd"})
"""That aiohttp takes off, if it asked for them; several on top of each other it leaves on."""


def media_type_of(response: ClientResponse) -> str:
    """Return the media type that was told, empty where none was."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def validator_of(response: ClientResponse, name: str) -> str | None:
    """Return an ETag or a date to ask with the next time; None where it could not be sent back."""
    value = response.headers.get(name, "")
    return value if value and value.isascii() and value.isprintable() else None


def fault_of_status(response: ClientResponse, shown: str) -> FetchFault | None:
    """Say what an answer's status means; None for a body that can be taken."""
    status = response.status
    if 200 <= status < 300 and status != _PARTIAL:
        return None
    if status in _REFUSED:
        return FetchFault(
            code="refused",
            message=f"{shown} answered {status}: it {_REFUSED[status]}; check the token and its rights",
        )
    if status in _ASKS_TO_WAIT:
        return FetchFault(
            code="unreachable",
            message=f"{shown} answered {status}: it has too much to do; try again later",
            retry_after_s=retry_after(response.headers.get("Retry-After"), response.headers.get("Date")),
        )
    if status >= 400:
        return FetchFault(
            code="unreachable", message=f"{shown} answered {status}; check the address, or try again later"
        )
    return FetchFault(
        code="broken",
        message=f"{shown} answered {status}, which nobody asked for; its operator has to mend it",
    )


def retry_after(value: str | None, date: str | None) -> float | None:
    """Read `Retry-After`: seconds, or a time, which counts from the answer's own `Date`."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), _LONGEST_WAIT_S)
    until, now = _read_date(value), _read_date(date or "")
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), _LONGEST_WAIT_S)


def _read_date(value: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(value)
    except ValueError:
        return None
    return read if read.tzinfo is not None else None


def fault_of_headers(response: ClientResponse, shown: str, most_bytes: int) -> FetchFault | None:
    """Say early what would be found out while the body is read."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        return FetchFault(
            code="broken",
            message=f"{shown} is packed as {encoding[:40]!r}, which was not asked for and is not read",
        )
    if (response.content_length or 0) > most_bytes:
        return FetchFault(
            code="too_large",
            message=f"{shown} has {response.content_length} bytes, more than {most_bytes}; allow more,"
            " or leave it out",
        )
    return None


def fault_of_error(problem: aiohttp.ClientError, shown: str) -> FetchFault:
    """Say what went wrong between here and there."""
    if isinstance(problem, aiohttp.InvalidURL):
        return FetchFault(
            code="refused", message=f"{shown} cannot be asked for: {problem}; check the address"
        )
    if isinstance(problem, (aiohttp.ClientPayloadError, aiohttp.ClientResponseError)):
        return FetchFault(
            code="broken",
            message=f"{shown} sent an answer that breaks off or cannot be read; try again later",
        )
    return FetchFault(code="unreachable", message=f"{shown} cannot be reached: {_cause(problem)}")


def _cause(problem: aiohttp.ClientError) -> str:
    if isinstance(problem, aiohttp.ClientConnectorDNSError):
        return f"the host name {problem.host} is not known; check its spelling and the network"
    if isinstance(problem, aiohttp.ClientConnectorCertificateError):
        error = problem.certificate_error
        why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
        return (
            f"its certificate is not trusted ({why}); have it mended, or add its authority to this system's"
        )
    if isinstance(problem, aiohttp.ClientSSLError):
        return "no secure connection came about; is https really spoken on this port?"
    if isinstance(problem, aiohttp.ServerTimeoutError):
        return "nothing answered in time; is the server up, and does a firewall let it through?"
    if isinstance(problem, aiohttp.ClientConnectorError):
        return f"the connection failed ({problem.strerror or problem.os_error}); is the server up?"
    return "the connection was closed before an answer came; try again later"
