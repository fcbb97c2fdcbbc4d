"""/v1/webhook_endpoints: where events go that tell of the ends of responses and batches.

A secret is shown when it is made, and never again. Addresses lie within the same perimeter as everything else
that Lar reaches out to.
"""

from typing import Annotated

import msgspec
from aiohttp import web
from yarl import URL

from runtime.api.agents.reach import agents_of
from runtime.api.bodies import read_body
from runtime.api.deps import DEPS
from runtime.api.errors import Refusal, Refused, invalid, not_found
from runtime.api.openai.paging import DEFAULT_LIMIT, MAX_LIMIT, page_of
from runtime.api.openai.sampling import Wire
from runtime.api.openai.webhook_service import WebhookService
from runtime.api.openai.webhook_words import (
    ENDPOINT_KIND,
    EVENT_TYPES,
    PREFIX,
    Endpoint,
    EventType,
    hint_of,
    mint_secret,
    wire_endpoint,
)
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, tenant_of
from runtime.core.fetching import FetchFault
from runtime.core.minting import new_id

ROUTE = "/v1/webhook_endpoints"
WEBHOOKS = web.AppKey("webhooks", WebhookService)
ENDPOINTS_LIMIT = 100
"""Of one tenant."""
_BOTH_S = 86_400.0
"""How long a former secret stays valid where that is asked for."""

EventTypes = Annotated[list[EventType], msgspec.Meta(min_length=1, max_length=len(EVENT_TYPES))]
EndpointName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]


class EndpointBody(Wire, frozen=True, kw_only=True):
    """What clients send to make one."""

    name: EndpointName
    url: Address
    event_types: EventTypes


class EndpointChange(Wire, frozen=True, kw_only=True):
    """What clients send to change one."""

    name: EndpointName | None = None
    url: Address | None = None
    event_types: EventTypes | None = None


class RotateBody(Wire, frozen=True, kw_only=True):
    """How a secret is replaced."""

    keep_old_secret_active_for_24_hours: bool = False


class TestBody(Wire, frozen=True, kw_only=True):
    """What is sent as a sample."""

    event_type: EventType


async def post_endpoint(request: web.Request) -> web.Response:
    """Make an endpoint; the answer alone holds its secret."""
    body = await read_body(request, EndpointBody)
    await _check_address(request, body.url)
    if len(await webhooks_of(request).endpoints(tenant_of(request))) >= ENDPOINTS_LIMIT:
        raise invalid(f"There are {ENDPOINTS_LIMIT} endpoints already. Remove one first.", None)

    now, secret = request.app[DEPS].clock.now(), mint_secret()
    endpoint = Endpoint(
        id=new_id(PREFIX),
        name=body.name,
        url=body.url,
        event_types=tuple(dict.fromkeys(body.event_types)),
        secret=await agents_of(request).secrets.seal(secret),
        hint=hint_of(secret),
        created_at=now,
        updated_at=now,
    )
    await _keep(request, endpoint)
    return json_answer({**wire_endpoint(endpoint), "signing_secret": secret})


async def get_endpoints(request: web.Request) -> web.Response:
    """List endpoints, the newest first."""
    query = QueryString(request, "after", "limit")
    limit = query.number("limit", DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT)
    after = query.text("after")
    every = sorted(
        await webhooks_of(request).endpoints(tenant_of(request)), key=lambda each: each.id, reverse=True
    )
    found = [wire_endpoint(each) for each in every if after is None or each.id < after]
    return json_answer(page_of(found[:limit], lambda each: str(each["id"]), has_more=len(found) > limit))


async def get_endpoint(request: web.Request) -> web.Response:
    """Show an endpoint."""
    return json_answer(wire_endpoint(await _asked(request)))


async def post_endpoint_change(request: web.Request) -> web.Response:
    """Change an endpoint."""
    body = await read_body(request, EndpointChange)
    endpoint = await _asked(request)
    if body.url is not None:
        await _check_address(request, body.url)
    changed = msgspec.structs.replace(
        endpoint,
        name=body.name or endpoint.name,
        url=body.url or endpoint.url,
        event_types=tuple(dict.fromkeys(body.event_types)) if body.event_types else endpoint.event_types,
    )
    if changed != endpoint:
        changed = msgspec.structs.replace(changed, updated_at=request.app[DEPS].clock.now())
        await _keep(request, changed)
    return json_answer(wire_endpoint(changed))


async def delete_endpoint(request: web.Request) -> web.Response:
    """Remove an endpoint; what is on its way to it is dropped."""
    endpoint = await _asked(request)
    await agents_of(request).records.remove(tenant_of(request), ENDPOINT_KIND, endpoint.id)
    return json_answer({"id": endpoint.id, "object": "webhook_endpoint.deleted", "deleted": True})


async def post_rotate(request: web.Request) -> web.Response:
    """Put another secret in the place of the former; the answer alone holds it."""
    body = await read_body(request, RotateBody) if request.can_read_body else RotateBody()
    endpoint, now = await _asked(request), request.app[DEPS].clock.now()
    keeps, secret = body.keep_old_secret_active_for_24_hours, mint_secret()
    changed = msgspec.structs.replace(
        endpoint,
        secret=await agents_of(request).secrets.seal(secret),
        hint=hint_of(secret),
        updated_at=now,
        former_secret=endpoint.secret if keeps else None,
        former_until=now + _BOTH_S if keeps else 0.0,
    )
    await _keep(request, changed)
    return json_answer({**wire_endpoint(changed), "signing_secret": secret})


async def post_test(request: web.Request) -> web.Response:
    """Send a sample, and tell what the endpoint answers."""
    body = await read_body(request, TestBody)
    endpoint = await _asked(request)
    subject = "resp_sample" if body.event_type.startswith("response.") else "batch_sample"
    told = await webhooks_of(request).send(endpoint, body.event_type, subject)
    if isinstance(told, FetchFault):
        raise Refused(
            Refusal(status=502, type="server_error", code="webhook_unreachable", message=told.message)
        )
    return json_answer(
        {
            "object": "webhook_endpoint.test",
            "webhook_endpoint_id": endpoint.id,
            "event_type": body.event_type,
            "status_code": told.status,
            "success": True,
        }
    )


async def get_event_types(request: web.Request) -> web.Response:
    """List the events that can be wanted."""
    QueryString(request)
    return json_answer({"object": "list", "data": list(EVENT_TYPES)})


def webhooks_of(request: web.Request) -> WebhookService:
    """Return the webhooks. Raises Refused where the server was started without them."""
    service = request.app.get(WEBHOOKS)
    if service is None:
        message = "This server was started without webhooks."
        raise Refused(Refusal(status=503, type="server_error", code="webhooks_off", message=message))
    return service


async def _check_address(request: web.Request, address: str) -> None:
    """Refuse what events cannot or may not be sent to. Raises Refused."""
    try:
        url = URL(address)
    except ValueError:
        url = URL()
    if url.scheme not in ("https", "http") or not url.host:
        raise invalid("'url' must be a full web address, such as https://example.org/hook.", "url")
    if url.user is not None or url.password is not None:
        raise invalid("'url' must not carry a user or password: events are signed.", "url")

    reason = await webhooks_of(request).refusal(url.host, url.port or 0)
    if reason is not None:
        raise invalid(f"'url' cannot be used: {reason}.", "url")


async def _asked(request: web.Request) -> Endpoint:
    """Return the endpoint that the path names. Raises Refused (404)."""
    named = request.match_info["webhook_endpoint_id"]
    body = await agents_of(request).records.get(tenant_of(request), ENDPOINT_KIND, named)
    if body is None:
        raise not_found(f"No webhook endpoint found with id '{named[:80]}'.", "not_found")
    return msgspec.json.decode(body, type=Endpoint)


async def _keep(request: web.Request, endpoint: Endpoint) -> None:
    body = msgspec.json.encode(endpoint)
    await agents_of(request).records.put(tenant_of(request), ENDPOINT_KIND, endpoint.id, body)


_ONE = f"{ROUTE}/{{webhook_endpoint_id}}"

ROUTES: tuple[Entry, ...] = (
    ("POST", ROUTE, "operate", post_endpoint),
    ("GET", ROUTE, "operate", get_endpoints),
    ("GET", _ONE, "operate", get_endpoint),
    ("POST", _ONE, "operate", post_endpoint_change),
    ("DELETE", _ONE, "operate", delete_endpoint),
    ("POST", f"{_ONE}/rotate_secret", "operate", post_rotate),
    ("POST", f"{_ONE}/test", "operate", post_test),
    ("GET", "/v1/webhook_event_types", "infer", get_event_types),
)
