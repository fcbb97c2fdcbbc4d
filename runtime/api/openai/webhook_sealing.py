"""Seals the secrets of webhooks that an earlier Lar has kept open, before anybody can change them."""

import logging

import msgspec

from runtime.api.agents.hooks import KIND as HOOK_KIND
from runtime.api.agents.hooks import read_kept
from runtime.api.openai.webhook_words import ENDPOINT_KIND, Endpoint, hint_of
from runtime.core.agents.ports import Records, SecretBox
from runtime.core.errors import SecretsLocked

logger = logging.getLogger(__name__)

_READ_AT_ONCE = 200


async def seal_kept(records: Records, secrets: SecretBox) -> int:
    """Seal what stands open; return how many records. Where that is locked they wait for the next start."""
    sealed = 0
    try:
        for kind, seal in ((HOOK_KIND, _seal_hook), (ENDPOINT_KIND, _seal_endpoint)):
            after: str | None = None
            while rows := await records.list_records(None, kind, after=after, limit=_READ_AT_ONCE):
                for tenant, key, body in rows:
                    changed = await seal(secrets, body)
                    if changed is not None:
                        await records.put(tenant, kind, key, changed)
                        sealed += 1
                after = rows[-1][1]
    except SecretsLocked as problem:
        logger.warning("secrets of webhooks stay unsealed for now", extra={"cause": problem.fault.message})
    if sealed:
        logger.info("secrets of webhooks were sealed", extra={"records": sealed})
    return sealed


async def _seal_hook(secrets: SecretBox, body: bytes) -> bytes | None:
    kept = read_kept(body)
    if secrets.is_sealed(kept.secret):
        return None
    return msgspec.json.encode(msgspec.structs.replace(kept, secret=await secrets.seal(kept.secret)))


async def _seal_endpoint(secrets: SecretBox, body: bytes) -> bytes | None:
    endpoint = msgspec.json.decode(body, type=Endpoint)
    if secrets.is_sealed(endpoint.secret):
        return None
    former = endpoint.former_secret
    changed = msgspec.structs.replace(
        endpoint,
        secret=await secrets.seal(endpoint.secret),
        hint=hint_of(endpoint.secret),
        former_secret=None if former is None else await secrets.seal(former),
    )
    return msgspec.json.encode(changed)
