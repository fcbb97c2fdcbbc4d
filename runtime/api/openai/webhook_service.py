"""Delivers events to the endpoints that want them: durably, again and again, up to three days.

    end of a background response ─┐
    end of a batch ───────────────┴─ a record for each endpoint ─ POST, signed ─ removed once it was taken
An event that nobody heard of because the server was killed is made up for at the next start; its id is the
same, so a receiver that got it twice can tell.
"""

import logging
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import anyio
import msgspec

from runtime.api.openai.batch_words import LABEL
from runtime.api.openai.webhook_words import (
    DELIVERY_KIND,
    ENDPOINT_KIND,
    EVENT_TYPES,
    GIVEN_UP_S,
    MARK_KIND,
    Delivery,
    Endpoint,
    delivery_key,
    event_body,
    event_id,
    is_secret,
    keys_of,
    sign,
    wait_after,
)
from runtime.api.responses.object import response_id
from runtime.core.agent_facts import AgentCancelled, AgentFailed, AgentFinished, AgentIncomplete
from runtime.core.agents.parts import OpenBox
from runtime.core.agents.ports import AgentRuns, Records, RunQuery, SecretBox
from runtime.core.agents.steps import TERMINAL, RunRecord
from runtime.core.bus import Bus
from runtime.core.clock import Clock
from runtime.core.errors import Conflict, LarError, NotFound, SecretsLocked, SettingsInvalid
from runtime.core.events import BusLagged, Envelope
from runtime.core.fetching import FetchFault, Posted, Poster, PostRequest
from runtime.core.ids import TenantId
from runtime.core.settings import WebhookSettings

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 16
PER_ENDPOINT = 4
"""Deliveries to one endpoint side by side."""
LOOK_EVERY_S = 30.0
_FACTS_BUFFERED = 4096
_READ_AT_ONCE = 200
_CAUGHT_UP = 1000
"""Runs that are looked through after a restart, the newest first."""
_SPREAD = 0.1
"""Of each wait, by chance: what failed together is not tried again together."""
_GONE = 410

Pause = Callable[[float], Awaitable[None]]


class WebhookService:
    """The outgoing webhooks of all tenants."""

    def __init__(
        self,
        records: Records,
        runs: AgentRuns,
        poster: Poster,
        bus: Bus,
        clock: Clock,
        configured: Mapping[TenantId, Sequence[Endpoint]] | None = None,
        secrets: SecretBox | None = None,
    ) -> None:
        self._records = records
        self._runs = runs
        self._poster = poster
        self._bus = bus
        self._clock = clock
        self._configured = configured or {}
        self._secrets = secrets or OpenBox()
        self._is_locked = False
        self._queue: dict[tuple[TenantId, str], Delivery] = {}
        self._sending: set[tuple[TenantId, str]] = set()
        self._woken = anyio.Event()

    async def run_forever(self) -> None:
        """Hear of ends, and deliver. For the app's task group."""
        with self._bus.subscribe("webhooks", _FACTS_BUFFERED) as facts:
            await self._load()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._deliver_forever)
                await self._guarded(self._catch_up)
                async for envelope in facts:
                    await self._guarded(self._hear, envelope)
                tasks.cancel_scope.cancel()

    async def endpoints(self, tenant: TenantId) -> list[Endpoint]:
        """Return all endpoints of a tenant that are kept here, by creation."""
        found: list[Endpoint] = []
        after: str | None = None
        while rows := await self._records.list_records(
            tenant, ENDPOINT_KIND, after=after, limit=_READ_AT_ONCE
        ):
            found += [msgspec.json.decode(body, type=Endpoint) for _, _, body in rows]
            after = rows[-1][1]
        return found

    async def notify(self, tenant: TenantId, event_type: str, subject: str, at: float) -> None:
        """Let an event be delivered to whoever wants it; it is safe when this returns."""
        event = event_id(tenant, event_type, subject)
        for endpoint in await self._wanting(tenant, event_type):
            delivery = Delivery(
                event=event,
                endpoint=endpoint.id,
                type=event_type,
                body=event_body(event, event_type, subject, at),
                created_at=self._clock.now(),
                due_at=self._clock.now(),
            )
            key = delivery_key(delivery)
            try:
                await self._records.put(
                    tenant, DELIVERY_KIND, key, msgspec.json.encode(delivery), only_new=True
                )
            except Conflict:
                continue  # it is on its way
            self._queue[tenant, key] = delivery
        self._woken.set()

    async def send(self, endpoint: Endpoint, event_type: str, subject: str) -> Posted | FetchFault:
        """Send a sample at once, and once."""
        now = self._clock.now()
        event = event_id(TenantId(endpoint.id), event_type, f"{subject}@{now}")
        return await self._post(endpoint, event, event_body(event, event_type, subject, now))

    async def refusal(self, host: str, port: int) -> str | None:
        """Say why events may not go to a host; None where they may."""
        fault = await self._poster.check_host(host, port)
        return None if fault is None else fault.message

    async def _wanting(self, tenant: TenantId, event_type: str) -> list[Endpoint]:
        every = [*self._configured.get(tenant, ()), *await self.endpoints(tenant)]
        return [each for each in every if event_type in each.event_types]

    async def _endpoint(self, tenant: TenantId, endpoint: str) -> Endpoint | None:
        for each in self._configured.get(tenant, ()):
            if each.id == endpoint:
                return each
        body = await self._records.get(tenant, ENDPOINT_KIND, endpoint)
        return None if body is None else msgspec.json.decode(body, type=Endpoint)

    async def _load(self) -> None:
        """Take up what a former server had not delivered."""
        after: str | None = None
        while rows := await self._records.list_records(None, DELIVERY_KIND, after=after, limit=_READ_AT_ONCE):
            for tenant, key, body in rows:
                self._queue[tenant, key] = msgspec.json.decode(body, type=Delivery)
            after = rows[-1][1]

    async def _deliver_forever(self) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                self._woken = anyio.Event()
                now = self._clock.now()
                for place, delivery in self._due(now):
                    self._sending.add(place)
                    tasks.start_soon(self._attempt, place, delivery)
                # What is due and still waits is looked at again when a delivery ends.
                later = min((e.due_at for e in self._queue.values() if e.due_at > now), default=now)
                wait_s = later - now or LOOK_EVERY_S
                with anyio.move_on_after(min(wait_s, LOOK_EVERY_S)):
                    await self._woken.wait()

    def _due(self, now: float) -> list[tuple[tuple[TenantId, str], Delivery]]:
        """Return what is to be sent now; an endpoint that does not answer must not hold back the others."""
        waiting = [(p, e) for p, e in self._queue.items() if p not in self._sending and e.due_at <= now]
        waiting.sort(key=lambda each: each[1].due_at)
        busy = Counter(self._queue[each].endpoint for each in self._sending if each in self._queue)
        chosen: list[tuple[tuple[TenantId, str], Delivery]] = []
        for place, delivery in waiting:
            if len(self._sending) + len(chosen) >= SIDE_BY_SIDE:
                break
            if busy[delivery.endpoint] < PER_ENDPOINT:
                busy[delivery.endpoint] += 1
                chosen.append((place, delivery))
        return chosen

    async def _attempt(self, place: tuple[TenantId, str], delivery: Delivery) -> None:
        """Try once; what goes wrong with one delivery holds back no other."""
        try:
            await self._guarded(self._try, place, delivery)
        finally:
            self._sending.discard(place)
            self._woken.set()

    async def _try(self, place: tuple[TenantId, str], delivery: Delivery) -> None:
        tenant, key = place
        endpoint = await self._endpoint(tenant, delivery.endpoint)
        if endpoint is None:  # it was removed meanwhile
            await self._forget(place)
            return
        try:
            told = await self._post(endpoint, delivery.event, delivery.body)
        except SecretsLocked as problem:
            await self._hold(place, delivery, endpoint, problem)
            return
        self._is_locked = False
        if isinstance(told, Posted) and 200 <= told.status < 300:
            await self._forget(place)
            return

        tries, now = delivery.tries + 1, self._clock.now()
        wait_s = wait_after(tries) * (1 + random.uniform(0, _SPREAD))  # noqa: S311 - spreads load, no secret
        wait_s = max(wait_s, told.retry_after_s or 0.0)
        is_gone = isinstance(told, Posted) and told.status == _GONE
        if is_gone or now + wait_s > delivery.created_at + GIVEN_UP_S:
            self._tell_dropped(tenant, endpoint, delivery, told)
            await self._forget(place)
            return
        later = msgspec.structs.replace(delivery, tries=tries, due_at=now + wait_s)
        self._queue[place] = later
        await self._records.put(tenant, DELIVERY_KIND, key, msgspec.json.encode(later))

    async def _hold(
        self, place: tuple[TenantId, str], delivery: Delivery, endpoint: Endpoint, problem: SecretsLocked
    ) -> None:
        """Let a delivery wait that cannot be signed now: no try, since nobody was asked."""
        now = self._clock.now()
        if now > delivery.created_at + GIVEN_UP_S:
            self._tell_dropped(
                place[0], endpoint, delivery, FetchFault(code="broken", message=problem.fault.message)
            )
            await self._forget(place)
            return
        if not self._is_locked:
            logger.warning(
                "webhooks wait: their secrets cannot be opened", extra={"cause": problem.fault.message}
            )
        self._is_locked = True
        self._queue[place] = msgspec.structs.replace(delivery, due_at=now + LOOK_EVERY_S)

    async def _post(self, endpoint: Endpoint, event: str, body: str) -> Posted | FetchFault:
        now = self._clock.now()
        keys = [await self._secrets.open(each) for each in keys_of(endpoint, now)]
        message = sign(keys, event, now, body)
        return await self._poster.post(
            PostRequest(url=endpoint.url, body=message.body, headers=message.headers)
        )

    async def _forget(self, place: tuple[TenantId, str]) -> None:
        await self._records.remove(place[0], DELIVERY_KIND, place[1])
        self._queue.pop(place, None)

    def _tell_dropped(
        self, tenant: TenantId, endpoint: Endpoint, delivery: Delivery, told: Posted | FetchFault
    ) -> None:
        logger.warning(
            "a webhook was given up",
            extra={
                "tenant": tenant,
                "endpoint": endpoint.id,
                "url": endpoint.url,
                "event": delivery.event,
                "type": delivery.type,
                "tries": delivery.tries + 1,
                "cause": told.message if isinstance(told, FetchFault) else f"it answered {told.status}",
            },
        )

    async def _hear(self, envelope: Envelope) -> None:
        match envelope.event:
            case AgentFinished() | AgentFailed() | AgentCancelled() | AgentIncomplete():
                if envelope.run_id is None or not await self._has_endpoints(envelope.tenant):
                    return
                try:
                    record = await self._runs.find(envelope.tenant, envelope.run_id)
                except NotFound:
                    return  # it was not to be kept, or is forgotten already
                await self._tell_end(envelope.tenant, record)
                await self._mark(envelope.tenant, record.ended_at or envelope.at)
            case BusLagged():
                await self._catch_up()
            case _:
                return

    async def _tell_end(self, tenant: TenantId, record: RunRecord) -> None:
        """Let the end of a response be told, if somebody may wait for it who does not read it."""
        is_line = LABEL in record.labels  # of a batch, whose end is told as a whole
        if record.is_background and record.parent is None and not is_line and record.status in TERMINAL:
            ended_at = record.ended_at or self._clock.now()
            await self.notify(tenant, f"response.{record.status}", response_id(record.id), ended_at)

    async def _has_endpoints(self, tenant: TenantId) -> bool:
        if self._configured.get(tenant):
            return True
        return bool(await self._records.list_records(tenant, ENDPOINT_KIND, limit=1))

    async def _mark(self, tenant: TenantId, at: float) -> None:
        """Note up to when ends are told."""
        await self._records.put(tenant, MARK_KIND, "runs", msgspec.json.encode(at))

    async def _catch_up(self) -> None:
        """Tell of ends that came while nobody listened."""
        tenants = set(self._configured)
        after: str | None = None
        while rows := await self._records.list_records(None, ENDPOINT_KIND, after=after, limit=_READ_AT_ONCE):
            tenants |= {tenant for tenant, _, _ in rows}
            after = rows[-1][1]
        for tenant in sorted(tenants):
            await self._catch_up_tenant(tenant)

    async def _catch_up_tenant(self, tenant: TenantId) -> None:
        marked = await self._records.get(tenant, MARK_KIND, "runs")
        if marked is None:
            await self._mark(tenant, self._clock.now())
            return

        last: float = msgspec.json.decode(marked, type=float)
        query = RunQuery(statuses=tuple(sorted(TERMINAL)), limit=_READ_AT_ONCE)
        newest = last
        for _ in range(_CAUGHT_UP // _READ_AT_ONCE):
            page = await self._runs.list_runs(tenant, query)
            for record in page:
                if (record.ended_at or 0.0) > last:
                    await self._tell_end(tenant, record)
                    newest = max(newest, record.ended_at or 0.0)
            if len(page) < _READ_AT_ONCE:
                break
            query = msgspec.structs.replace(query, after=page[-1].id)
        await self._mark(tenant, newest)

    async def _guarded(self, work: Callable[..., Awaitable[None]], *given: object) -> None:
        try:
            await work(*given)
        except LarError as problem:
            logger.warning("webhooks cannot go on with this", extra={"cause": problem.fault.message})
        except Exception:
            logger.exception("webhooks broke off with this")


def configured_endpoints(
    settings: Sequence[WebhookSettings], environment: Mapping[str, str] = os.environ
) -> dict[TenantId, list[Endpoint]]:
    """Return the endpoints of `lar.toml` by tenant. Raises SettingsInvalid."""
    found: dict[TenantId, list[Endpoint]] = {}
    for place, each in enumerate(settings):
        secret = environment.get(each.secret, "")
        if not is_secret(secret):
            raise SettingsInvalid(
                f"webhooks[{place}].secret: the environment variable {each.secret} must hold a secret that "
                "begins with 'whsec_', followed by base64."
            )
        unknown = sorted(set(each.events) - set(EVENT_TYPES))
        if unknown:
            raise SettingsInvalid(
                f"webhooks[{place}].events: '{unknown[0]}' is no event; known: {', '.join(EVENT_TYPES)}."
            )
        if not each.url.startswith(("https://", "http://")):
            raise SettingsInvalid(f"webhooks[{place}].url: '{each.url}' is no web address.")
        endpoint = Endpoint(
            id=event_id(TenantId(each.tenant), "endpoint", each.url).replace("evt_", "we_toml_"),
            name="lar.toml",
            url=each.url,
            event_types=each.events or EVENT_TYPES,
            secret=secret,
            created_at=0.0,
            updated_at=0.0,
        )
        found.setdefault(TenantId(each.tenant), []).append(endpoint)
    return found
