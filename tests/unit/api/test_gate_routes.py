"""/api/policies and /api/approvals over HTTP, and a gate that stands before inference."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import openai
import pytest

from runtime.api.keys import KeyStore
from runtime.core.bus import Bus
from runtime.core.gate.opening import open_gate
from runtime.core.gate.policy_words import GateParts
from runtime.core.gate.principals import OWNER
from runtime.core.ids import TenantId
from runtime.core.settings import PolicySettings
from tests.kit.clock import FakeClock
from tests.kit.fake_recall import fake_recall
from tests.kit.gate import ask_tool
from tests.kit.http_stage import Stage, open_stage


@asynccontextmanager
async def _open(home: Path, clock: FakeClock) -> AsyncIterator[tuple[Stage, GateParts]]:
    settings = PolicySettings()
    recall, _ = await anyio.to_thread.run_sync(fake_recall, home / "recall", clock)
    async with (
        open_gate(home, settings, Bus(clock), clock) as parts,
        open_stage(home, clock=clock, gate=parts, recall=recall) as stage,
    ):
        yield stage, parts


async def _ask(
    stage: Stage, method: str, path: str, body: object = None, key: str | None = None
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{stage.address}{path}"
    async with stage.http.request(method, url, json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_policies_are_shown_with_their_places(tmp_path: Path, clock: FakeClock) -> None:
    async with _open(tmp_path, clock) as (stage, _):
        status, state = await _ask(stage, "GET", "/api/policies")

    assert status == 200
    assert {"id": "tools-asking", "is_ask": True, "layer": "shipped"}.items() <= next(
        each for each in state["rules"] if each["id"] == "tools-asking"
    ).items()
    assert state["folder"] == str(tmp_path / "policies")
    assert state["faults"] == []


async def test_a_question_is_explained(tmp_path: Path, clock: FakeClock) -> None:
    async with _open(tmp_path, clock) as (stage, _):
        asked = {"action": "call_tool", "resource": "mcp__files__write", "at": "2026-11-22T03:00:00Z"}
        status, explained = await _ask(stage, "POST", "/api/policies/explain", asked)

    assert (status, explained["outcome"], explained["policies"]) == (200, "ask", ["tools-asking"])
    assert explained["considered"][0]["conditions"][0] == {
        "text": 'action == Action::"call_tool"',
        "holds": True,
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"action": "fly", "resource": "a"}, "action"),
        ({"action": "generate"}, "resource"),
        ({"action": "generate", "resource": "a", "at": 1e300}, None),
    ],
)
async def test_a_question_that_is_none_is_refused(
    tmp_path: Path, clock: FakeClock, body: dict[str, Any], param: str | None
) -> None:
    async with _open(tmp_path, clock) as (stage, _):
        status, refused = await _ask(stage, "POST", "/api/policies/explain", body)

    assert (status, refused["error"]["param"]) == (400, param)


async def test_approvals_are_listed_found_and_answered_once(tmp_path: Path, clock: FakeClock) -> None:
    async with _open(tmp_path, clock) as (stage, parts):
        ruling = await parts.gate.rule(ask_tool(arguments={"path": "/a"}))
        path = f"/api/approvals/{ruling.approval}"

        _, listed = await _ask(stage, "GET", "/api/approvals?status=pending")
        assert [each["id"] for each in listed["approvals"]] == [ruling.approval]
        _, found = await _ask(stage, "GET", path)
        assert found["arguments"] == {"path": "/a"}

        yes = {"is_approved": True, "scope": "arguments"}
        answers = [await _ask(stage, "POST", f"{path}/answer", yes) for _ in range(2)]
        assert [(status, answer["status"]) for status, answer in answers] == [(200, "approved")] * 2
        assert answers[0][1]["answered_by"] == "owner"
        status, refused = await _ask(stage, "POST", f"{path}/answer", {"is_approved": False})
        assert (status, refused["error"]["code"]) == (409, "conflict")
        assert (await _ask(stage, "POST", f"{path}/cancel"))[1]["status"] == "approved"
        assert (await parts.gate.rule(ask_tool(arguments={"path": "/a"}))).outcome == "allow"


async def test_a_question_can_be_taken_back(tmp_path: Path, clock: FakeClock) -> None:
    async with _open(tmp_path, clock) as (stage, parts):
        ruling = await parts.gate.rule(ask_tool())

        _, taken = await _ask(stage, "POST", f"/api/approvals/{ruling.approval}/cancel")

    assert taken["status"] == "cancelled"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/approvals/apr_none/answer", {"is_approved": True}, 404),
        ("/api/approvals/{id}/answer", {"is_approved": True, "scope": "session"}, 400),
        ("/api/approvals/{id}/answer", {"is_approved": True, "scope": "week"}, 400),
        ("/api/approvals/{id}/answer", {"approved": True}, 400),
    ],
)
async def test_what_is_no_answer_is_refused(
    tmp_path: Path, clock: FakeClock, path: str, body: dict[str, Any], status: int
) -> None:
    async with _open(tmp_path, clock) as (stage, parts):
        ruling = await parts.gate.rule(ask_tool())

        answer, _ = await _ask(stage, "POST", path.replace("{id}", str(ruling.approval)), body)

        assert answer == status
        assert parts.approvals.list_approvals(OWNER.tenant, "pending")


async def test_users_see_and_answer_nothing_and_tenants_only_their_own(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with _open(tmp_path, clock) as (stage, parts):
        ruling = await parts.gate.rule(ask_tool())
        keys = KeyStore(tmp_path / "keys.json")
        user = await anyio.to_thread.run_sync(keys.create, "user", "user")
        other = await anyio.to_thread.run_sync(keys.create, "other", "operator", TenantId("other"))
        stage.clock.advance(1.0)
        answer = f"/api/approvals/{ruling.approval}/answer"

        for method, path in (("GET", "/api/approvals"), ("GET", "/api/policies"), ("POST", answer)):
            assert (await _ask(stage, method, path, {"is_approved": True}, user))[0] == 403
        assert (await _ask(stage, "GET", "/api/approvals", key=other))[1] == {"approvals": []}
        assert (await _ask(stage, "POST", answer, {"is_approved": True}, other))[0] == 404
        assert (await _ask(stage, "GET", "/api/approvals?status=lost", key=other))[0] == 400


async def test_inference_that_policies_forbid_is_a_403_with_the_reason(
    tmp_path: Path, clock: FakeClock
) -> None:
    folder = anyio.Path(tmp_path / "policies")
    await folder.mkdir()
    await (folder / "own.cedar").write_text(
        '@id("quiet") @reason("No models on this machine.") '
        'forbid (principal, action == Action::"generate", resource == Model::"m");'
    )
    async with _open(tmp_path, clock) as (stage, _), stage.openai() as client:
        with pytest.raises(openai.PermissionDeniedError, match=r"No models on this machine\.") as denied:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])

    assert denied.value.code == "denied"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/models/m/install", {}),
        ("POST", "/api/recall/collections", {"name": "notes"}),
        ("POST", "/v1/vector_stores", {"name": "notes"}),
        ("DELETE", "/api/recall/memories/it_1", None),
    ],
)
async def test_installs_and_changes_to_recall_pass_the_gate(
    tmp_path: Path, clock: FakeClock, method: str, path: str, body: object
) -> None:
    folder = anyio.Path(tmp_path / "policies")
    await folder.mkdir()
    await (folder / "own.cedar").write_text(
        '@id("frozen") @reason("Nothing changes here.") '
        'forbid (principal, action in [Action::"recall_write", Action::"install"], resource);'
    )
    async with _open(tmp_path, clock) as (stage, _):
        status, refused = await _ask(stage, method, path, body)
        reading, _ = await _ask(stage, "POST", "/api/recall/search", {"text": "a"})

    assert (status, refused["error"]["code"]) == (403, "denied")
    assert refused["error"]["message"] == "Nothing changes here."
    assert reading == 200


async def test_without_a_gate_its_routes_say_so(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        assert (await _ask(stage, "GET", "/api/policies"))[0] == 503
