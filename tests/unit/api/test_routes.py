"""What every request meets: the gate on each route, Host and Origin, ids, and errors in one form."""

import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from aiohttp import web

from runtime.api.dialects import dialect_of
from runtime.api.keys import KeyStore
from runtime.api.middleware import Door
from runtime.api.routes import ROUTES, Route
from runtime.core.settings import ServerSettings
from tests.kit.http_stage import Stage, open_stage

ORIGIN = "https://app.example"


def path_of(route: Route) -> str:
    path = route.path.replace("{id:.+}", "owner/name").replace("{digest}", "sha256:00")
    return re.sub(r"{(\w+)(:[^}]+)?}", r"\1", path)


def says(route: Route, body: Any, code: str, words: str) -> bool:
    """Whether an error body says this, in the language of its route."""
    if dialect_of(route.path) == "openai":
        return bool(body["error"]["code"] == code)
    return words in str(body["error"])


async def ask(stage: Stage, method: str, path: str, **more: Any) -> tuple[int, Any, Any]:
    async with stage.http.request(method, f"{stage.address}{path}", **more) as response:
        is_json = response.content_type == "application/json" and method != "HEAD"
        return response.status, response.headers, await response.json() if is_json else None


async def make_key(stage: Stage, home: Path, role: Any) -> dict[str, str]:
    """Make a key as the command line does, in another process."""
    other = KeyStore(home / "keys.json")
    secret = await anyio.to_thread.run_sync(other.create, f"a {role}", role)
    stage.clock.advance(1.0)
    return {"Authorization": f"Bearer {secret}"}


async def test_every_route_of_the_server_is_in_the_table(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        app = stage.server._app
        served = {(each.method, each.resource.canonical) for each in app.router.routes() if each.resource}
        resources = {each.canonical for each in app.router.resources()}

    assert served == {(each.method, re.sub(r"{(\w+):[^}]+}", r"{\1}", each.path)) for each in ROUTES}
    assert resources == {path for _, path in served}


async def test_without_a_key_every_route_that_is_not_public_answers_401(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        await make_key(stage, tmp_path, "operator")
        for route in ROUTES:
            status, headers, body = await ask(stage, route.method, path_of(route))
            if route.permission == "public":
                # The end of a login is for whoever knows its state: without one it is refused as such.
                # A webhook needs no key but a signature, and agents, which are not here.
                other = {"/api/mcp/callback": 400, "/api/agents/{name}/hooks/{hook}": 503}
                assert status == other.get(route.path, 200), route.path
            else:
                assert status == 401, route.path
                assert route.method == "HEAD" or says(route, body, "missing_api_key", "needs an API key")
                assert headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_users_key_opens_inference_and_nothing_else(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        key = await make_key(stage, tmp_path, "user")
        for route in ROUTES:
            status, _, body = await ask(stage, route.method, path_of(route), headers=key)
            assert (status == 403) == (route.permission in ("observe", "operate")), route.path
            if status == 403 and route.method != "HEAD":
                assert says(route, body, "insufficient_permissions", "does not include")


async def test_an_operators_key_opens_everything(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        key = await make_key(stage, tmp_path, "operator")
        for route in ROUTES:
            query = "?follow=false" if route.path == "/api/events" else ""
            status, _, _ = await ask(stage, route.method, path_of(route) + query, headers=key)
            assert status not in (401, 403), route.path


async def test_a_route_without_a_permission_is_closed(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:

        async def forgotten(request: web.Request) -> web.Response:
            return web.Response(text="secret")

        stage.server._app.router._frozen = False
        stage.server._app.router.add_get("/forgotten", forgotten)
        status, _, body = await ask(stage, "GET", "/forgotten")

    assert (status, body["error"]["code"]) == (403, "route_closed")


async def test_a_key_made_or_revoked_elsewhere_counts(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        first = await make_key(stage, tmp_path, "operator")
        assert (await ask(stage, "GET", "/v1/models", headers=first))[0] == 200
        other = KeyStore(tmp_path / "keys.json")
        second = await anyio.to_thread.run_sync(other.create, "b", "user")
        headers = {"Authorization": f"Bearer {second}"}
        assert (await ask(stage, "GET", "/v1/models", headers=headers))[0] == 200
        await anyio.to_thread.run_sync(other.revoke, "a operator")
        stage.clock.advance(1.0)
        assert (await ask(stage, "GET", "/v1/models", headers=first))[0] == 401


async def test_a_damaged_key_file_lets_nobody_in(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        assert (await ask(stage, "GET", "/v1/models"))[0] == 200
        await anyio.Path(tmp_path / "keys.json").write_bytes(b"oops")
        stage.clock.advance(1.0)
        for _ in range(2):
            status, _, body = await ask(stage, "GET", "/v1/models")
            assert status == 500
            assert "keys" in body["error"]["message"]
            assert str(tmp_path) not in body["error"]["message"]
        assert (await ask(stage, "GET", "/healthz"))[0] == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_who_comes_through_a_proxy_is_not_the_owner(tmp_path: Path, header: str) -> None:
    async with open_stage(tmp_path) as stage:
        status, _, _ = await ask(stage, "GET", "/api/state", headers={header: "203.0.113.9"})

    assert status == 401


@pytest.mark.parametrize(
    ("peer", "is_open_to_all", "is_owner"),
    [
        (("127.0.0.1", 5), False, True),
        (("::1", 5, 0, 0), False, True),
        (("192.168.1.9", 5), False, False),
        (("192.168.1.9", 5), True, True),
        (None, False, False),
    ],
)
async def test_without_keys_only_the_loopback_is_the_owner(
    tmp_path: Path, peer: object, is_open_to_all: bool, is_owner: bool
) -> None:
    transport = SimpleNamespace(get_extra_info=lambda name: peer)
    request: Any = SimpleNamespace(transport=transport, headers={})

    async with open_stage(tmp_path) as stage:
        door = Door(stage.keys, stage.clock, is_open_to_all)
        principal = await door.principal_of(request)

    assert (principal is not None) == is_owner


async def test_a_rebound_name_is_refused_everywhere(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        for path in ("/healthz", "/v1/models", "/nowhere"):
            status, _, body = await ask(stage, "GET", path, headers={"Host": "evil.example"})
            assert (status, body["error"]["code"]) == (403, "host_not_allowed")
            assert "allowed_hosts" in body["error"]["message"]


async def test_a_page_of_another_origin_is_refused_before_anything_happens(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        status, headers, body = await ask(
            stage, "POST", "/api/models/m/install", headers={"Origin": "http://evil.example"}
        )

    assert (status, body["error"]["code"]) == (403, "origin_not_allowed")
    assert "Access-Control-Allow-Origin" not in headers
    assert stage.models.installs == []


async def test_an_allowed_origin_may_ask_and_read(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, allowed_origins=(ORIGIN,))
    async with open_stage(tmp_path, settings=settings) as stage:
        wish = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type, x-stainless-os",
        }
        status, headers, _ = await ask(stage, "OPTIONS", "/v1/chat/completions", headers=wish)
        assert status == 204
        assert headers["Access-Control-Allow-Origin"] == ORIGIN
        assert headers["Access-Control-Allow-Methods"] == "GET, POST"
        assert headers["Access-Control-Allow-Headers"] == "authorization, content-type, x-stainless-os"

        # Errors too: a page could not read them otherwise.
        for path, expected in (("/v1/models", 200), ("/v1/models/nope", 404)):
            status, headers, _ = await ask(stage, "GET", path, headers={"Origin": ORIGIN})
            assert status == expected
            assert headers["Access-Control-Allow-Origin"] == ORIGIN
            assert headers["Vary"] == "Origin"
        assert (await ask(stage, "OPTIONS", "/nowhere", headers=wish))[0] == 404


async def test_an_allowed_origin_still_needs_a_key(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, allowed_origins=(ORIGIN,))
    async with open_stage(tmp_path, settings=settings) as stage:
        await make_key(stage, tmp_path, "user")
        assert (await ask(stage, "GET", "/v1/models", headers={"Origin": ORIGIN}))[0] == 401


async def test_an_unknown_route_is_404_and_a_wrong_method_405_in_the_same_form(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        status, _, body = await ask(stage, "GET", "/v1/nothing")
        assert (status, body["error"]["code"]) == (404, "unknown_url")
        assert body["error"]["type"] == "invalid_request_error"

        status, headers, body = await ask(stage, "DELETE", "/v1/models")
        assert (status, headers["Allow"]) == (405, "GET")
        assert "DELETE" in body["error"]["message"]


async def test_every_answer_carries_ids_and_versions(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        _, headers, _ = await ask(stage, "GET", "/healthz", headers={"x-request-id": "mine-1"})
        assert headers["x-request-id"] == "mine-1"
        assert int(headers["openai-processing-ms"]) >= 0
        assert headers["openai-version"] == "2020-10-01"

        for bad in ("a b", "x" * 65, "é"):
            _, headers, _ = await ask(stage, "GET", "/nowhere", headers={"x-request-id": bad})
            assert headers["x-request-id"].startswith("req_")


async def test_what_nobody_foresaw_is_500_without_its_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage(tmp_path) as stage:

        def fail() -> None:
            raise ZeroDivisionError("the secret cause")

        monkeypatch.setattr(stage.models, "list_models", fail)
        with caplog.at_level(logging.INFO):
            status, headers, body = await ask(stage, "GET", "/v1/models")

    assert (status, body["error"]["code"]) == (500, "internal_error")
    assert headers["x-request-id"] in body["error"]["message"]
    assert "secret" not in str(body)
    assert "ZeroDivisionError" in caplog.text
    answered = [each for each in caplog.records if each.message == "answered"]
    assert answered[0].__dict__["status"] == 500


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"data": "x=1", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type"),
        ({"data": b""}, 415, "unsupported_media_type"),
        ({"data": b"", "headers": {"Content-Type": "application/json"}}, 400, "invalid_json"),
        ({"data": b"{", "headers": {"Content-Type": "application/json; charset=utf-8"}}, 400, "invalid_json"),
        ({"json": {}, "headers": {"Expect": "tea"}}, 417, None),
    ],
)
async def test_a_body_that_is_not_json_is_refused(
    tmp_path: Path, more: dict[str, Any], status: int, code: str | None
) -> None:
    async with open_stage(tmp_path) as stage:
        found, _, body = await ask(stage, "POST", "/v1/chat/completions", **more)

    assert found == status
    assert code is None or body["error"]["code"] == code


async def test_a_body_without_a_length_is_bounded_too(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, max_body_bytes=1000)

    async def flood() -> Any:
        for _ in range(100):
            yield b" " * 100

    async with open_stage(tmp_path, settings=settings) as stage:
        headers = {"Content-Type": "application/json"}
        status, _, body = await ask(stage, "POST", "/v1/chat/completions", data=flood(), headers=headers)

    assert (status, body["error"]["code"]) == (413, "request_too_large")


async def test_a_client_that_waits_for_leave_to_send_gets_it(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        status, _, answer = await ask(stage, "POST", "/v1/chat/completions", json=body, expect100=True)

    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "Hello there"


async def test_probes_state_and_operations(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        assert (await ask(stage, "GET", "/readyz"))[0] == 200
        assert (await ask(stage, "GET", "/version"))[2] == {"name": "lar", "version": "0.0.test"}
        _, _, state = await ask(stage, "GET", "/api/state")
        assert (state["address"], state["seq"]) == (stage.address, stage.bus.last_seq)
        assert state["models"][0]["id"] == "m"

        status, _, model = await ask(stage, "POST", "/api/models/m/install")
        assert (status, model["stage"]) == (202, "installing")
        status, _, model = await ask(stage, "POST", "/api/models/m/unload")
        assert (status, model["stage"]) == (200, "installed")
        for what in ("install", "unload"):
            status, _, body = await ask(stage, "POST", f"/api/models/no/such/{what}")
            assert (status, body["error"]["code"]) == (404, "model_not_found")


async def test_a_server_without_its_journal_is_not_ready(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        stage.journal.problem = OSError("disk gone")
        status, _, body = await ask(stage, "GET", "/readyz")
        assert (status, body["reason"]) == (503, "the journal cannot be read")
        assert (await ask(stage, "GET", "/healthz"))[0] == 200


async def test_a_server_that_cannot_store_facts_is_not_ready(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        stage.journal.is_healthy = False
        async with stage.http.get(f"{stage.address}/readyz") as response:
            body = await response.json()

    assert (response.status, body["reason"]) == (503, "facts cannot be stored; is the disk full?")


async def test_a_stopping_server_is_not_ready_and_takes_no_runs(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        await stage.runs.stop(0.0)
        assert (await ask(stage, "GET", "/readyz"))[0] == 503
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        status, headers, answer = await ask(stage, "POST", "/v1/chat/completions", json=body)

    assert (status, answer["error"]["code"]) == (503, "shutting_down")
    assert int(headers["Retry-After"]) >= 1
