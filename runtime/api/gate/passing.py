"""How requests pass the gate where a route itself is what is asked: access to recall, installs."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from runtime.api.deps import DEPS, PRINCIPAL, gate_of
from runtime.core.errors import Fault, PolicyDenied
from runtime.core.gate.words import Action, GateResource, Question
from runtime.core.ids import ModelId
from runtime.core.readying import pass_install as pass_install_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NAMES = ("collection", "vector_store_id", "name")
"""What the routes call the collection in their path."""
_READING = ("/search",)


async def pass_gate(request: web.Request, action: Action, resource: GateResource) -> None:
    """Let the gate decide about a request. Raises PolicyDenied, also while a person has not answered."""
    parts = request.app[DEPS].gate
    if parts is None:
        return

    question = Question(principal=request[PRINCIPAL], action=action, resource=resource)
    ruling = await parts.gate.rule(question)
    if ruling.outcome != "allow":
        raise PolicyDenied(Fault(code="denied", message=ruling.reason))


async def pass_install(request: web.Request, model: ModelId) -> None:
    """Let the gate decide about the install of a model. Raises PolicyDenied."""
    await pass_install_of(gate_of(request.app[DEPS]), model, request[PRINCIPAL])


def guard_recall(method: str, path: str, handler: Handler) -> Handler:
    """Return a handler of recall that passes the gate first: reading, or else changing.

    The collection is the one that the path names, as it names it; `*` where it names none. How far a job is
    shows nothing of what is known, and is asked every second: it passes as it is.
    """
    if method == "GET" and path.startswith("/api/recall/jobs"):
        return handler

    is_reading = method in ("GET", "HEAD") or path.endswith(_READING)
    action: Action = "recall_read" if is_reading else "recall_write"

    async def pass_then_handle(request: web.Request) -> web.StreamResponse:
        await pass_gate(request, action, _collection_of(request))
        return await handler(request)

    return pass_then_handle


def _collection_of(request: web.Request) -> GateResource:
    named = (request.match_info[each] for each in _NAMES if each in request.match_info)
    attributes = {"tenant": request[PRINCIPAL].tenant}
    return GateResource(kind="Collection", id=next(named, "*"), attributes=attributes)
