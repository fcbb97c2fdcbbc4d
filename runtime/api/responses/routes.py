"""The routes of the Responses API, with the permission that each takes."""

from aiohttp import hdrs, web

from runtime.api.reach import Entry
from runtime.api.responses.compact import post_compact
from runtime.api.responses.count import post_input_tokens
from runtime.api.responses.create import post_response
from runtime.api.responses.read import (
    cancel_response,
    delete_response,
    get_input_items,
    get_response,
    list_responses,
)
from runtime.api.responses.socket import serve_socket

RESPONSES = "/v1/responses"


async def get_responses(request: web.Request) -> web.StreamResponse:
    """Open a WebSocket where one is asked for; else list responses."""
    if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
        return await serve_socket(request)
    return await list_responses(request)


# The names of their own before the ids.
ROUTES: tuple[Entry, ...] = (
    ("POST", RESPONSES, "infer", post_response),
    ("GET", RESPONSES, "infer", get_responses),
    ("POST", f"{RESPONSES}/input_tokens", "infer", post_input_tokens),
    ("POST", f"{RESPONSES}/compact", "infer", post_compact),
    ("GET", f"{RESPONSES}/{{id}}", "infer", get_response),
    ("DELETE", f"{RESPONSES}/{{id}}", "infer", delete_response),
    ("POST", f"{RESPONSES}/{{id}}/cancel", "infer", cancel_response),
    ("GET", f"{RESPONSES}/{{id}}/input_items", "infer", get_input_items),
)
