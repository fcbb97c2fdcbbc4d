"""Two tenants with the same names never see each other: each route of recall is tried with foreign ids."""

from pathlib import Path
from typing import Any

import msgspec

from runtime.api.knowledge_routes import KNOWLEDGE_ROUTES
from tests.kit.knowledge_stage import KnowledgeStage, open_knowledge_stage
from tests.kit.tenancy import FORM, LINES, Attempt, Holdings, attempts_on, plain, settle, view

SECRET = "plugh"
REFUSED = (404, 400)
"""400 where an id inside a body is none of the upload's parts."""


async def make(stage: KnowledgeStage, attempt: Attempt, stranger: Holdings) -> tuple[int, bytes]:
    if attempt.body == FORM:
        name = "data" if attempt.path.endswith("/parts") else "file"
        fields = {"purpose": "user_data"} if attempt.path == "/v1/files" else {}
        file = (name, b"mine", "entry.txt")
        status, answer = await stage.upload(attempt.path, file, headers=stranger.key, fields=fields)
    elif attempt.body == LINES:
        headers = {**stranger.key, "Content-Type": "application/x-ndjson"}
        status, answer = await stage.ask(attempt.method, attempt.path, data=b"{}\n", headers=headers)
    else:
        more: dict[str, Any] = {} if attempt.body is None else {"json": attempt.body}
        status, answer = await stage.ask(attempt.method, attempt.path, headers=stranger.key, **more)
    return status, answer if isinstance(answer, bytes) else msgspec.json.encode(answer)


async def test_nothing_of_another_tenant_is_found_told_or_changed_by_any_route(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        owner = await settle(stage, "owner", SECRET)
        stranger = await settle(stage, "stranger", "xyzzy")
        before = await view(stage, owner)
        tried: set[str] = set()
        for attempt in list(attempts_on(owner.ids, stranger.ids)):
            status, answer = await make(stage, attempt, stranger)

            tried.add(attempt.route)
            assert status < 500, (attempt, answer)
            assert SECRET.encode() not in answer, attempt
            if attempt.is_foreign:
                assert status in REFUSED, (attempt, status, answer)
            assert await view(stage, owner) == before, attempt

        # The name of a collection of the other tenant is free here.
        body = {"name": owner.ids["name"]}
        status, _ = await stage.ask("POST", "/api/collections", json=body, headers=stranger.key)
        assert status == 201
        path = f"/api/collections/{owner.ids['name']}/entries"
        assert (await stage.ask("GET", path, headers=stranger.key))[1]["data"]["count"] == 0
        assert await view(stage, owner) == before

    assert tried == {
        f"{method} {plain(path)}" for method, path, permission, _ in KNOWLEDGE_ROUTES if permission == "infer"
    }


async def test_what_is_shared_by_name_is_each_tenants_own(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        one = await settle(stage, "one", "alpha")
        two = await settle(stage, "two", "beta")
        for holdings, own, other in ((one, b"alpha", b"beta"), (two, b"beta", b"alpha")):
            seen = msgspec.json.encode(
                {
                    path: answer.decode() if isinstance(answer, bytes) else answer
                    for path, answer in (await view(stage, holdings)).items()
                }
            )
            assert own in seen
            assert other not in seen
            for path, body in (
                ("/api/recall/search", {"text": "text"}),
                ("/api/recall/memories/search", {"text": "remembered"}),
            ):
                status, found = await stage.ask("POST", path, json=body, headers=holdings.key)
                assert status == 200
                assert own in msgspec.json.encode(found)
                assert other not in msgspec.json.encode(found)


def test_every_route_of_recall_is_for_those_who_may_infer_or_operate() -> None:
    assert {permission for _, _, permission, _ in KNOWLEDGE_ROUTES} <= {"infer", "operate"}
    assert len({(method, path) for method, path, _, _ in KNOWLEDGE_ROUTES}) == len(KNOWLEDGE_ROUTES)
