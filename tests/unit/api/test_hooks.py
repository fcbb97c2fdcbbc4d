"""Webhooks that start agents: signed calls from outside, over a real port; and triggers as they are shown."""

import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from runtime.api.agents.hooks import BODY_LIMIT_BYTES, TOLERANCE_S, Signed, is_genuine
from runtime.api.openai.webhook_sealing import seal_kept
from runtime.api.openai.webhook_words import ENDPOINT_KIND, Endpoint, keys_of, mint_secret, wire_endpoint
from runtime.core.agents.items import Said
from runtime.core.agents.parts import AgentParts, OpenBox
from runtime.core.agents.ports import SecretBox
from runtime.core.agents.triggers.service import TriggerService
from runtime.core.agents.triggers.starts import Starts
from runtime.core.ids import LOCAL_TENANT
from tests.kit.agent_home import AgentHome, FakeCollections, agent_home
from tests.kit.fake_agent_store import FakeRunStore
from tests.kit.fake_secrets import FakeSecretBox
from tests.kit.http_stage import Stage, open_stage

DOORMAN = """\
name: doorman
triggers:
  - webhook: bell
    message: "Somebody rang: {{event}}"
  - every: 10m
  - webhook: gate
    secret: GATE_SECRET
"""
HOOK = "/api/agents/doorman/hooks/bell"


@dataclass
class HookStage:
    """A server whose agents have triggers."""

    http: Stage
    home: AgentHome

    async def call(self, body: bytes, headers: dict[str, str], path: str = HOOK) -> tuple[int, Any]:
        sent, url = io.BytesIO(body), f"{self.http.address}{path}"
        async with self.http.http.post(url, data=sent, headers=headers) as answer:
            return answer.status, await answer.json()

    async def triggers(self) -> list[dict[str, Any]]:
        async with self.http.http.get(f"{self.http.address}/api/agents/doorman/triggers") as answer:
            assert answer.status == 200
            return list((await answer.json())["triggers"])

    def signed(
        self, secret: str, body: bytes, *, delivery: str = "msg_1", age_s: float = 0.0
    ) -> dict[str, str]:
        stamp = int(self.http.clock.now() - age_s)
        signature = Webhook(secret).sign(delivery, datetime.fromtimestamp(stamp, UTC), body.decode())
        return {
            "webhook-id": delivery,
            "webhook-timestamp": str(stamp),
            "webhook-signature": f"v1a,AAAA {signature}",
        }


@asynccontextmanager
async def hook_stage(folder: Path, secrets: SecretBox | None = None) -> AsyncIterator[HookStage]:
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            home = agent_home(folder, tasks)
            (folder / "agents").mkdir()
            (folder / "agents" / "doorman.yaml").write_text(DOORMAN)
            starts = Starts(
                home.starter, home.runs, home.records, home.sessions, home.clock, lambda *told: None
            )
            triggers = TriggerService(
                home.book,
                starts,
                home.runs,
                FakeCollections(),  # type: ignore[arg-type]  # no trigger here looks at collections
                home.bus,
                home.clock,
            )
            agents = AgentParts(
                runs=home.runs,
                store=FakeRunStore(),
                sessions=home.sessions,
                records=home.records,
                book=home.book,
                starter=home.starter,
                triggers=triggers,
                secrets=secrets or OpenBox(),
            )
            async with open_stage(folder, agents=agents, clock=home.clock) as stage:
                yield HookStage(stage, home)
            tasks.cancel_scope.cancel()


async def minted(stage: HookStage) -> str:
    return str((await stage.triggers())[0]["secret"])


async def test_a_signed_call_starts_the_agent_once_for_each_delivery(tmp_path: Path) -> None:
    async with hook_stage(tmp_path) as stage:
        secret = await minted(stage)
        body = b'{"door": "front"}'
        status, told = await stage.call(body, stage.signed(secret, body))
        assert status == 202
        assert told == {"run": stage.home.runs.last.id}
        (said,) = stage.home.runs.last.new.input
        assert isinstance(said, Said)
        assert said.text == 'Somebody rang: {"door": "front"}'

        assert await stage.call(body, stage.signed(secret, body)) == (202, told)
        assert len(stage.home.runs.runs) == 1
        await stage.call(body, stage.signed(secret, body, delivery="msg_2"))
        assert len(stage.home.runs.runs) == 2


async def test_whatever_is_wrong_with_a_call_gets_the_same_answer(tmp_path: Path) -> None:
    async with hook_stage(tmp_path) as stage:
        secret = await minted(stage)
        good = stage.signed(secret, b"{}")
        nobody = HOOK.replace("doorman", "nobody")
        answers = [
            await stage.call(b"{}", stage.signed(mint_secret(), b"{}")),
            await stage.call(b"{ }", good),
            await stage.call(b"{}", stage.signed(secret, b"{}", age_s=TOLERANCE_S + 1)),
            await stage.call(b"{}", stage.signed(secret, b"{}", age_s=-TOLERANCE_S - 1)),
            await stage.call(b"{}", {}),
            await stage.call(b"{}", good | {"webhook-timestamp": "soon"}),
            await stage.call(b"{}", good | {"webhook-signature": "v1,not base64"}),
            await stage.call(b"\xff", good),
            await stage.call(b"{}", good, nobody),
            await stage.call(b"{}", good, HOOK.replace("bell", "none")),
            await stage.call(b"{}", good, HOOK.replace("bell", "gate")),
            await stage.call(b"{}", good, f"{HOOK}?tenant=ada"),
            await stage.call(b"{}", good, f"{HOOK}?tenant=../local"),
        ]
        await stage.home.book.pause(LOCAL_TENANT, "doorman", is_paused=True)
        answers.append(await stage.call(b"{}", good))
        assert {status for status, _ in answers} == {401}
        assert len({str(body) for _, body in answers}) == 1
        assert not stage.home.runs.runs


async def test_a_body_that_is_too_large_is_refused_before_it_is_whole(tmp_path: Path) -> None:
    async with hook_stage(tmp_path) as stage:
        status, told = await stage.call(b"x" * (BODY_LIMIT_BYTES + 1), {})
        assert (status, told["error"]["code"]) == (413, "request_too_large")


async def test_a_secret_is_shown_once_and_can_be_replaced(tmp_path: Path) -> None:
    async with hook_stage(tmp_path) as stage:
        secret = await minted(stage)
        (bell, *_) = await stage.triggers()
        assert "secret" not in bell
        assert bell["secret_hint"].endswith(secret[-4:])
        assert bell["path"] == HOOK

        async with stage.http.http.post(f"{stage.http.address}{HOOK}/secret") as answer:
            other = (await answer.json())["secret"]
        assert (await stage.call(b"{}", stage.signed(secret, b"{}")))[0] == 401
        assert (await stage.call(b"{}", stage.signed(other, b"{}")))[0] == 202


async def test_a_secret_is_sealed_where_it_is_kept_and_works_all_the_same(tmp_path: Path) -> None:
    async with hook_stage(tmp_path, FakeSecretBox()) as stage:
        secret = await minted(stage)
        ((_, _, body),) = await stage.home.records.list_records(None, "hook")

        assert secret.encode() not in body
        assert (await stage.triggers())[0]["secret_hint"] == f"whsec_…{secret[-4:]}"
        assert (await stage.call(b"{}", stage.signed(secret, b"{}")))[0] == 202


async def test_while_secrets_are_locked_every_call_is_asked_to_come_later(tmp_path: Path) -> None:
    box = FakeSecretBox()
    async with hook_stage(tmp_path, box) as stage:
        secret = await minted(stage)
        box.is_locked = True
        signed = stage.signed(secret, b"{}")

        known = await stage.call(b"{}", signed)
        unknown = await stage.call(b"{}", signed, HOOK.replace("bell", "nothing"))

        assert (known, known[0], known[1]["error"]["code"]) == (unknown, 503, "secrets_locked")
        box.is_locked = False
        assert (await stage.call(b"{}", signed))[0] == 202


async def test_secrets_that_were_kept_open_are_sealed_once(tmp_path: Path) -> None:
    box = FakeSecretBox()
    async with hook_stage(tmp_path, box) as stage:
        secret, records = mint_secret(), stage.home.records
        await records.put(LOCAL_TENANT, "hook", "doorman/bell", secret.encode())
        open_ones = Endpoint(
            id="we_1",
            name="x",
            url="https://example.org",
            event_types=("batch.failed",),
            secret=mint_secret(),
            former_secret=mint_secret(),
            created_at=0.0,
            updated_at=0.0,
        )
        await records.put(LOCAL_TENANT, ENDPOINT_KIND, "we_1", msgspec.json.encode(open_ones))
        box.is_locked = True
        assert await seal_kept(records, box) == 0
        box.is_locked = False

        assert [await seal_kept(records, box) for _ in range(2)] == [2, 0]

        stored = await records.get(LOCAL_TENANT, ENDPOINT_KIND, "we_1")
        hook = await records.get(LOCAL_TENANT, "hook", "doorman/bell")
        assert stored is not None
        assert hook is not None
        for each in (open_ones.secret, open_ones.former_secret or "", secret):
            assert each.encode() not in stored + hook
        sealed = msgspec.json.decode(stored, type=Endpoint)
        opened = [await box.open(each) for each in keys_of(sealed, -1.0)]
        assert opened == [open_ones.secret, open_ones.former_secret]
        assert wire_endpoint(sealed) == wire_endpoint(open_ones)
        assert (await stage.call(b"{}", stage.signed(secret, b"{}")))[0] == 202


async def test_a_secret_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = HOOK.replace("bell", "gate")
    async with hook_stage(tmp_path) as stage:
        assert "GATE_SECRET" in (await stage.triggers())[2]["fault"]
        secret = mint_secret()
        monkeypatch.setenv("GATE_SECRET", secret)
        assert "secret" not in (await stage.triggers())[2]
        assert (await stage.call(b"{}", stage.signed(secret, b"{}"), gate))[0] == 202
        async with stage.http.http.post(f"{stage.http.address}{gate}/secret") as answer:
            assert answer.status == 400


async def test_triggers_of_time_are_shown_with_their_next_start(tmp_path: Path) -> None:
    async with hook_stage(tmp_path) as stage:
        timed = (await stage.triggers())[1]
        assert (timed["kind"], timed["next_at"]) == ("every", stage.http.clock.now() + 600)


@given(st.binary(max_size=50), st.integers(min_value=0, max_value=10**11), st.floats(-1e4, 1e4))
def test_a_call_is_genuine_for_its_own_secret_body_and_time_alone(
    body: bytes, stamp: int, late_s: float
) -> None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    secret = mint_secret()
    coded = Webhook(secret).sign("msg_1", datetime.fromtimestamp(stamp, UTC), text).partition(",")[2]
    signed = Signed("msg_1", stamp, (base64.b64decode(coded),))
    is_timely = abs(late_s) <= TOLERANCE_S
    assert is_genuine(secret, signed, text.encode(), stamp + late_s) == is_timely
    assert not is_genuine(mint_secret(), signed, text.encode(), float(stamp))
    assert not is_genuine(secret, signed, text.encode() + b"x", float(stamp))
    assert not is_genuine(None, signed, text.encode(), float(stamp))
