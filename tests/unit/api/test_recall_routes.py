"""Lar's own routes of recall, over a real port: collections, documents, search, jobs, sources, memories."""

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from runtime.api.openai.vector_store_words import GIVEN_NAME
from runtime.core.ids import LOCAL_TENANT
from runtime.core.knowledge import NOTHING_TO_SEARCH
from runtime.core.settings import ServerSettings
from tests.kit.knowledge_stage import KnowledgeStage, open_knowledge_stage

COLLECTIONS = "/api/recall/collections"
MEMORIES = "/api/recall/memories"
CATS = "A cat sleeps on the roof.\n\nCats like fish."


async def make(stage: KnowledgeStage, name: str = "notes", **more: Any) -> Any:
    status, made = await stage.ask("POST", COLLECTIONS, json={"name": name, **more})
    assert status == 201
    return made


async def add(stage: KnowledgeStage, collection: str, **document: Any) -> Any:
    body = {"documents": [document]}
    status, added = await stage.ask("POST", f"{COLLECTIONS}/{collection}/documents", json=body)
    assert status == 202
    return added["documents"][0]


async def remember(stage: KnowledgeStage, text: str, **more: Any) -> Any:
    status, told = await stage.ask("POST", MEMORIES, json={"text": text, **more})
    assert status == 201
    return told["item"]


@pytest.mark.parametrize("name", ["notes", "a/b ../ç", "vs_not-an-id", "%2F", "{x}"])
async def test_a_collection_is_reached_by_its_id_and_by_its_name(tmp_path: Path, name: str) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        made = await make(stage, name, description="d", chunking={"max_tokens": 64}, metadata={"a": "b"})
        for key in (made["id"], quote(name, safe="")):
            assert await stage.ask("GET", f"{COLLECTIONS}/{key}") == (200, made)
        status, taken = await stage.ask("POST", COLLECTIONS, json={"name": name})
        assert (status, taken["error"]["code"]) == (409, "conflict")
        _, listed = await stage.ask("GET", COLLECTIONS)
        assert listed["collections"] == [made]
        _, changed = await stage.ask(
            "PATCH", f"{COLLECTIONS}/{made['id']}", json={"name": "new", "expiry": {"days": 3}}
        )
        assert (changed["name"], changed["expiry"]["days"], changed["metadata"]) == ("new", 3, {"a": "b"})
        assert (await stage.ask("DELETE", f"{COLLECTIONS}/new"))[0] == 204
        assert (await stage.ask("GET", f"{COLLECTIONS}/new"))[0] == 404


async def test_the_name_that_openais_clients_gave_is_not_shown_and_not_lost(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        await stage.ask("POST", "/v1/vector_stores", json={"name": "same"})
        _, second = await stage.ask("POST", "/v1/vector_stores", json={"name": "same"})
        path = f"{COLLECTIONS}/{second['id']}"
        _, shown = await stage.ask("GET", path)
        assert shown["metadata"] == {}
        _, changed = await stage.ask("PATCH", path, json={"metadata": {"a": "b"}})
        assert changed["metadata"] == {"a": "b"}
        _, kept = await stage.ask("GET", f"/v1/vector_stores/{second['id']}")
        assert (kept["name"], kept["metadata"]) == ("same", {"a": "b"})
        status, answer = await stage.ask("PATCH", path, json={"metadata": {GIVEN_NAME: "x"}})
        assert (status, answer["error"]["param"]) == (400, "metadata")


async def test_documents_come_as_json_in_text_and_in_base64(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        await make(stage)
        body = {
            "documents": [
                {"name": "a", "text": CATS, "attributes": {"n": 1}, "tags": ["x"], "uri": "https://e.org/a"},
                {"name": "b", "content": base64.b64encode(b"dogs").decode()},
                {"name": "c", "text": "broken"},
            ]
        }
        status, added = await stage.ask("POST", f"{COLLECTIONS}/notes/documents", json=body)
        assert status == 202
        assert [each["status"] for each in added["documents"]] == ["completed", "completed", "failed"]
        assert (added["job"]["total"], added["job"]["failed"]) == (3, 1)
        first = added["documents"][0]
        path = f"/api/recall/documents/{first['id']}"
        assert await stage.ask("GET", path) == (200, first)
        assert (await stage.ask("GET", f"{path}/text"))[1]["text"] == CATS
        assert [each["text"] for each in (await stage.ask("GET", f"{path}/chunks"))[1]["chunks"]] == (
            CATS.split("\n\n")
        )
        assert await stage.ask("GET", f"{path}/content") == (200, CATS.encode())
        _, changed = await stage.ask("PATCH", path, json={"attributes": {"n": 2.5, "ok": True}})
        assert changed["attributes"] == {"n": 2.5, "ok": True}
        assert (await stage.ask("POST", f"{path}/cancel"))[1]["status"] == "completed"
        assert (await stage.ask("DELETE", path))[0] == 204
        assert (await stage.ask("GET", path))[0] == 404


async def test_documents_come_as_files_of_a_form_and_their_guests_go(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        await make(stage)
        options = json.dumps({"tags": ["t"], "attributes": {"n": 1}, "chunking": {"max_tokens": 32}})
        status, added = await stage.upload(
            f"{COLLECTIONS}/notes/documents",
            ("file", CATS.encode(), "dir/a.txt"),
            ("file", b"dogs", "b.txt"),
            fields={"options": options},
        )
        assert status == 202
        assert [(each["name"], each["tags"]) for each in added["documents"]] == [
            ("dir/a.txt", ["t"]),
            ("b.txt", ["t"]),
        ]
        assert added["documents"][0]["chunking"]["max_tokens"] == 32
        assert stage.memory.files.of(LOCAL_TENANT) == []
        path = f"/api/recall/documents/{added['documents'][0]['id']}/content"
        assert await stage.ask("GET", path) == (200, CATS.encode())
        status, refused = await stage.upload(f"{COLLECTIONS}/notes/documents", fields={"options": "{}"})
        assert (status, refused["error"]["param"]) == (400, "file")
        status, refused = await stage.upload(
            f"{COLLECTIONS}/notes/documents", ("file", b"x", "a"), fields={"options": '{"tag": []}'}
        )
        assert (status, refused["error"]["param"]) == (400, "tag")
        assert stage.memory.files.of(LOCAL_TENANT) == []


async def test_bytes_that_are_gone_from_the_disk_are_told_as_such(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        await make(stage)
        document = await add(stage, "notes", name="a", text=CATS)
        stage.memory.where(document["content_hash"]).unlink()
        status, answer = await stage.ask("GET", f"/api/recall/documents/{document['id']}/content")

    assert (status, answer["error"]["code"]) == (500, "store_damaged")


async def test_documents_are_listed_in_pages_by_status_and_by_name(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        await make(stage)
        ids = [(await add(stage, "notes", name=f"d{n}", text=f"text {n}"))["id"] for n in range(4)]
        await add(stage, "notes", name="bad", text="broken")
        path = f"{COLLECTIONS}/notes/documents"

        async def listed(query: str) -> tuple[list[str], bool]:
            _, page = await stage.ask("GET", f"{path}?{query}")
            return [each["id"] for each in page["documents"]], page["is_more"]

        assert await listed("status=completed&limit=3") == (ids[:0:-1], True)
        assert await listed(f"status=completed&limit=3&after={ids[1]}") == ([ids[0]], False)
        assert await listed(f"status=completed&limit=2&before={ids[0]}") == ([ids[2], ids[1]], True)
        assert await listed("order=asc&limit=1") == ([ids[0]], True)
        assert await listed("name=d2") == ([ids[2]], False)
        assert await listed("name=none") == ([], False)
        for query, param in (
            ("limit=0", "limit"),
            ("limit=x", "limit"),
            ("status=odd", "status"),
            ("q=1", "q"),
        ):
            status, answer = await stage.ask("GET", f"{path}?{query}")
            assert (status, answer["error"]["param"]) == (400, param)


async def test_a_search_takes_every_field_and_collections_by_name_or_all_of_them(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        status, nothing = await stage.ask("POST", "/api/recall/search", json={"text": "cat"})
        assert (status, nothing["hits"], nothing["notes"]) == (200, [], [NOTHING_TO_SEARCH])
        one, two = await make(stage, "one"), await make(stage, "two")
        await add(stage, "one", name="a", text=CATS, attributes={"n": 1})
        await add(stage, "two", name="b", text="A cat and a dog.")
        _, everywhere = await stage.ask("POST", "/api/recall/search", json={"text": "cat"})
        assert {each["document"]["name"] for each in everywhere["hits"]} == {"a", "b"}
        body = {
            "text": "cat",
            "collections": ["one", one["id"]],
            "limit": 5,
            "offset": 0,
            "arm": "text",
            "where": {"type": "eq", "key": "n", "value": 1},
            "tags": [],
            "since": 1.5,
            "valid_at": 2,
            "threshold": 0.1,
            "vector_weight": 0.5,
            "recency_weight": 0.1,
            "rerank": "none",
            "is_deduplicated": False,
            "neighbours": 1,
            "is_parent_wanted": True,
            "is_explained": True,
        }
        status, found = await stage.ask("POST", "/api/recall/search", json=body)
        assert status == 200
        (hit,) = found["hits"]
        assert (hit["document"]["name"], hit["chunk"]["start"], hit["chunk"]["end"]) == ("a", 0, 25)
        searcher: Any = stage.stage.deps.recall.searcher if stage.stage.deps.recall else None
        query = searcher.queries[-1]
        assert query.collections == (one["id"],)
        assert (query.arm, query.since, query.neighbours, query.is_explained) == ("text", 1.5, 1, True)
        assert two["id"] not in query.collections


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"text": 5}, 400, "text"),
        ({"limit": 0}, 400, "limit"),
        ({"limit": 1001}, 400, "limit"),
        ({"arm": "magic"}, 400, "arm"),
        ({"where": {"type": "eq"}}, 400, "where.key"),
        ({"vector_weight": 2}, 400, "vector_weight"),
        ({"colour": "red"}, 400, "colour"),
        ({"collections": ["none"]}, 404, "collections[0]"),
    ],
)
async def test_a_wrong_field_of_a_search_is_named(
    tmp_path: Path, change: Any, status: int, param: str
) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        await make(stage)
        found, answer = await stage.ask("POST", "/api/recall/search", json={"text": "cat", **change})

    assert (found, answer["error"]["param"]) == (status, param)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (COLLECTIONS, {"name": "a", "colour": "red"}, "colour"),
        (COLLECTIONS, {"name": "a", "chunking": {"max_token": 5}}, "chunking.max_token"),
        (COLLECTIONS, {"name": "a", "expiry": {"days": 1, "x": 1}}, "expiry.x"),
        (COLLECTIONS, {}, "name"),
        (f"{COLLECTIONS}/notes/documents", {"documents": []}, "documents"),
        (f"{COLLECTIONS}/notes/documents", {"documents": [{"text": "a"}]}, "documents[0].name"),
        (f"{COLLECTIONS}/notes/sources", {"uri": "a", "interval_s": 1}, "interval_s"),
        (MEMORIES, {"text": ""}, "text"),
        (MEMORIES, {"text": "a", "scope": {"usr": "u"}}, "scope.usr"),
        (MEMORIES, {"text": "a", "importance": 2}, "importance"),
        (f"{MEMORIES}/forget", {"items": []}, "items"),
        (f"{MEMORIES}/search", {"text": "a", "collections": ["x"]}, "collections"),
    ],
)
async def test_a_wrong_field_is_named_at_any_depth(tmp_path: Path, path: str, body: Any, param: str) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        await make(stage)
        status, answer = await stage.ask("POST", path, json=body)

    assert (status, answer["error"]["param"]) == (400, param)


async def test_a_job_is_found_waited_for_cancelled_and_tried_again(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        await make(stage)
        stage.memory.hold = True
        body = {"documents": [{"name": "a", "text": "a"}]}
        _, added = await stage.ask("POST", f"{COLLECTIONS}/notes/documents", json=body)
        path = f"/api/recall/jobs/{added['job']['id']}"
        assert (await stage.ask("GET", path))[1]["status"] == "running"
        assert (await stage.ask("GET", f"{path}?wait_s=30"))[1]["status"] == "running"
        jobs: Any = stage.stage.deps.recall.jobs if stage.stage.deps.recall else None
        assert jobs.waits == [30]
        assert (await stage.ask("GET", f"{path}?wait_s=61"))[0] == 400
        assert (await stage.ask("POST", f"{path}/cancel"))[1]["status"] == "cancelled"
        status, answer = await stage.ask("POST", f"{path}/retry")
        assert (status, answer["error"]["code"]) == (409, "conflict")
        body = {"documents": [{"name": "b", "text": "broken"}]}
        _, added = await stage.ask("POST", f"{COLLECTIONS}/notes/documents", json=body)
        status, again = await stage.ask("POST", f"/api/recall/jobs/{added['job']['id']}/retry")
        assert (status, again["total"]) == (202, 1)
        _, listed = await stage.ask("GET", "/api/recall/jobs?limit=1")
        assert [each["id"] for each in listed["jobs"]] == [again["id"]]
        assert (await stage.ask("GET", "/api/recall/jobs/none"))[0] == 404


async def test_a_source_is_followed_paused_synced_and_left(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        made = await make(stage)
        status, source = await stage.ask(
            "POST", f"{COLLECTIONS}/notes/sources", json={"uri": "https://e.org/", "kind": "page"}
        )
        assert (status, source["collection"], source["interval_s"]) == (201, made["id"], 3600)
        path = f"/api/recall/sources/{source['id']}"
        for listing in (f"{COLLECTIONS}/notes/sources", "/api/recall/sources"):
            assert (await stage.ask("GET", listing))[1] == {"sources": [source]}
        assert (await stage.ask("PATCH", path, json={"is_paused": True}))[1]["is_paused"] is True
        status, job = await stage.ask("POST", f"{path}/sync")
        assert (status, job["kind"]) == (202, "sync")
        assert (await stage.ask("DELETE", f"{path}?keep_documents=maybe"))[0] == 400
        assert (await stage.ask("DELETE", f"{path}?keep_documents=true"))[0] == 204
        assert (await stage.ask("GET", path))[0] == 404


async def test_an_item_is_remembered_revised_found_and_forgotten(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        item = await remember(
            stage, "Ana likes tea", kind="preference", scope={"user": "ana"}, tags=["drinks"]
        )
        assert item["provenance"]["by"] == "owner"
        status, known = await stage.ask(
            "POST", MEMORIES, json={"text": "Ana likes tea", "scope": {"user": "ana"}}
        )
        assert (status, known["outcome"], known["item"]["id"]) == (200, "known", item["id"])
        path = f"{MEMORIES}/{item['id']}"
        _, revised = await stage.ask("PATCH", path, json={"text": "Ana likes coffee", "importance": 0.9})
        assert revised["id"] != item["id"]
        status, answer = await stage.ask("PATCH", path, json={"text": "Ana likes water"})
        assert (status, answer["error"]["code"]) == (409, "conflict")
        _, told = await stage.ask("GET", f"{MEMORIES}/{revised['id']}/history")
        assert [each["action"] for each in told["history"]] == ["stored", "revised"]
        _, found = await stage.ask(
            "POST", f"{MEMORIES}/search", json={"text": "coffee", "scope": {"user": "ana"}}
        )
        assert [each["item"]["id"] for each in found["items"]] == [revised["id"]]
        _, elsewhere = await stage.ask(
            "POST", f"{MEMORIES}/search", json={"text": "coffee", "scope": {"user": "ben"}}
        )
        assert elsewhere["items"] == []
        assert (await stage.ask("POST", f"{MEMORIES}/consolidate"))[0] == 202
        assert (await stage.ask("DELETE", f"{MEMORIES}/{revised['id']}"))[1]["items"] == [revised["id"]]
        assert (await stage.ask("GET", f"{MEMORIES}/{revised['id']}"))[0] == 404


async def test_items_are_listed_by_scope_kind_tag_and_page(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        one = await remember(stage, "one", scope={"user": "ana"}, tags=["x", "y"])
        two = await remember(stage, "two", kind="episode")
        three = await remember(stage, "three", scope={"user": "ben"})

        async def listed(query: str) -> tuple[list[str], bool]:
            _, page = await stage.ask("GET", f"{MEMORIES}?{query}")
            return [each["text"] for each in page["items"]], page["is_more"]

        assert await listed("") == (["three", "two", "one"], False)
        assert await listed("limit=2") == (["three", "two"], True)
        assert await listed(f"limit=2&after={two['id']}") == (["one"], False)
        assert await listed("user=ana") == (["two", "one"], False)
        assert await listed("kind=episode,summary") == (["two"], False)
        assert await listed("tag=x&tag=y") == (["one"], False)
        status, answer = await stage.ask("GET", f"{MEMORIES}?kind=wish")
        assert (status, answer["error"]["param"]) == (400, "kind")
        status, _ = await stage.ask("POST", f"{MEMORIES}/forget", json={"items": [one["id"], "none"]})
        assert status == 404
        status, gone = await stage.ask("POST", f"{MEMORIES}/forget", json={"items": [one["id"], three["id"]]})
        assert (status, gone["items"]) == (200, [one["id"], three["id"]])
        assert await listed("") == (["two"], False)


async def test_what_is_remembered_goes_out_and_comes_in_as_lines(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        for n in range(300):
            await remember(stage, f"item {n} {'x' * 200}")
        status, lines = await stage.ask("GET", f"{MEMORIES}/export")
        assert status == 200
        assert len(lines.splitlines()) == 300
        _, gone = await stage.ask("GET", f"{MEMORIES}?limit=300")
        ids = [each["id"] for each in gone["items"]]
        await stage.ask("POST", f"{MEMORIES}/forget", json={"items": ids})

        async def trickle() -> AsyncIterator[bytes]:
            body = b"\n" + lines + b"oops\n[1]\n{}"
            for start in range(0, len(body), 997):
                yield body[start : start + 997]

        headers = {"Content-Type": "application/x-ndjson"}
        status, told = await stage.ask("POST", f"{MEMORIES}/import", data=trickle(), headers=headers)
        assert (status, told["imported"], told["refused"]) == (200, 300, 3)
        assert told["problems"][0].startswith("Line 302 is not a JSON object")
        assert await stage.ask("GET", f"{MEMORIES}/export") == (200, lines)


async def test_an_import_is_bounded_and_says_what_it_takes(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, max_upload_bytes=3_000_000)
    headers = {"Content-Type": "application/x-ndjson"}
    async with open_knowledge_stage(tmp_path, settings=settings) as stage:
        path = f"{MEMORIES}/import"
        status, answer = await stage.ask("POST", path, data=b"{}")
        assert (status, answer["error"]["code"]) == (415, "unsupported_media_type")
        status, _ = await stage.ask("POST", path, data=io.BytesIO(b"{}" + b"\n" * 3_000_000), headers=headers)
        assert status == 413
        status, answer = await stage.ask("POST", path, data=io.BytesIO(b"x" * 1_100_000), headers=headers)
        assert (status, "line" in answer["error"]["message"]) == (400, True)


async def test_operators_have_the_store_checked_and_copied(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        assert await stage.ask("POST", "/api/recall/doctor") == (200, {"is_well": True, "findings": []})
        (stage.memory.folder / "lost").touch()
        _, found = await stage.ask("POST", "/api/recall/doctor", json={})
        assert (found["is_well"], found["findings"][0]["is_repaired"]) == (False, False)
        _, repaired = await stage.ask("POST", "/api/recall/doctor", json={"repair": True})
        assert (repaired["is_well"], repaired["findings"][0]["is_repaired"]) == (True, True)
        status, taken = await stage.ask("POST", "/api/recall/snapshots")
        assert (status, taken["name"]) == (201, "copy-0")
        assert await stage.ask("GET", "/api/recall/snapshots") == (200, {"snapshots": [taken]})
        user = await stage.key("somebody", "local")
        for method, path in (
            ("POST", "/api/recall/doctor"),
            ("GET", "/api/recall/snapshots"),
            ("POST", "/api/recall/snapshots"),
        ):
            assert (await stage.ask(method, path, headers=user))[0] == 403


async def test_a_server_without_its_store_says_so(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        object.__setattr__(stage.stage.deps, "recall", None)
        status, answer = await stage.ask("GET", COLLECTIONS)

    assert (status, answer["error"]["code"]) == (503, "recall_closed")
