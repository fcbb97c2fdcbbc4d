"""The faces over Recall as the server opens it, its reading children included: clients, and tenants apart."""

from pathlib import Path
from typing import Any

import anyio
import msgspec
import openai
import pytest
from docx import Document as WordDocument

from runtime.core.recall import Recall
from tests.kit.clock import FakeClock
from tests.kit.knowledge_stage import open_knowledge_stage
from tests.kit.real_recall import real_recall
from tests.kit.tenancy import attempts_on, settle, view
from tests.unit.api.test_tenants import REFUSED, make

LIMIT_S = 100.0
CATS = b"# Cats\n\nA cat sleeps on the warm roof.\n\nCats like fish more than rain."
DOGS = b"# Dogs\n\nA dog barks at the moon.\n\nDogs like bones."


def word_file(path: Path) -> bytes:
    document = WordDocument()
    document.add_heading("Minutes", 1)
    document.add_paragraph("The committee agreed to buy a samovar in October.")
    document.save(str(path))
    return path.read_bytes()


async def test_the_official_client_goes_from_upload_to_answer(tmp_path: Path) -> None:
    minutes = await anyio.to_thread.run_sync(word_file, tmp_path / "minutes.docx")
    with anyio.fail_after(LIMIT_S):
        async with (
            real_recall(tmp_path / "real", FakeClock()) as recall,
            open_knowledge_stage(tmp_path, recall=recall) as stage,
            stage.stage.openai() as client,
        ):
            store = await client.vector_stores.create(name="Pets")
            batch = await client.vector_stores.file_batches.upload_and_poll(
                store.id, files=[("cats.md", CATS), ("dogs.md", DOGS), ("broken.pdf", b"%PDF-1.7 nothing")]
            )
            assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == (
                "completed",
                2,
                1,
            )
            done = await client.vector_stores.files.upload_and_poll(
                vector_store_id=store.id, file=("minutes.docx", minutes), attributes={"year": 2026}
            )
            assert (done.status, done.attributes) == ("completed", {"year": 2026.0})
            twice = await client.vector_stores.files.upload_and_poll(
                vector_store_id=store.id, file=("minutes.docx", minutes)
            )
            assert (twice.status, twice.id == done.id) == ("completed", False)
            listed = [each async for each in client.vector_stores.files.list(store.id, limit=2)]
            assert len(listed) == 5
            (failed,) = [each for each in listed if each.status == "failed"]
            assert failed.last_error is not None
            assert failed.last_error.code == "invalid_file"
            await client.vector_stores.files.delete(twice.id, vector_store_id=store.id)
            found = await client.vector_stores.search(store.id, query="which animal barks at the moon")
            assert found.data[0].filename == "dogs.md"
            assert "barks at the moon" in found.data[0].content[0].text
            filtered = await client.vector_stores.search(
                store.id, query="samovar", filters={"type": "eq", "key": "year", "value": 2026}
            )
            assert [each.file_id for each in filtered.data] == [done.id]
            text = await client.vector_stores.files.content(done.id, vector_store_id=store.id)
            assert "samovar" in (text.data[0].text or "")
            whole = await client.vector_stores.retrieve(store.id)
            assert (whole.status, whole.file_counts.completed, whole.file_counts.failed) == (
                "completed",
                3,
                1,
            )
            assert whole.usage_bytes > 0
            await client.vector_stores.delete(store.id)
            with pytest.raises(openai.NotFoundError):
                await client.vector_stores.search(store.id, query="cat")


async def test_the_synchronous_client_does_the_same(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with (
            real_recall(tmp_path / "real", FakeClock()) as recall,
            open_knowledge_stage(tmp_path, recall=recall) as stage,
        ):

            def use() -> tuple[str, str, list[str]]:
                client = stage.openai_in_threads()
                store = client.vector_stores.create(name="Pets")
                client.vector_stores.create(name="Pets")
                batch = client.vector_stores.file_batches.upload_and_poll(
                    store.id, files=[("cats.md", CATS), ("dogs.md", DOGS)]
                )
                found = client.vector_stores.search(store.id, query="cat on the roof", max_num_results=1)
                names = [each.name for each in client.vector_stores.list()]
                client.close()
                return batch.status, found.data[0].filename, names

            assert await anyio.to_thread.run_sync(use) == ("completed", "cats.md", ["Pets", "Pets"])


async def test_localrecalls_clients_upload_search_and_read_back(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with (
            real_recall(tmp_path / "real", FakeClock()) as recall,
            open_knowledge_stage(tmp_path, recall=recall) as stage,
        ):
            await stage.ask("POST", "/api/collections", json={"name": "pets"})
            for name, content in (("cats.md", CATS), ("dogs.md", DOGS), ("cats.md", CATS + b"\n\nPurr.")):
                status, answer = await stage.upload("/api/collections/pets/upload", ("file", content, name))
                assert (status, answer["data"]["status"]) == (200, "completed")
            status, answer = await stage.upload("/api/collections/pets/upload", ("file", b"", "cats.md"))
            assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
            _, listed = await stage.ask("GET", "/api/collections/pets/entries")
            assert sorted(listed["data"]["entries"]) == ["cats.md", "dogs.md"]
            raw = await stage.ask("GET", "/api/collections/pets/entries/cats.md/raw")
            assert raw == (200, CATS + b"\n\nPurr.")
            _, found = await stage.ask(
                "POST", "/api/collections/pets/search", json={"query": "bones", "max_results": 100}
            )
            assert found["data"]["results"][0]["Metadata"]["file"] == "dogs.md"
            await stage.ask("POST", "/api/collections/pets/reset")
            _, listed = await stage.ask("GET", "/api/collections/pets/entries")
            assert listed["data"]["count"] == 0


async def test_memories_go_out_of_one_tenant_and_into_another(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with (
            real_recall(tmp_path / "real", FakeClock()) as recall,
            open_knowledge_stage(tmp_path, recall=recall) as stage,
        ):
            one, two = await stage.key("one", "one"), await stage.key("two", "two")
            path = "/api/recall/memories"
            for text in ("Ana likes tea", "Ben likes coffee"):
                status, told = await stage.ask("POST", path, json={"text": text}, headers=one)
                assert (status, told["outcome"]) == (201, "stored")
            _, lines = await stage.ask("GET", f"{path}/export", headers=one)
            headers = {**two, "Content-Type": "application/x-ndjson"}
            status, told = await stage.ask("POST", f"{path}/import", data=lines, headers=headers)
            assert (status, told["problems"]) == (200, [])
            _, found = await stage.ask("POST", f"{path}/search", json={"text": "who likes tea"}, headers=two)
            assert found["items"][0]["item"]["text"] == "Ana likes tea"
            _, page = await stage.ask("GET", path, headers=two)
            assert len(page["items"]) == 2
            for item in page["items"]:
                _, gone = await stage.ask("DELETE", f"{path}/{item['id']}", headers=two)
                assert gone["items"] == [item["id"]]
            assert len((await stage.ask("GET", path, headers=one))[1]["items"]) == 2


async def test_nothing_of_another_tenant_is_found_told_or_changed_in_the_real_store(tmp_path: Path) -> None:
    async with (
        real_recall(tmp_path / "real", FakeClock()) as recall,
        open_knowledge_stage(tmp_path, recall=recall) as stage,
    ):
        with anyio.fail_after(LIMIT_S):
            owner = await settle(stage, "owner", "plugh")
            stranger = await settle(stage, "stranger", "xyzzy")
            await settled(recall)
        before = await view(stage, owner)
        for attempt in list(attempts_on(owner.ids, stranger.ids)):
            with anyio.fail_after(LIMIT_S):
                status, answer = await make(stage, attempt, stranger)
            assert status < 500, (attempt, answer)
            assert b"plugh" not in answer, attempt
            if attempt.is_foreign:
                assert status in REFUSED, (attempt, status, answer)
        assert await view(stage, owner) == before
        for path, body in (
            ("/api/recall/search", {"text": "text plugh xyzzy"}),
            ("/api/recall/memories/search", {"text": "remembered"}),
        ):
            _, found = await stage.ask("POST", path, json=body, headers=owner.key)
            told = msgspec.json.encode(found)
            assert (b"plugh" in told, b"xyzzy" in told) == (True, False)


async def settled(recall: Recall) -> None:
    """Wait until no document is in progress any more."""
    jobs: Any = recall.jobs
    for tenant in ("owner", "stranger"):
        for job in await jobs.list_all(tenant):
            await jobs.wait(tenant, job.id, LIMIT_S)


async def test_the_doctor_finds_a_store_that_was_used_well(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with (
            real_recall(tmp_path / "real", FakeClock()) as recall,
            open_knowledge_stage(tmp_path, recall=recall) as stage,
        ):
            await stage.ask("POST", "/api/collections", json={"name": "pets"})
            await stage.upload("/api/collections/pets/upload", ("file", CATS, "cats.md"))
            status, told = await stage.ask("POST", "/api/recall/doctor")
            assert (status, told) == (200, {"is_well": True, "findings": []})
            status, taken = await stage.ask("POST", "/api/recall/snapshots")
            assert (status, taken["size_bytes"] > 0) == (201, True)
            assert taken in (await stage.ask("GET", "/api/recall/snapshots"))[1]["snapshots"]
