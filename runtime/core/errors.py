"""The ways in which a request or a start can end badly, as values that say cause and fix.

Expected outcomes are `Fault` values with a code from a closed list; `api/errors.py` maps each code to
HTTP. Exceptions below carry a fault through code that cannot return one.
"""

from typing import Literal

import msgspec

FaultCode = Literal[
    "invalid_request",
    "unsupported_parameter",
    "context_length_exceeded",
    "invalid_json_schema",
    "model_not_found",
    "model_installing",
    "model_broken",
    "backend_missing",
    "install_failed",
    "queue_full",
    "queue_timeout",
    "insufficient_memory",
    "worker_died",
    "worker_silent",
    "engine_failed",
    "shutting_down",
    "not_found",
    "denied",
    "conflict",
    "store_full",
    "store_damaged",
    "secrets_locked",
    "internal_error",
]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why something did not happen, in words for the person who asked."""

    code: FaultCode
    message: str
    """One or two sentences: the cause, then the fix."""
    param: str | None = None
    """The request field at fault, as a dotted path (`messages[0].content`)."""
    retry_after_s: float | None = None
    """When trying again makes sense; None where it never does."""
    detail: str | None = None
    """What the failing part printed last, for the operator."""


class LarError(Exception):
    """Root of the exceptions that Lar raises on purpose; `fault` is what the asker is told."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class RequestInvalid(LarError):
    """The request can never succeed as it stands."""


class ModelUnavailable(LarError):
    """The model cannot be reached now: unknown, not installed, broken, or no room."""


class WorkerFailed(LarError):
    """The worker that served the request died, fell silent or refused."""


class InstallFailed(LarError):
    """A backend or weights could not be installed; nothing half-made is left under its final name."""


class NotFound(LarError):
    """What was named does not exist, or not for this tenant."""


class PolicyDenied(LarError):
    """A policy, a person or a limit says no, or a person has not answered yet; the message has the reason."""


class Conflict(LarError):
    """What is there stands against it: a name that is taken, an item that was superseded."""


class StoreFull(LarError):
    """The disk has no room; nothing of the request was stored."""


class StoreDamaged(LarError):
    """What is on disk cannot be read any more; the message names the way out."""


class SecretsLocked(LarError):
    """What is sealed cannot be opened now: the keyring is locked, or has another key."""


class StoreUnavailable(Exception):
    """The database cannot be opened; the message names the holder or the damage, and the way out."""


class SettingsInvalid(Exception):
    """`lar.toml` or an environment variable is wrong; the message names file, key and fix."""


def sole_cause(problem: Exception) -> Exception:
    """Return the one exception that task groups have wrapped, or the group where there are several."""
    while isinstance(problem, ExceptionGroup) and len(problem.exceptions) == 1:
        problem = problem.exceptions[0]
    return problem
