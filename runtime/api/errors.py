"""How every refusal and failure looks over HTTP: one table, one envelope, one set of headers.

A `Fault` (what the core knows) becomes a `Refusal` (what HTTP says) by the table here. Refusals that only
the HTTP edge can meet (no key, wrong host, body too large, unknown route) are made here too.
"""

import math
from typing import NamedTuple

import msgspec

from runtime.core.errors import Fault, FaultCode
from runtime.core.ids import RunId


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not the one that was asked for."""

    status: int
    type: str
    """The class of the problem, in OpenAI's words."""
    code: str | None
    message: str
    param: str | None = None
    retry_after_s: float | None = None
    should_retry: bool | None = None
    """Said to clients that retry by themselves; None leaves it to their own rules."""
    detail: str | None = None
    """For the operator: what the failing part printed last."""
    headers: dict[str, str] = {}


class Refused(Exception):
    """Carries a refusal from where it is known to the border that answers."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Answer(NamedTuple):
    """How one fault code is told over HTTP."""

    status: int
    type: str
    code: str
    should_retry: bool


_INVALID = "invalid_request_error"
_SERVER = "server_error"
_RATE = "rate_limit_error"

ANSWERS: dict[FaultCode, Answer] = {
    "invalid_request": Answer(400, _INVALID, "invalid_value", False),
    "unsupported_parameter": Answer(400, _INVALID, "unsupported_parameter", False),
    "context_length_exceeded": Answer(400, _INVALID, "context_length_exceeded", False),
    "invalid_json_schema": Answer(400, _INVALID, "invalid_json_schema", False),
    "model_not_found": Answer(404, _INVALID, "model_not_found", False),
    "model_installing": Answer(503, _SERVER, "model_installing", True),
    "model_broken": Answer(503, _SERVER, "model_broken", False),
    "backend_missing": Answer(503, _SERVER, "backend_missing", False),
    "install_failed": Answer(503, _SERVER, "install_failed", False),
    "queue_full": Answer(429, _RATE, "queue_full", True),
    "queue_timeout": Answer(503, _SERVER, "queue_timeout", True),
    "insufficient_memory": Answer(503, _SERVER, "insufficient_memory", False),
    "worker_died": Answer(502, _SERVER, "worker_died", True),
    "worker_silent": Answer(504, _SERVER, "worker_silent", True),
    "engine_failed": Answer(500, _SERVER, "engine_failed", False),
    "shutting_down": Answer(503, _SERVER, "shutting_down", True),
    "not_found": Answer(404, _INVALID, "not_found", False),
    "denied": Answer(403, "permission_error", "denied", False),
    "conflict": Answer(409, _INVALID, "conflict", False),
    "store_full": Answer(507, _SERVER, "store_full", False),
    "store_damaged": Answer(500, _SERVER, "store_damaged", False),
    "secrets_locked": Answer(503, _SERVER, "secrets_locked", True),
    "internal_error": Answer(500, _SERVER, "internal_error", False),
}
"""The one table. 4xx: the request is at fault; 429: come later; 5xx: this side is."""


def refusal_of(fault: Fault) -> Refusal:
    """Say a fault over HTTP. A fault that names when to come back is worth a retry, whatever its code."""
    answer = ANSWERS[fault.code]
    return Refusal(
        status=answer.status,
        type=answer.type,
        code=answer.code,
        message=fault.message,
        param=fault.param,
        retry_after_s=fault.retry_after_s,
        should_retry=answer.should_retry or fault.retry_after_s is not None,
        detail=fault.detail,
    )


def invalid(message: str, param: str | None, code: str = "invalid_value") -> Refused:
    """Return the 400 that names a field; raise it."""
    return Refused(Refusal(status=400, type=_INVALID, code=code, message=message, param=param))


def unsupported(message: str, param: str) -> Refused:
    """Return the 400 for a field that is known but not honoured; raise it."""
    return invalid(message, param, code="unsupported_parameter")


def key_refused(message: str, code: str | None) -> Refused:
    """Return the 401; raise it."""
    headers = {"WWW-Authenticate": 'Bearer realm="lar"'}
    return Refused(
        Refusal(status=401, type="authentication_error", code=code, message=message, headers=headers)
    )


def forbidden(message: str, code: str) -> Refused:
    """Return the 403; raise it."""
    return Refused(Refusal(status=403, type="permission_error", code=code, message=message))


def not_found(message: str, code: str, param: str | None = None) -> Refused:
    """Return the 404; raise it."""
    return Refused(Refusal(status=404, type=_INVALID, code=code, message=message, param=param))


def body_too_large(limit_bytes: int) -> Refused:
    """Return the 413; raise it."""
    message = (
        f"The request body is larger than {limit_bytes} bytes. "
        "Send less, or raise server.max_body_bytes in lar.toml."
    )
    return Refused(Refusal(status=413, type=_INVALID, code="request_too_large", message=message))


def run_cancelled() -> Refusal:
    """Return the refusal for a run that somebody else stopped before it was complete."""
    return Refusal(
        status=503,
        type=_SERVER,
        code="run_cancelled",
        message="The run was cancelled before it was complete. Send the request again if you still need it.",
        should_retry=False,
    )


def internal(request_id: str) -> Refusal:
    """Return the 500 for what nobody foresaw; the log has the rest under the request id."""
    return Refusal(
        status=500,
        type=_SERVER,
        code="internal_error",
        message=f"Lar itself failed on this request. The log has the details under request id {request_id}.",
        should_retry=False,
    )


def envelope(refusal: Refusal, *, run_id: RunId | None = None, has_detail: bool = False) -> bytes:
    """Encode the body of a refusal; `has_detail` adds what only operators may read."""
    error: dict[str, object] = {
        "message": refusal.message,
        "type": refusal.type,
        "param": refusal.param,
        "code": refusal.code,
    }
    if run_id is not None:
        error["run_id"] = run_id
    if has_detail and refusal.detail:
        error["detail"] = refusal.detail
    return msgspec.json.encode({"error": error})


def headers_of(refusal: Refusal) -> dict[str, str]:
    """Return the headers of a refusal: when to come back, and whether to."""
    headers = dict(refusal.headers)
    if refusal.retry_after_s is not None:
        # Retry-After knows whole seconds only and must not send a client back too early.
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after_s)))
        headers["retry-after-ms"] = str(max(1, math.ceil(refusal.retry_after_s * 1000)))
    if refusal.should_retry is not None:
        headers["x-should-retry"] = "true" if refusal.should_retry else "false"
    return headers
