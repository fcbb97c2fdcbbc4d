"""The one table of routes. A route enters the server only from here, and so only with a permission."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from runtime.api.events import get_events
from runtime.api.health import get_health, get_metrics, get_ready, get_version
from runtime.api.openai.chat import ROUTE as CHAT
from runtime.api.openai.chat import post_chat
from runtime.api.openai.models import get_model, get_models
from runtime.api.operate import post_install, post_unload
from runtime.api.state import get_state
from runtime.core.gate import Permission


class Route(NamedTuple):
    """One method on one path."""

    method: str
    path: str
    permission: Permission
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]


# Model ids may hold slashes (owner/name), hence the wide pattern.
ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", "public", get_health),
    Route("HEAD", "/healthz", "public", get_health),
    Route("GET", "/readyz", "public", get_ready),
    Route("HEAD", "/readyz", "public", get_ready),
    Route("GET", "/version", "public", get_version),
    Route("GET", "/v1/models", "infer", get_models),
    Route("GET", "/v1/models/{id:.+}", "infer", get_model),
    Route("POST", CHAT, "infer", post_chat),
    Route("GET", "/metrics", "observe", get_metrics),
    Route("GET", "/api/events", "observe", get_events),
    Route("GET", "/api/state", "observe", get_state),
    Route("POST", "/api/models/{id:.+}/install", "operate", post_install),
    Route("POST", "/api/models/{id:.+}/unload", "operate", post_unload),
)


def add_routes(app: web.Application) -> dict[web.AbstractRoute, Permission]:
    """Put the table into the application; return which permission each route needs."""
    return {
        app.router.add_route(each.method, each.path, each.handler, expect_handler=_expect): each.permission
        for each in ROUTES
    }


async def _expect(request: web.Request) -> None:
    """Refuse expectations that we do not know. A body is invited later, once the gate let its sender in."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed
