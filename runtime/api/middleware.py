"""What every request meets before and after its route: identity, gate, and the border that turns errors.

    border  request id, log line, metrics; every exception becomes an answer in the path's dialect
      guard   Host and Origin, then the key and the route's permission
        route

Deny is the default: a route without a permission in the table answers 403.
"""

import logging
import re
import secrets
from collections.abc import Mapping

import anyio.to_thread
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from runtime.api.access import decide_origin, is_host_allowed, is_loopback
from runtime.api.deps import BEGAN, DEPS, PRINCIPAL, REQUEST_ID, RUN_ID
from runtime.api.dialects import Told, dialect_of, error_body
from runtime.api.errors import (
    Refusal,
    Refused,
    forbidden,
    headers_of,
    internal,
    key_refused,
    not_found,
    refusal_of,
)
from runtime.api.keys import KeyStore, KeysUnreadable
from runtime.api.visits import VISITS
from runtime.core.clock import Clock
from runtime.core.errors import Fault, LarError
from runtime.core.gate.principals import OWNER, Permission, Principal, decide_access

logger = logging.getLogger(__name__)


KEYS_FRESH_S = 1.0
"""How long a revoked key may still be taken: the key file is looked at so often, not at every request."""
OPENAI_VERSION = "2020-10-01"
"""The version of the API that OpenAI's own servers report."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_CORS_HEADER_NAMES = re.compile(r"[A-Za-z0-9-]{1,64}(\s*,\s*[A-Za-z0-9-]{1,64}){0,63}")
_EXPOSED = (
    "x-request-id, request-id, x-lar-run-id, retry-after, retry-after-ms, openai-processing-ms, "
    "mcp-session-id, mcp-protocol-version, www-authenticate"
)
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
_STARTED = web.RequestKey("started", web.StreamResponse)
_ORIGIN_ALLOWED = web.RequestKey("origin_allowed", str)


class Door:
    """Who a request comes from. Keeps the keys in memory fresh."""

    def __init__(self, keys: KeyStore, clock: Clock, is_open_to_all: bool) -> None:
        self._keys = keys
        self._clock = clock
        self._is_open_to_all = is_open_to_all
        self._looked_at: float | None = None

    async def principal_of(self, request: web.Request) -> Principal | None:
        """Return who asks; None without a key where one is needed. Raises Refused for a wrong key."""
        await self._refresh(must=False)
        if not self._keys.has_any():
            return OWNER if self._is_open_to_all or _is_local(request) else None

        secret = _secret_of(request)
        if secret is None:
            return None

        principal = self._keys.find(secret)
        if principal is None:
            # Made a moment ago, perhaps: look at the file before saying no.
            await self._refresh(must=True)
            principal = self._keys.find(secret)
        if principal is None:
            raise key_refused(
                f"Incorrect API key provided: {_masked(secret)}. 'lar keys list' shows the keys that exist.",
                "invalid_api_key",
            )
        return principal

    def is_welcome(self, request: web.Request, principal: Principal) -> bool:
        """Say whether a request would still be let in as this principal, as far as the keys are known here.

        While the file of keys cannot be read nobody new comes in, and those who are in stay.
        """
        if not self._keys.has_any():
            return principal == OWNER and (self._is_open_to_all or _is_local(request))
        secret = _secret_of(request)
        found = None if secret is None else self._keys.find(secret)
        # Who brings the first key before it is known here came in as the owner, and stays if the key says so.
        return found is not None and (found.role, found.tenant) == (principal.role, principal.tenant)

    async def _refresh(self, *, must: bool) -> None:
        now = self._clock.monotonic()
        if not must and self._looked_at is not None and now - self._looked_at < KEYS_FRESH_S:
            return

        try:
            await anyio.to_thread.run_sync(self._keys.reload)
        except KeysUnreadable as problem:
            logger.error("the API keys cannot be read", extra={"cause": str(problem)})
            message = "The API keys of this server cannot be read; its operator finds the cause in the log."
            raise LarError(Fault(code="internal_error", message=message)) from problem
        self._looked_at = now


def make_guard(door: Door, permissions: Mapping[web.AbstractRoute, Permission]) -> Middleware:
    """Return the middleware that lets in or not."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        settings = request.app[DEPS].settings
        host = request.headers.get(hdrs.HOST)
        if not is_host_allowed(host, settings):
            raise forbidden(
                f"The Host header '{(host or '')[:80]}' is not one of this server's names. If it should be, "
                "add it to server.allowed_hosts in lar.toml.",
                "host_not_allowed",
            )

        origin = request.headers.get(hdrs.ORIGIN)
        rule = decide_origin(origin, host, settings.allowed_origins)
        if rule == "refused":
            raise forbidden(
                f"Pages of the origin '{(origin or '')[:80]}' may not call this server. If they should, add "
                "it to server.allowed_origins in lar.toml.",
                "origin_not_allowed",
            )

        if rule == "allowed" and origin is not None:
            request[_ORIGIN_ALLOWED] = origin
        if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            return _preflight(request)

        if request.match_info.http_exception is None:
            principal = await _check_access(request, door, permissions.get(request.match_info.route))
            if principal is not None:
                return await _visit(request, principal, handler)
        return await handler(request)

    return guard


@web.middleware
async def border(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every request with a well-formed response, and write the log line and the metrics."""
    deps = request.app[DEPS]
    given = request.headers.get("x-request-id", "")
    request[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
    request[BEGAN] = deps.clock.monotonic()
    status = 499
    """What the log says of a client that left; nobody receives it."""
    try:
        response = await _answer(request, handler)
        status = response.status
    finally:
        duration_s = deps.clock.monotonic() - request[BEGAN]
        route = _route_of(request)
        method = request.method if request.method in hdrs.METH_ALL else "other"
        deps.metrics.count_request(method, route, status, duration_s)
        principal = request.get(PRINCIPAL)
        logger.info(
            "answered",
            extra={
                "request_id": request[REQUEST_ID],
                "method": method,
                "route": route,
                "status": status,
                "duration_ms": round(duration_s * 1000),
                "principal": None if principal is None else principal.id,
                "run_id": request.get(RUN_ID),
            },
        )
    return response


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put our headers on a response just before it starts, streams included."""
    request[_STARTED] = response
    headers = response.headers
    if REQUEST_ID in request:  # absent when aiohttp refused the request before the border saw it
        headers["x-request-id"] = request[REQUEST_ID]
        if dialect_of(request.path) == "anthropic":
            headers["request-id"] = request[REQUEST_ID]  # where Anthropic's clients look for it
        elapsed_s = request.app[DEPS].clock.monotonic() - request[BEGAN]
        headers["openai-processing-ms"] = str(max(0, round(elapsed_s * 1000)))
    headers["openai-version"] = OPENAI_VERSION
    headers["X-Content-Type-Options"] = "nosniff"
    headers[hdrs.SERVER] = "lar"
    if RUN_ID in request:
        headers["x-lar-run-id"] = request[RUN_ID]
    if request.app[DEPS].settings.allowed_origins:
        headers.add(hdrs.VARY, "Origin")
    if _ORIGIN_ALLOWED in request:
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request[_ORIGIN_ALLOWED]
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Run the route; turn whatever it raises into an answer."""
    try:
        return await handler(request)
    except Refused as refused:
        refusal = refused.refusal
    except LarError as problem:
        refusal = refusal_of(problem.fault)
    except web.HTTPException as problem:
        refusal = _refusal_of_http(request, problem)
    except ConnectionError:
        raise  # the client is gone: aiohttp drops the connection, there is nobody to answer
    except Exception:
        logger.exception(
            "a request failed", extra={"request_id": request[REQUEST_ID], "route": _route_of(request)}
        )
        refusal = internal(request[REQUEST_ID])

    if _STARTED in request:
        # Half an answer is out. Cut the connection, so that the client cannot take it for a whole one.
        if request.transport is not None:
            request.transport.abort()
        return request[_STARTED]

    principal = request.get(PRINCIPAL)
    is_operator = principal is not None and principal.role == "operator"
    told = Told(request[REQUEST_ID], request.get(RUN_ID), has_detail=is_operator)
    return web.Response(
        status=refusal.status,
        body=error_body(request.path, refusal, told),
        headers=headers_of(refusal),
        content_type="application/json",
    )


async def _visit(request: web.Request, principal: Principal, handler: Handler) -> web.StreamResponse:
    """Run the route for a principal, for as long as the key that let it in is there."""
    request[PRINCIPAL] = principal
    with request.app[VISITS].hold(request, principal):
        return await handler(request)
    raise key_refused("The API key of this request has been revoked meanwhile.", "invalid_api_key")


async def _check_access(request: web.Request, door: Door, permission: Permission | None) -> Principal | None:
    """Return who may use the route; None where anybody may. Raises Refused."""
    if permission == "public":
        return None

    if permission is None:
        raise forbidden("This route has no permission assigned, so nobody may use it.", "route_closed")

    principal = await door.principal_of(request)
    denied = decide_access(principal, permission)
    if denied is not None and denied.rule == "key-missing":
        raise key_refused(denied.message, "missing_api_key")

    if denied is not None:
        raise forbidden(denied.message, "insufficient_permissions")

    assert principal is not None
    return principal


def _refusal_of_http(request: web.Request, problem: web.HTTPException) -> Refusal:
    """Say aiohttp's own refusals (no such route, wrong method) in our form."""
    if problem.status == 404:
        return not_found(
            f"Unknown request URL: {request.method} {request.path[:200]}.", "unknown_url"
        ).refusal

    message = f"{problem.status}: {problem.reason}"
    headers: dict[str, str] = {}
    if isinstance(problem, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(problem.allowed_methods))
        message = f"{request.method} is not allowed here. Allowed: {allowed}."
        headers[hdrs.ALLOW] = allowed
    code = (problem.reason or "refused").lower().replace(" ", "_")
    kind = "invalid_request_error" if problem.status < 500 else "server_error"
    return Refusal(status=problem.status, type=kind, code=code, message=message, headers=headers)


def _preflight(request: web.Request) -> web.Response:
    """Answer a browser's question whether it may call; a refused origin does not come so far."""
    problem = request.match_info.http_exception
    if not isinstance(problem, web.HTTPMethodNotAllowed):
        raise not_found(f"Unknown request URL: {request.path[:200]}.", "unknown_url")

    headers: dict[str, str] = {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(problem.allowed_methods)),
        hdrs.ACCESS_CONTROL_MAX_AGE: "600",
    }
    wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
    if _CORS_HEADER_NAMES.fullmatch(wanted):
        headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = wanted
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=headers)


def _is_local(request: web.Request) -> bool:
    """Whether the peer sits at this machine: over the loopback, and not through a proxy on it."""
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("peername")
    if not isinstance(peer, tuple) or not is_loopback(str(peer[0])):
        return False

    return not any(name in request.headers for name in _FORWARDED)


def _secret_of(request: web.Request) -> str | None:
    """Return the key: a bearer token, else what Anthropic's clients send as `x-api-key`."""
    scheme, _, secret = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()

    return request.headers.get("x-api-key", "").strip() or None


def _masked(secret: str) -> str:
    return f"{'*' * 8}{secret[-4:]}" if len(secret) >= 16 and secret.isascii() else "*" * 8


def _route_of(request: web.Request) -> str:
    """Return the pattern of the route, a closed list, as opposed to what the client sent."""
    resource = request.match_info.route.resource
    return "unknown" if resource is None else resource.canonical
