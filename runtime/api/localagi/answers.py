"""How LocalAGI's routes answer: `{status}` for what went well; times as it writes them."""

from datetime import UTC, datetime

from aiohttp import web

from runtime.api.reach import json_answer


def done(message: str = "ok", *, status: int = 200) -> web.Response:
    """Answer that something went well."""
    return json_answer({"status": message}, status=status)


def stamp(seconds: float) -> str:
    """Return a time (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
