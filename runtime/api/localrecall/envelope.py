"""LocalRecall's envelope: `{success, message, data}` for what went well, `{success, error}` for the rest."""

from datetime import UTC, datetime

import msgspec
from aiohttp import web

from runtime.api.errors import Refusal
from runtime.api.reach import json_answer

_CODES = {401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT"}


def said(message: str, data: object, *, status: int = 200) -> web.Response:
    """Answer that something went well."""
    return json_answer({"success": True, "message": message, "data": data}, status=status)


def encode_refusal(refusal: Refusal) -> bytes:
    """Encode a refusal; `details` names the field and Lar's own code."""
    fallback = "INVALID_REQUEST" if refusal.status < 500 else "INTERNAL_ERROR"
    error = {"code": _CODES.get(refusal.status, fallback), "message": refusal.message}
    details = ", ".join(
        f"{name}: {value}"
        for name, value in (("field", refusal.param), ("code", refusal.code), ("detail", refusal.detail))
        if value
    )
    if details:
        error["details"] = details
    return msgspec.json.encode({"success": False, "error": error})


def stamp(seconds: float) -> str:
    """Return a time as LocalRecall writes it (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
