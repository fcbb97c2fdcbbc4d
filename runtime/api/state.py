"""GET /api/state: the whole server at one moment, with the seq from which events carry on."""

import msgspec
from aiohttp import web

from runtime.api.deps import DEPS
from runtime.core.states import ServerState


async def get_state(request: web.Request) -> web.Response:
    """Return the snapshot. Nothing is awaited while it is taken, so that seq and models agree."""
    deps = request.app[DEPS]
    state = ServerState(
        version=deps.version,
        address=deps.address(),
        started_at=deps.started_at,
        seq=deps.bus.last_seq,
        models=tuple(deps.models.list_models()),
    )
    return web.Response(body=msgspec.json.encode(state), content_type="application/json")
