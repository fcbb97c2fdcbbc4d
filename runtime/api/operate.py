"""POST /api/models/{id}/install and /unload: what operators do to models. Both answer at once or soon."""

import anyio
import msgspec
from aiohttp import web

from runtime.api.deps import DEPS, PRINCIPAL, gate_of
from runtime.core.errors import Fault, LarError, ModelUnavailable
from runtime.core.ids import ModelId
from runtime.core.readiness import unknown_model
from runtime.core.readying import pass_install
from runtime.core.states import ModelState

UNLOAD_WAIT_S = 10.0
"""How long an unload may wait for the model's runs to end before the answer is: later. Clients wait 15 s."""


async def post_install(request: web.Request) -> web.Response:
    """Begin to install what is missing; 202 with the model's state, follow the events for the rest."""
    model_id = ModelId(request.match_info["id"])
    deps = request.app[DEPS]
    await pass_install(gate_of(deps), model_id, request[PRINCIPAL])
    state = deps.models.start_install(model_id)
    return _json(state, status=202)


async def post_unload(request: web.Request) -> web.Response:
    """Free the model's memory; 200 with its state, also where it was not in memory."""
    models = request.app[DEPS].models
    model_id = ModelId(request.match_info["id"])
    try:
        with anyio.fail_after(UNLOAD_WAIT_S):
            await models.unload(model_id)
    except TimeoutError as problem:
        raise LarError(
            Fault(
                code="queue_timeout",
                message=f"The model '{model_id}' still has runs after {UNLOAD_WAIT_S:g} s. Try again later.",
                retry_after_s=UNLOAD_WAIT_S,
            )
        ) from problem

    state = models.find_model(model_id)
    if state is None:
        raise ModelUnavailable(unknown_model(model_id))
    return _json(state, status=200)


def _json(state: ModelState, *, status: int) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(state), content_type="application/json")
