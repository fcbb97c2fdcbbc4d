"""Which API a path speaks, and how that API says no: one refusal, an envelope for each.

Chosen by the path alone, so that whatever refuses a request before its route is reached (the guard, or an
unknown path below a known one) speaks the language of whoever asks. What is nobody else's is OpenAI's.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import msgspec

from runtime.api.errors import Refusal, envelope
from runtime.api.localrecall.envelope import encode_refusal
from runtime.core.ids import RunId

Dialect = Literal["openai", "anthropic", "ollama", "localrecall", "localagi"]

_ANTHROPIC = "/v1/messages"
_LOCALRECALL = "/api/collections"
_LOCALAGI = frozenset({"/api/agent", "/api/actions", "/api/meta", "/settings/export", "/settings/import"})
"""Its chat lies below a path of Ollama's, which says no in the same words."""
_OLLAMA = frozenset(
    f"/api/{name}"
    for name in (
        "blobs",
        "chat",
        "copy",
        "create",
        "delete",
        "embed",
        "embeddings",
        "generate",
        "ps",
        "pull",
        "push",
        "show",
        "tags",
        "version",
    )
)
"""Every path of Ollama's, those that are not served included; the rest of /api/ is Lar's own."""

_ANTHROPIC_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}


class Told(NamedTuple):
    """What an envelope says besides the refusal."""

    request_id: str
    run_id: RunId | None = None
    has_detail: bool = False
    """Whether the reader may see what only operators may."""


def dialect_of(path: str) -> Dialect:
    """Return the API that a path belongs to."""
    if path == _ANTHROPIC or path.startswith(f"{_ANTHROPIC}/"):
        return "anthropic"

    beginning = "/".join(path.split("/", 3)[:3])
    if beginning == _LOCALRECALL:
        return "localrecall"
    if beginning in _LOCALAGI or path.startswith("/sse/"):
        return "localagi"
    return "ollama" if beginning in _OLLAMA else "openai"


def error_body(path: str, refusal: Refusal, told: Told) -> bytes:
    """Encode a refusal as clients of this path expect it."""
    return _ENVELOPES[dialect_of(path)](refusal, told)


def anthropic_type(refusal: Refusal) -> str:
    """Return the class of the problem in Anthropic's words."""
    if refusal.status == 503 and refusal.should_retry:
        return "overloaded_error"

    fallback = "invalid_request_error" if refusal.status < 500 else "api_error"
    return _ANTHROPIC_TYPES.get(refusal.status, fallback)


def _openai(refusal: Refusal, told: Told) -> bytes:
    return envelope(refusal, run_id=told.run_id, has_detail=told.has_detail)


def _anthropic(refusal: Refusal, told: Told) -> bytes:
    details = {
        "error_code": refusal.code,
        "param": refusal.param,
        "run_id": told.run_id,
        "detail": refusal.detail if told.has_detail else None,
    }
    error = {
        "type": anthropic_type(refusal),
        "message": refusal.message,
        "details": {name: value for name, value in details.items() if value},
    }
    return msgspec.json.encode({"type": "error", "error": error, "request_id": told.request_id})


def _ollama(refusal: Refusal, told: Told) -> bytes:
    """Say it in one sentence: Ollama has no codes. What operators may read is added to it."""
    detail = f"\n{refusal.detail}" if told.has_detail and refusal.detail else ""
    return msgspec.json.encode({"error": f"{refusal.message}{detail}"})


def _localrecall(refusal: Refusal, told: Told) -> bytes:
    return encode_refusal(refusal if told.has_detail else msgspec.structs.replace(refusal, detail=None))


_ENVELOPES: Mapping[Dialect, Callable[[Refusal, Told], bytes]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "ollama": _ollama,
    "localrecall": _localrecall,
    "localagi": _ollama,
}
