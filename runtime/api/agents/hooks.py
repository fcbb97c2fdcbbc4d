"""Triggers of agents: shown with their next start, and called from outside.

A call needs no key: it is signed as Standard Webhooks, with a secret that is the hook's own. Whatever is
wrong with one gets the same answer, so that nobody learns which agents and hooks there are.
"""

import base64
import binascii
import hmac
import logging
import os
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

import anyio
import msgspec
from aiohttp import web
from standardwebhooks import Webhook

from runtime.api.agents.definitions import AGENTS
from runtime.api.agents.reach import agents_of
from runtime.api.bodies import BODY_DEADLINE_S, invite
from runtime.api.deps import DEPS
from runtime.api.errors import Refusal, Refused, invalid, key_refused, not_found
from runtime.api.openai.webhook_words import hint_of, is_secret, mint_secret
from runtime.api.reach import Entry, json_answer, tenant_of
from runtime.core.agents.definition import Agent, Trigger
from runtime.core.agents.parts import AgentParts
from runtime.core.agents.triggers.due import is_timed, next_after
from runtime.core.agents.triggers.naming import key_of, kind_of
from runtime.core.agents.triggers.service import TriggerService
from runtime.core.agents.triggers.starts import Mark
from runtime.core.errors import LarError, NotFound, SecretsLocked
from runtime.core.ids import LOCAL_TENANT, TenantId

logger = logging.getLogger(__name__)

KIND = "hook"
"""Of the records that hold secrets made here."""
MARK_KIND = "trigger"
BODY_LIMIT_BYTES = 1024 * 1024
TOLERANCE_S = 300.0
"""How old a call may be, or how far ahead: a call that somebody has recorded is of no use later."""
_DELIVERY = re.compile(r"[\x21-\x7e]{1,256}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_STAMP = re.compile(r"[0-9]{1,12}")
_READ_AT_ONCE = 64 * 1024


class KeptSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret of a hook, as it is kept."""

    secret: str
    """Sealed."""
    hint: str
    """What of it may be shown."""


class Signed(NamedTuple):
    """What a call says of itself."""

    delivery: str
    stamp: int
    signatures: tuple[bytes, ...]


async def post_hook(request: web.Request) -> web.Response:
    """Start an agent for a call from outside. The same delivery starts it once."""
    body = await _body(request)
    signed = _signed(request)
    agent, hook = request.match_info["name"], request.match_info["hook"]
    tenant = TenantId(request.query.get("tenant") or LOCAL_TENANT)
    secret = await _opened_secret(request, tenant, agent, hook) if _TENANT.fullmatch(tenant) else None
    now = request.app[DEPS].clock.now()
    if not is_genuine(secret, signed, body, now):
        raise _refused()
    assert signed is not None

    try:
        event = body.decode()
    except UnicodeDecodeError:
        raise invalid("The request body is not valid UTF-8.", None) from None
    try:
        run = await _triggers(request).call(tenant, agent, hook, event, signed.delivery)
    except NotFound:
        raise _refused() from None  # it was taken away or paused just now
    if run is None:
        message = f"The agent '{agent[:80]}' could not be started now. Send the call again later."
        raise Refused(
            Refusal(status=503, type="server_error", code="not_started", message=message, should_retry=True)
        )
    return json_answer({"run": run}, status=202)


async def get_triggers(request: web.Request) -> web.Response:
    """Show an agent's triggers; a secret that is made for a webhook is in this answer and no other."""
    agent = (await agents_of(request).book.find(tenant_of(request), request.match_info["name"])).agent
    return json_answer({"triggers": [await _shown(request, agent, each) for each in agent.triggers]})


async def post_secret(request: web.Request) -> web.Response:
    """Put another secret in the place of a webhook's former one; the answer alone holds it."""
    tenant, hook = tenant_of(request), request.match_info["hook"]
    agent = (await agents_of(request).book.find(tenant, request.match_info["name"])).agent
    trigger = next((each for each in agent.triggers if each.webhook == hook), None)
    if trigger is None:
        raise not_found(f"The agent '{agent.name}' has no webhook '{hook[:80]}'.", "not_found")
    if trigger.secret is not None:
        message = (
            f"The secret of this webhook is in the environment variable {trigger.secret}: change it there."
        )
        raise invalid(message, "secret")
    secret = await _mint(agents_of(request), tenant, agent.name, hook)
    return json_answer({"webhook": hook, "secret": secret})


def is_genuine(secret: str | None, signed: Signed | None, body: bytes, now: float) -> bool:
    """Say whether a call was signed with the secret, lately. Takes as long where there is none."""
    if signed is None or not is_secret(secret or ""):
        return False

    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    moment = datetime.fromtimestamp(signed.stamp, tz=UTC)
    wanted = base64.b64decode(Webhook(secret or "").sign(signed.delivery, moment, text).partition(",")[2])
    is_alike = [hmac.compare_digest(wanted, each) for each in signed.signatures]
    return any(is_alike) and abs(now - signed.stamp) <= TOLERANCE_S


def _signed(request: web.Request) -> Signed | None:
    """Read the three headers; None where one is missing or no such header."""
    delivery = request.headers.get("webhook-id", "")
    stamp = request.headers.get("webhook-timestamp", "")
    if not _DELIVERY.fullmatch(delivery) or not _STAMP.fullmatch(stamp):
        return None

    signatures: list[bytes] = []
    for each in request.headers.get("webhook-signature", "").split():
        version, _, coded = each.partition(",")
        try:
            signatures += [base64.b64decode(coded, validate=True)] if version == "v1" else []
        except binascii.Error:
            continue
    return Signed(delivery, int(stamp), tuple(signatures))


async def _body(request: web.Request) -> bytes:
    """Read a body that is not too large. Raises Refused."""
    body = bytearray()
    try:
        with anyio.fail_after(BODY_DEADLINE_S):
            await invite(request)
            async for piece in request.content.iter_chunked(_READ_AT_ONCE):
                body += piece
                if len(body) > BODY_LIMIT_BYTES:
                    raise _too_large()
    except TimeoutError as problem:
        message = f"The request body did not arrive within {BODY_DEADLINE_S:g} s."
        refusal = Refusal(status=408, type="invalid_request_error", code="request_timeout", message=message)
        raise Refused(refusal) from problem
    return bytes(body)


async def _secret_of(request: web.Request, tenant: TenantId, agent: str, hook: str) -> str | None:
    """Return the secret of a hook; None where there is no such hook, or nobody was given its secret yet."""
    try:
        state = await agents_of(request).book.find(tenant, agent)
    except LarError:
        return None
    trigger = next((each for each in state.agent.triggers if each.webhook == hook), None)
    if trigger is None or state.is_paused or state.faults:
        return None
    if trigger.secret is not None:
        return os.environ.get(trigger.secret)
    stored = await agents_of(request).records.get(tenant, KIND, _key(agent, hook))
    return None if stored is None else await agents_of(request).secrets.open(read_kept(stored).secret)


async def _opened_secret(request: web.Request, tenant: TenantId, agent: str, hook: str) -> str | None:
    """Return the secret of a hook. Raises Refused (503) while secrets are locked.

    Also where there is no such hook: nobody learns by it which hooks there are.
    """
    try:
        secret = await _secret_of(request, tenant, agent, hook)
        if secret is None:
            await agents_of(request).secrets.seal("")
    except SecretsLocked as problem:
        logger.warning("a webhook cannot be verified", extra={"cause": problem.fault.message})
        message = "Calls cannot be verified now. Send the call again later."
        raise Refused(
            Refusal(
                status=503, type="server_error", code="secrets_locked", message=message, should_retry=True
            )
        ) from problem
    return secret


async def _shown(request: web.Request, agent: Agent, trigger: Trigger) -> dict[str, Any]:
    """Return a trigger with how far it has come."""
    tenant, records = tenant_of(request), agents_of(request).records
    stored = await records.get(tenant, MARK_KIND, key_of(agent, trigger))
    mark = None if stored is None else msgspec.json.decode(stored, type=Mark)
    now = request.app[DEPS].clock.now()
    told: dict[str, Any] = {
        "kind": kind_of(trigger),
        "trigger": trigger,
        "next_at": None,
        "last_run": None if mark is None else mark.last_run,
        "starts": 0 if mark is None else mark.starts,
        "fault": None if mark is None else mark.fault or None,
    }
    if is_timed(trigger):
        last = now if mark is None or trigger.cron is not None else mark.last
        told["next_at"] = max(next_after(trigger, last), now)
    if trigger.webhook is not None:
        told |= await _hook(agents_of(request), tenant, agent.name, trigger)
    return told


async def _hook(parts: AgentParts, tenant: TenantId, agent: str, trigger: Trigger) -> dict[str, Any]:
    assert trigger.webhook is not None
    path = f"{AGENTS}/{agent}/hooks/{trigger.webhook}"
    told: dict[str, Any] = {"path": path if tenant == LOCAL_TENANT else f"{path}?tenant={tenant}"}
    if trigger.secret is not None:
        is_there = is_secret(os.environ.get(trigger.secret, ""))
        fault = f"the environment variable {trigger.secret} holds no secret 'whsec_…'"
        return told | {"secret_from": trigger.secret} | ({} if is_there else {"fault": fault})
    stored = await parts.records.get(tenant, KIND, _key(agent, trigger.webhook))
    if stored is not None:
        return told | {"secret_hint": read_kept(stored).hint}
    return told | {"secret": await _mint(parts, tenant, agent, trigger.webhook)}


async def _mint(parts: AgentParts, tenant: TenantId, agent: str, hook: str) -> str:
    secret = mint_secret()
    kept = KeptSecret(secret=await parts.secrets.seal(secret), hint=hint_of(secret))
    await parts.records.put(tenant, KIND, _key(agent, hook), msgspec.json.encode(kept))
    return secret


def read_kept(stored: bytes) -> KeptSecret:
    """Return what is kept of a hook; before secrets were sealed that was the secret alone."""
    if stored.startswith(b"{"):
        return msgspec.json.decode(stored, type=KeptSecret)
    secret = stored.decode()
    return KeptSecret(secret=secret, hint=hint_of(secret))


def _key(agent: str, hook: str) -> str:
    return f"{agent}/{hook}"


def _triggers(request: web.Request) -> TriggerService:
    triggers = agents_of(request).triggers
    if triggers is None:
        message = "This server was started without triggers."
        raise Refused(Refusal(status=503, type="server_error", code="triggers_off", message=message))
    return triggers


def _refused() -> Refused:
    """Return the 401 for a call that is not genuine, whatever is wrong with it; raise it."""
    message = "The call could not be verified. Sign it as Standard Webhooks, with the secret of this webhook."
    return key_refused(message, "invalid_signature")


def _too_large() -> Refused:
    message = f"The request body is larger than {BODY_LIMIT_BYTES} bytes, which no call of a webhook may be."
    return Refused(
        Refusal(status=413, type="invalid_request_error", code="request_too_large", message=message)
    )


HOOK_ROUTES: tuple[Entry, ...] = (
    ("GET", f"{AGENTS}/{{name}}/triggers", "operate", get_triggers),
    ("POST", f"{AGENTS}/{{name}}/hooks/{{hook}}", "public", post_hook),
    ("POST", f"{AGENTS}/{{name}}/hooks/{{hook}}/secret", "operate", post_secret),
)
