"""Reads what the SDK raises: whether a connection is dead, and why, in words for a person. Pure."""

import re

import httpx2
import pydantic
from mcp import MCPError
from mcp.types import CONNECTION_CLOSED, INVALID_REQUEST

from runtime.core.errors import sole_cause

_MOST_CHARACTERS = 500
_ADDRESS = re.compile(r"(https?://)(?:[^\s/@]*@)?([^\s?]*)\?\S*")
"""Queries and names before the host may hold secrets."""


def root(problem: BaseException) -> BaseException:
    """Return what lies at the bottom of groups, the first of several."""
    while isinstance(problem, BaseExceptionGroup) and problem.exceptions:
        problem = problem.exceptions[0]
    return problem


def is_closed(problem: Exception) -> bool:
    """Say whether the connection is of no more use."""
    if isinstance(problem, MCPError):
        is_lost = problem.code == INVALID_REQUEST and "Session not found" in str(problem)
        return problem.code == CONNECTION_CLOSED or is_lost
    # The SDK's client says it by a RuntimeError once its owner has left it.
    return not isinstance(problem, pydantic.ValidationError) and "context manager" in str(problem)


def is_unsent(problem: Exception | None) -> bool:
    """Say whether the request that broke the connection cannot have reached the server."""
    cause = None if problem is None else root(problem)
    return isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)


def told(problem: Exception) -> str:
    """Return the reason in one line."""
    cause = root(sole_cause(problem))
    match cause:
        case httpx2.ConnectError():
            text = "nothing answers at its address"
        case httpx2.HTTPStatusError():
            status = cause.response.status_code
            text = f"it answered HTTP {status}" + (
                "; it wants credentials: a header, or 'lar mcp login'" if status in (401, 403) else ""
            )
        case FileNotFoundError():
            text = f"there is no program or folder '{cause.filename}'"
        case PermissionError():
            text = f"'{cause.filename}' may not be run"
        case pydantic.ValidationError():
            where = ".".join(str(part) for part in cause.errors()[0]["loc"])
            text = f"it breaks the protocol: {cause.errors()[0]['msg']} ({where})"
        case _:
            text = str(cause) or type(cause).__name__
    return _ADDRESS.sub(r"\1\2?…", " ".join(text.split()))[:_MOST_CHARACTERS]
