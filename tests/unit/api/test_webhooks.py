"""Outgoing webhooks: made through the official client, delivered durably, and verified by it."""

import time
from pathlib import Path
from typing import Any

import anyio
import msgspec
import openai
import pytest
from openai import OpenAI
from openai.types.webhooks import BatchCompletedWebhookEvent, ResponseCompletedWebhookEvent
from pydantic import BaseModel

from runtime.api.openai.webhook_service import WebhookService, configured_endpoints
from runtime.api.openai.webhook_words import (
    DELIVERY_KIND,
    ENDPOINT_KIND,
    EVENT_TYPES,
    GIVEN_UP_S,
    Delivery,
    Endpoint,
    delivery_key,
    event_body,
    event_id,
    mint_secret,
    sign,
    wait_after,
)
from runtime.core.agent_facts import AgentFinished
from runtime.core.bus import Bus
from runtime.core.errors import SettingsInvalid
from runtime.core.fetching import FetchFault, Posted, PostRequest
from runtime.core.ids import LOCAL_TENANT, RunId, TenantId
from runtime.core.settings import WebhookSettings
from tests.kit.clock import FakeClock
from tests.kit.fake_agent_runs import FakeAgentRuns
from tests.kit.fake_agent_store import FakeRecords
from tests.kit.fake_secrets import FakeSecretBox
from tests.kit.response_stage import answering
from tests.kit.services_stage import FakePoster, ServicesStage, services_stage

URL = "https://hooks.example.org/lar"


def check_fields(thing: BaseModel) -> None:
    """Check that every field which the client's type demands is there, and of its type."""
    type(thing).model_validate(thing.model_dump(), strict=True)


def unwrap(sent: PostRequest, secret: str) -> Any:
    """Let the official client verify and read what was sent, the time left aside: clocks here are fakes."""
    client = OpenAI(api_key="none", webhook_secret=secret)
    client.webhooks.verify_signature(sent.body, sent.headers, secret=secret, tolerance=2**40)
    return msgspec.json.decode(sent.body)


async def make(stage: ServicesStage, *events: Any, url: str = URL) -> Any:
    return await stage.client.webhooks.create(name="mine", url=url, event_types=list(events or EVENT_TYPES))


def test_the_official_client_reads_what_is_signed_now() -> None:
    secret = mint_secret()
    body = event_body("evt_1", "response.completed", "resp_1", 1.0)
    message = sign([mint_secret(), secret], "evt_1", time.time(), body)
    event = OpenAI(api_key="none", webhook_secret=secret).webhooks.unwrap(message.body, message.headers)
    assert isinstance(event, ResponseCompletedWebhookEvent)
    assert (event.id, event.data.id, event.object) == ("evt_1", "resp_1", "event")
    with pytest.raises(openai.InvalidWebhookSignatureError):
        OpenAI(api_key="none", webhook_secret=mint_secret()).webhooks.unwrap(message.body, message.headers)


async def test_an_endpoint_is_made_shown_changed_and_removed_and_its_secret_is_told_once(
    tmp_path: Path,
) -> None:
    async with services_stage(tmp_path) as stage:
        webhooks = stage.client.webhooks
        made = await make(stage, "response.completed")
        check_fields(made)
        assert made.signing_secret.startswith("whsec_")
        found = await webhooks.retrieve(made.id)
        check_fields(found)
        assert "signing_secret" not in found.to_dict()
        assert (found.signing_secret_hint or "")[-4:] == made.signing_secret[-4:]
        changed = await webhooks.update(made.id, event_types=["batch.failed"], name="yours")
        assert (changed.event_types, changed.name) == (["batch.failed"], "yours")
        other = await make(stage)
        assert [each.id async for each in webhooks.list(limit=1)] == [other.id, made.id]
        rotated = await webhooks.rotate_secret(made.id)
        assert rotated.signing_secret != made.signing_secret
        gone = await webhooks.delete(made.id)
        check_fields(gone)
        with pytest.raises(openai.NotFoundError, match=made.id):
            await webhooks.retrieve(made.id)
        assert (await webhooks.event_types.list()).data == list(EVENT_TYPES)


async def test_addresses_outside_the_perimeter_are_refused(tmp_path: Path) -> None:
    poster = FakePoster(closed=frozenset({"10.0.0.1"}))
    async with services_stage(tmp_path, poster=poster) as stage:
        for url in ("https://10.0.0.1/x", "ftp://example.org", "nonsense", "https://me:it@example.org/"):
            with pytest.raises(openai.BadRequestError) as refused:
                await make(stage, url=url)
            assert refused.value.param == "url"


async def test_the_end_of_a_background_response_is_told_to_whoever_wants_it(tmp_path: Path) -> None:
    async with services_stage(tmp_path, answering()) as stage:
        made = await make(stage, "response.completed")
        await make(stage, "response.failed")
        response = await stage.client.responses.create(model="m", input="Hi", background=True)
        run = stage.responses.runs.last.id
        stage.http.bus.publish(AgentFinished(), run_id=run)
        await stage.poster.came.wait()
        await anyio.wait_all_tasks_blocked()
        (sent,) = stage.poster.sent
        assert sent.url == URL
        event = unwrap(sent, made.signing_secret)
        assert (event["type"], event["data"]) == ("response.completed", {"id": response.id})
        assert sent.headers["webhook-id"] == event["id"]
        assert await stage.responses.home.records.list_records(None, DELIVERY_KIND) == []


async def test_responses_that_somebody_waits_for_are_not_told(tmp_path: Path) -> None:
    async with services_stage(tmp_path, answering()) as stage:
        await make(stage)
        await stage.client.responses.create(model="m", input="Hi")
        stage.http.bus.publish(AgentFinished(), run_id=stage.responses.runs.last.id)
        await anyio.wait_all_tasks_blocked()
        assert stage.poster.sent == []


async def test_a_response_of_a_batch_is_told_with_its_batch_alone(tmp_path: Path) -> None:
    async with services_stage(tmp_path, answering()) as stage:
        await make(stage)
        asked = {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "m", "input": "Hi"},
        }
        await stage.client.batches.create(
            input_file_id=await stage.give_file(asked), endpoint="/v1/responses", completion_window="24h"
        )
        await stage.poster.came.wait()
        stage.http.bus.publish(AgentFinished(), run_id=stage.responses.runs.last.id)
        await anyio.wait_all_tasks_blocked()
        types = [msgspec.json.decode(each.body)["type"] for each in stage.poster.sent]
        assert types == ["batch.completed"]


async def test_the_end_of_a_batch_is_told(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        made = await make(stage, "batch.completed")
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        asked = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
        batch = await stage.client.batches.create(
            input_file_id=await stage.give_file(asked),
            endpoint="/v1/chat/completions",
            completion_window="24h",
        )
        await stage.poster.came.wait()
        event = unwrap(stage.poster.sent[0], made.signing_secret)
        assert (event["type"], event["data"]["id"]) == ("batch.completed", batch.id)
        BatchCompletedWebhookEvent.model_validate(event)


async def test_a_sample_tells_what_the_endpoint_answers(tmp_path: Path) -> None:
    poster = FakePoster(says=[Posted(status=418), FetchFault(code="unreachable", message="it is down")])
    async with services_stage(tmp_path, poster=poster) as stage:
        made = await make(stage)
        told = await stage.client.webhooks.test(made.id, event_type="batch.failed")
        assert (told.status_code, told.event_type) == (418, "batch.failed")
        with pytest.raises(openai.InternalServerError, match="it is down"):
            await stage.client.webhooks.test(made.id, event_type="batch.failed")


ENDPOINT = Endpoint(
    id="we_1",
    name="x",
    url=URL,
    event_types=EVENT_TYPES,
    secret=mint_secret(),
    created_at=0.0,
    updated_at=0.0,
)


def service(poster: FakePoster, clock: FakeClock, records: FakeRecords) -> WebhookService:
    return WebhookService(records, FakeAgentRuns(), poster, Bus(clock), clock, {LOCAL_TENANT: [ENDPOINT]})


async def settled(webhooks: WebhookService) -> None:
    """Let the service live until it waits."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(webhooks.run_forever)
        with anyio.fail_after(5):
            await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


async def test_what_was_not_taken_is_tried_again_by_another_server_under_the_same_id() -> None:
    clock, records = FakeClock(), FakeRecords()
    poster = FakePoster(says=[Posted(status=500), FetchFault(code="too_slow", message="slow")])
    first = service(poster, clock, records)
    await first.notify(LOCAL_TENANT, "batch.failed", "batch_1", clock.now())
    await first.notify(LOCAL_TENANT, "batch.failed", "batch_1", clock.now())
    await settled(first)
    assert len(poster.sent) == 1

    await settled(service(poster, clock, records))
    assert len(poster.sent) == 1  # it is not due yet
    for wait in (wait_after(1), wait_after(2)):
        clock.advance(wait * 1.2)
        await settled(service(poster, clock, records))
    assert len(poster.sent) == 3
    assert len({each.headers["webhook-id"] for each in poster.sent}) == 1
    assert await records.list_records(None, DELIVERY_KIND) == []


async def test_what_cannot_be_signed_while_secrets_are_locked_waits_and_is_sent_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, records, poster, box = FakeClock(), FakeRecords(), FakePoster(), FakeSecretBox()
    sealed = msgspec.structs.replace(ENDPOINT, secret=await box.seal(ENDPOINT.secret))
    await records.put(LOCAL_TENANT, ENDPOINT_KIND, sealed.id, msgspec.json.encode(sealed))
    box.is_locked = True
    webhooks = WebhookService(records, FakeAgentRuns(), poster, Bus(clock), clock, secrets=box)
    await webhooks.notify(LOCAL_TENANT, "batch.failed", "batch_1", clock.now())

    await settled(webhooks)

    assert poster.sent == []
    assert caplog.text.count("webhooks wait: their secrets cannot be opened") == 1
    ((_, _, body),) = await records.list_records(None, DELIVERY_KIND)
    assert msgspec.json.decode(body, type=Delivery).tries == 0
    box.is_locked = False
    clock.advance(60.0)
    await settled(webhooks)
    (sent,) = poster.sent
    assert unwrap(sent, ENDPOINT.secret)["type"] == "batch.failed"
    assert await records.list_records(None, DELIVERY_KIND) == []


async def test_a_delivery_that_stays_locked_for_three_days_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, records, poster, box = FakeClock(), FakeRecords(), FakePoster(), FakeSecretBox()
    sealed = msgspec.structs.replace(ENDPOINT, secret=await box.seal(ENDPOINT.secret))
    await records.put(LOCAL_TENANT, ENDPOINT_KIND, sealed.id, msgspec.json.encode(sealed))
    box.is_locked = True
    webhooks = WebhookService(records, FakeAgentRuns(), poster, Bus(clock), clock, secrets=box)
    await webhooks.notify(LOCAL_TENANT, "batch.failed", "batch_1", clock.now())
    clock.advance(GIVEN_UP_S + 1)

    await settled(webhooks)

    assert "a webhook was given up" in caplog.text
    assert await records.list_records(None, DELIVERY_KIND) == []


class HangingPoster(FakePoster):
    """Never hears from one host."""

    async def post(self, request: PostRequest) -> Posted | FetchFault:
        if "dead" in request.url:
            await anyio.sleep_forever()
        return await super().post(request)


async def test_an_endpoint_that_does_not_answer_holds_back_no_other() -> None:
    clock, records, poster = FakeClock(), FakeRecords(), HangingPoster()
    dead = msgspec.structs.replace(ENDPOINT, id="we_0", url="https://dead.example.org/")
    webhooks = WebhookService(
        records, FakeAgentRuns(), poster, Bus(clock), clock, {LOCAL_TENANT: [dead, ENDPOINT]}
    )
    for number in range(50):
        await webhooks.notify(LOCAL_TENANT, "batch.failed", f"batch_{number}", clock.now())
    await settled(webhooks)
    assert {each.url for each in poster.sent} == {URL}
    assert len(poster.sent) == 50


async def test_a_receiver_that_asks_to_come_later_is_obeyed() -> None:
    clock, records = FakeClock(), FakeRecords()
    poster = FakePoster(says=[Posted(status=429, retry_after_s=1000.0)])
    webhooks = service(poster, clock, records)
    await webhooks.notify(LOCAL_TENANT, "batch.failed", "batch_1", clock.now())
    await settled(webhooks)
    ((_, _, body),) = await records.list_records(None, DELIVERY_KIND)
    assert msgspec.json.decode(body, type=Delivery).due_at == clock.now() + 1000.0


@pytest.mark.parametrize("status", [410, 500])
async def test_a_delivery_is_given_up_after_three_days_or_when_the_receiver_says_so(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock, records = FakeClock(), FakeRecords()
    poster = FakePoster(says=[Posted(status=status)])
    event = event_id(LOCAL_TENANT, "batch.failed", "batch_1")
    age = 0.0 if status == 410 else GIVEN_UP_S - 1
    old = Delivery(
        event=event,
        endpoint=ENDPOINT.id,
        type="batch.failed",
        body="{}",
        created_at=clock.now() - age,
        tries=9,
    )
    await records.put(LOCAL_TENANT, DELIVERY_KIND, delivery_key(old), msgspec.json.encode(old))
    await settled(service(poster, clock, records))
    assert len(poster.sent) == 1
    assert await records.list_records(None, DELIVERY_KIND) == []
    assert "a webhook was given up" in caplog.text


async def test_ends_that_nobody_heard_of_are_made_up_for(tmp_path: Path) -> None:
    async with services_stage(tmp_path, answering(), is_working=False) as stage:
        stage.responses.runs.script = None
        await make(stage, "response.completed")
        webhooks = stage.services.webhooks
        await settled(webhooks)  # notes from when on ends count
        await stage.client.responses.create(model="m", input="Hi", background=True)
        run = stage.responses.runs.last
        stage.responses.runs.end(run)
        assert run.ended is not None
        run.ended = msgspec.structs.replace(run.ended, at=stage.clock.now() + 1)
        await settled(webhooks)
        assert len(stage.poster.sent) == 1
        await settled(webhooks)
        assert len(stage.poster.sent) == 1


def test_endpoints_of_the_settings_are_checked() -> None:
    secret = mint_secret()
    given = WebhookSettings(url=URL, secret="HOOK", events=("batch.failed",))
    found = configured_endpoints([given], {"HOOK": secret})
    assert [each.secret for each in found[LOCAL_TENANT]] == [secret]
    assert found[LOCAL_TENANT][0].event_types == ("batch.failed",)
    for settings, environment in (
        (given, {}),
        (given, {"HOOK": "plain"}),
        (msgspec.structs.replace(given, events=("batch.wrong",)), {"HOOK": secret}),
        (msgspec.structs.replace(given, url="example.org"), {"HOOK": secret}),
    ):
        with pytest.raises(SettingsInvalid, match=r"webhooks\[0\]"):
            configured_endpoints([settings], environment)


def test_an_event_has_one_id_for_each_tenant_type_and_subject() -> None:
    ids = {
        event_id(TenantId(tenant), kind, subject)
        for tenant in ("a", "b")
        for kind in ("batch.failed", "batch.expired")
        for subject in ("1", "2")
    }
    assert len(ids) == 8
    assert RunId("run_1") not in ids
