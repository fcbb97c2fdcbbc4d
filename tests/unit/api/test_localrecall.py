"""LocalRecall's routes, as its own clients use them: paths, envelope, and what it did wrong."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from runtime.core.ids import LOCAL_TENANT
from runtime.core.settings import ServerSettings
from tests.kit.knowledge_stage import KnowledgeStage, open_knowledge_stage

CATS = b"A cat sleeps on the roof.\n\nCats like fish."


async def make(stage: KnowledgeStage, name: str = "notes") -> str:
    status, answer = await stage.ask("POST", "/api/collections", json={"name": name})
    assert status == 201
    assert answer["success"] is True
    assert answer["data"]["name"] == name
    return f"/api/collections/{quote(name, safe='')}"


async def test_collections_are_made_once_and_listed(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        await make(stage)
        await make(stage, "a/b ../ç")
        await make(stage)
        status, answer = await stage.ask("GET", "/api/collections")

    assert status == 200
    assert answer == {
        "success": True,
        "message": "Collections retrieved successfully",
        "data": {"collections": ["notes", "a/b ../ç"], "count": 2},
    }


@pytest.mark.parametrize("name", ["notes", "a/b ../ç", "vs_1", "%2F", "name with ?#", "{braces}", "é:+&="])
async def test_an_entry_is_uploaded_listed_read_and_deleted(tmp_path: Path, name: str) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        path = await make(stage, name)
        status, answer = await stage.upload(f"{path}/upload", ("file", CATS, "/home/me/über cats.txt"))
        assert (status, answer["data"]["filename"], answer["data"]["collection"]) == (
            200,
            "über cats.txt",
            name,
        )
        key = answer["data"]["key"]

        _, listed = await stage.ask("GET", f"{path}/entries")
        assert listed["data"] == {
            "collection": name,
            "entries": ["über cats.txt"],
            "keys": [key],
            "count": 1,
        }
        for entry in ("über cats.txt", key):
            _, read = await stage.ask("GET", f"{path}/entries/{quote(entry, safe='')}")
            assert (read["data"]["content"], read["data"]["chunk_count"]) == (CATS.decode(), 2)
            assert await stage.ask("GET", f"{path}/entries/{quote(entry, safe='')}/raw") == (200, CATS)

        status, gone = await stage.ask("DELETE", f"{path}/entry/delete", json={"entry": "über cats.txt"})
        assert (status, gone["data"]) == (
            200,
            {"deleted_entry": "über cats.txt", "remaining_entries": [], "entry_count": 0},
        )
        status, gone = await stage.ask("GET", f"{path}/entries/{quote(key)}")
        assert (status, gone["error"]["code"]) == (404, "NOT_FOUND")
        assert stage.memory.files.of(LOCAL_TENANT) == []


async def test_an_upload_of_a_name_that_is_there_replaces_it(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        path = await make(stage)
        await stage.upload(f"{path}/upload", ("file", CATS, "a.txt"))
        status, _ = await stage.upload(f"{path}/upload", ("file", b"dogs", "a.txt"))
        _, read = await stage.ask("GET", f"{path}/entries/a.txt")
        _, listed = await stage.ask("GET", f"{path}/entries")

    assert (status, read["data"]["content"], listed["data"]["count"]) == (200, "dogs", 1)


async def test_an_upload_that_cannot_be_read_says_why_and_leaves_the_former_one(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        path = await make(stage)
        await stage.upload(f"{path}/upload", ("file", CATS, "a.txt"))
        status, answer = await stage.upload(f"{path}/upload", ("file", b"broken", "a.txt"))
        assert (status, answer["success"], answer["error"]["code"]) == (400, False, "INVALID_REQUEST")
        assert "Repair it" in answer["error"]["message"]
        assert answer["error"]["details"] == "field: file, code: broken"
        _, listed = await stage.ask("GET", f"{path}/entries")
        assert listed["data"]["entries"] == ["a.txt"]
        _, read = await stage.ask("GET", f"{path}/entries/a.txt")
        assert read["data"]["content"] == CATS.decode()


async def test_an_upload_waits_no_longer_than_its_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        path = await make(stage)
        stage.memory.hold = True
        status, answer = await stage.upload(f"{path}/upload", ("file", CATS, "a.txt"))

        jobs: Any = stage.stage.deps.recall.jobs if stage.stage.deps.recall else None
    assert (status, answer["data"]["status"]) == (200, "in_progress")
    assert "still being read" in answer["message"]
    assert sum(jobs.waits) == 30.0


async def test_a_search_returns_what_there_is_however_much_was_asked_for(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        path = await make(stage)
        await stage.upload(f"{path}/upload", ("file", CATS, "cats.txt"))
        status, found = await stage.ask(
            "POST", f"{path}/search", json={"query": "cat roof", "max_results": 100}
        )
        _, default = await stage.ask("POST", f"{path}/search", json={"query": "cat"})

    assert status == 200
    assert (found["data"]["query"], found["data"]["max_results"], found["data"]["count"]) == (
        "cat roof",
        100,
        1,
    )
    (result,) = found["data"]["results"]
    assert set(result) == {"ID", "Metadata", "Content", "Similarity"}
    assert (result["Content"], result["Similarity"]) == ("A cat sleeps on the roof.", 1.0)
    assert result["Metadata"]["file"] == result["Metadata"]["source"] == "cats.txt"
    assert all(isinstance(each, str) for each in result["Metadata"].values())
    assert default["data"]["max_results"] == 5


async def test_a_reset_empties_a_collection_and_keeps_it(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        path = await make(stage)
        await stage.upload(f"{path}/upload", ("file", CATS, "cats.txt"))
        status, answer = await stage.ask("POST", f"{path}/reset")
        assert (status, answer["data"]["collection"]) == (200, "notes")
        _, listed = await stage.ask("GET", f"{path}/entries")
        assert listed["data"]["count"] == 0
        status, _ = await stage.upload(f"{path}/upload", ("file", CATS, "cats.txt"))
        assert status == 200


async def test_sources_are_added_listed_and_removed_by_their_address(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        path = await make(stage)
        url = "https://example.org/feed.xml"
        _, added = await stage.ask("POST", f"{path}/sources", json={"url": url, "update_interval": 5})
        assert added["data"] == {"collection": "notes", "url": url, "update_interval": 5}
        _, default = await stage.ask("POST", f"{path}/sources", json={"url": "https://example.org/"})
        assert default["data"]["update_interval"] == 60
        status, taken = await stage.ask("POST", f"{path}/sources", json={"url": url})
        assert (status, taken["error"]["code"]) == (409, "CONFLICT")
        _, listed = await stage.ask("GET", f"{path}/sources")
        assert [(each["url"], each["update_interval"]) for each in listed["data"]["sources"]] == [
            (url, 5),
            ("https://example.org/", 60),
        ]
        status, _ = await stage.ask("DELETE", f"{path}/sources", json={"url": url})
        assert status == 200
        status, gone = await stage.ask("DELETE", f"{path}/sources", json={"url": url})
        assert (status, gone["error"]["code"]) == (404, "NOT_FOUND")
        _, listed = await stage.ask("GET", f"{path}/sources")
        assert listed["data"]["count"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "words"),
    [
        ("POST", "/api/collections", {}, 400, "INVALID_REQUEST", "name"),
        ("POST", "/api/collections", {"name": ""}, 400, "INVALID_REQUEST", "name"),
        ("POST", "/api/collections", {"name": "x" * 257}, 400, "INVALID_REQUEST", "name"),
        ("POST", "/api/collections/notes/search", {"query": ""}, 400, "INVALID_REQUEST", "query"),
        (
            "POST",
            "/api/collections/notes/search",
            {"query": "a", "max_results": -1},
            400,
            "INVALID_REQUEST",
            "max",
        ),
        ("POST", "/api/collections/none/search", {"query": "a"}, 404, "NOT_FOUND", "none"),
        ("GET", "/api/collections/none/entries", None, 404, "NOT_FOUND", "none"),
        ("GET", "/api/collections/notes/entries/x", None, 404, "NOT_FOUND", "'x'"),
        ("GET", "/api/collections/notes/entries/x/raw", None, 404, "NOT_FOUND", "'x'"),
        ("POST", "/api/collections/none/reset", None, 404, "NOT_FOUND", "none"),
        ("DELETE", "/api/collections/notes/entry/delete", {"entry": "x"}, 404, "NOT_FOUND", "'x'"),
        ("DELETE", "/api/collections", None, 405, "INVALID_REQUEST", "DELETE"),
        ("GET", "/api/collections/a/b/c/d", None, 404, "NOT_FOUND", "URL"),
        ("POST", "/api/collections/notes/upload", None, 415, "INVALID_REQUEST", "form"),
    ],
)
async def test_what_goes_wrong_is_said_in_the_envelope(
    tmp_path: Path, method: str, path: str, body: Any, status: int, code: str, words: str
) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        await make(stage)
        found, answer = await stage.ask(method, path, **({} if body is None else {"json": body}))

    assert (found, answer["success"], answer["error"]["code"]) == (status, False, code)
    assert words in answer["error"]["message"]


async def test_a_missing_key_and_a_file_that_is_too_large_are_said_in_the_envelope(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, max_upload_bytes=100)
    async with open_knowledge_stage(tmp_path, settings=settings) as stage:
        path = await make(stage)
        status, answer = await stage.upload(f"{path}/upload", ("file", b"x" * 101, "a.txt"))
        assert (status, answer["error"]["code"]) == (413, "INVALID_REQUEST")
        status, answer = await stage.upload(
            f"{path}/upload", ("file", b"x", "a.txt"), ("file", b"y", "b.txt")
        )
        assert (status, "exactly one file" in answer["error"]["message"]) == (400, True)
        assert stage.memory.files.of(LOCAL_TENANT) == []
        await stage.key("somebody", "local")
        status, answer = await stage.ask("GET", "/api/collections")
        assert (status, answer["success"], answer["error"]["code"]) == (401, False, "UNAUTHORIZED")
