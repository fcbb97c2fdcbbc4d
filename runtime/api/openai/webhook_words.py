"""The words of outgoing webhooks: endpoints, what is delivered to them, and how it is signed.

Signed as Standard Webhooks has it, so that OpenAI's clients verify it (`client.webhooks.unwrap`).
"""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

import msgspec
from standardwebhooks import Webhook

from runtime.core.ids import TenantId

EventType = Literal[
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
ENDPOINT_KIND = "webhook_endpoint"
DELIVERY_KIND = "webhook_delivery"
MARK_KIND = "webhook_mark"
PREFIX = "we_"
GIVEN_UP_S = 72 * 3600.0
"""After that a delivery is dropped."""
WAITS_S = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0)
"""Before the second try, the third, and so on; the last stands for all that follow."""
_SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins, not one
_SECRET_BYTES = 32


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where events go."""

    id: str
    name: str
    url: str
    event_types: tuple[str, ...]
    secret: str
    """Sealed, where it is kept here."""
    created_at: float
    updated_at: float
    hint: str = ""
    """What of the secret may be shown; empty: it stands open."""
    former_secret: str | None = None
    former_until: float = 0.0
    """Until then events are signed with the former secret, too."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event on its way to one endpoint."""

    event: str
    """Its id, the same at each try: receivers tell repetitions by it."""
    endpoint: str
    type: str
    body: str
    created_at: float
    tries: int = 0
    due_at: float = 0.0


class Message(NamedTuple):
    """What is sent."""

    body: bytes
    headers: dict[str, str]


def mint_secret() -> str:
    """Return a fresh secret."""
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Whether events can be signed with this."""
    try:
        Webhook(text)
    except Exception:  # noqa: BLE001 - the library says no in several ways
        return False
    return text.startswith(_SECRET_PREFIX)


def hint_of(secret: str) -> str:
    """Return what of a secret may be shown."""
    return f"{_SECRET_PREFIX}…{secret[-4:]}"


def event_id(tenant: TenantId, event_type: str, subject: str) -> str:
    """Return the id of an event: the same however often it is made of the same."""
    digest = hashlib.sha256(f"{tenant}/{event_type}/{subject}".encode()).hexdigest()
    return f"evt_{digest[:32]}"


def event_body(event: str, event_type: str, subject: str, at: float) -> str:
    """Return what is sent for an event."""
    told: dict[str, Any] = {
        "id": event,
        "object": "event",
        "created_at": int(at),
        "type": event_type,
        "data": {"id": subject},
    }
    return msgspec.json.encode(told).decode()


def delivery_key(delivery: Delivery) -> str:
    """Return the key of a delivery's record."""
    return f"{delivery.event}:{delivery.endpoint}"


def wait_after(tries: int) -> float:
    """Return how long to wait after so many tries."""
    return WAITS_S[min(tries, len(WAITS_S)) - 1]


def sign(keys: Sequence[str], message_id: str, at: float, body: str) -> Message:
    """Return a message, signed with each of the secrets."""
    moment = datetime.fromtimestamp(int(at), tz=UTC)
    signatures = [Webhook(each).sign(message_id, moment, body) for each in keys]
    return Message(
        body.encode(),
        {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at)),
            "webhook-signature": " ".join(signatures),
        },
    )


def keys_of(endpoint: Endpoint, now: float) -> tuple[str, ...]:
    """Return the secrets that events are signed with now."""
    if endpoint.former_secret is not None and now < endpoint.former_until:
        return (endpoint.secret, endpoint.former_secret)
    return (endpoint.secret,)


def wire_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    """Say an endpoint in OpenAI's words, without its secret."""
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "created_at": int(endpoint.created_at),
        "updated_at": int(endpoint.updated_at),
        "signing_secret_hint": endpoint.hint or hint_of(endpoint.secret),
    }
