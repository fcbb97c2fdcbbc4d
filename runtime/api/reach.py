"""How the routes of recall reach it: whose it is, what it can, and how JSON goes out.

The tenant always comes from the principal; no body, path or query can name another one.
"""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from runtime.api.deps import DEPS, PRINCIPAL, gate_of
from runtime.api.errors import Refusal, Refused, forbidden
from runtime.core.gate.principals import Permission, decide_access
from runtime.core.guarding.recall import guard
from runtime.core.ids import TenantId
from runtime.core.knowledge import NewSource
from runtime.core.recall import Recall, Sources
from runtime.core.toolbox import Toolbox
from runtime.core.tools import Caller

Entry = tuple[str, str, Permission, Callable[[web.Request], Awaitable[web.StreamResponse]]]
"""A route: method, path, permission, handler."""
_RECALL = web.RequestKey("recall", Recall)
_READING_METHODS = ("GET", "HEAD")


def recall_of(request: web.Request) -> Recall:
    """Return Recall as the request's sender may reach it. Raises Refused where there is none.

    What a search names is read, whatever the method; what else a request with a changing method names is
    changed.
    """
    known = request.get(_RECALL)
    if known is None:
        is_reading = request.method in _READING_METHODS or request.path.endswith("/search")
        caller = Caller(principal=request[PRINCIPAL], door="api")
        recall = _opened_recall(request)
        known = guard(recall, gate_of(request.app[DEPS]), caller, is_changing=not is_reading)
        request[_RECALL] = known
    return known


def _opened_recall(request: web.Request) -> Recall:
    recall = request.app[DEPS].recall
    if recall is None:
        message = "This server runs without its recall store. Its operator finds the cause in the log."
        raise Refused(Refusal(status=503, type="server_error", code="recall_closed", message=message))
    return recall


def sources_of(request: web.Request) -> Sources:
    """Return the sources. Raises Refused where the server was started without Recall."""
    return recall_of(request).sources


async def toolbox_of(request: web.Request) -> Toolbox:
    """Return the tools; opens them where nobody has asked before. Raises Refused, StoreDamaged."""
    opening = request.app[DEPS].tools
    if opening is None:
        message = "This server was started without MCP."
        raise Refused(Refusal(status=503, type="server_error", code="mcp_off", message=message))
    return await opening()


def check_place(request: web.Request, new: NewSource) -> None:
    """Refuse a place that only operators may follow. Raises Refused.

    Anything but a web address reads this machine's files, and a secret is read from the environment of the
    server and sent to the place: either would reach beyond what the key's tenant owns.
    """
    is_web = new.uri.lower().startswith(("http://", "https://"))
    if is_web and new.secret is None:
        return
    if decide_access(request[PRINCIPAL], "operate") is None:
        return
    what = "Naming a secret of the server" if is_web else "Reading files of this machine"
    message = (
        f"{what} takes a key with the role 'operator'. Follow a web address that needs no token, "
        "or ask the operator of this server."
    )
    raise forbidden(message, "forbidden")


def tenant_of(request: web.Request) -> TenantId:
    """Return whose knowledge the request is about."""
    return request[PRINCIPAL].tenant


def json_answer(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return anything that msgspec can write as a JSON answer."""
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/json", headers=headers
    )
