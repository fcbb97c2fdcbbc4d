"""Files and vector stores through the official clients, unmodified, over a real port."""

import hashlib
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest
from openai.types import VectorStore
from openai.types.vector_stores import VectorStoreFile, VectorStoreFileBatch
from pydantic import BaseModel

from runtime.api.openai.vector_store_words import GIVEN_NAME
from runtime.core.ids import LOCAL_TENANT
from runtime.core.settings import ServerSettings
from tests.kit.knowledge_stage import open_knowledge_stage

TEXT = b"Lar keeps what it learns.\n\nA cat sleeps on the roof."


def check_fields(thing: BaseModel) -> None:
    """Check that every field which the client's type demands is there, and of its type."""
    type(thing).model_validate(thing.model_dump(), strict=True)


async def test_a_file_goes_in_and_comes_back_byte_for_byte(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        made = await client.files.create(
            file=("notes é.txt", TEXT, "text/plain"),
            purpose="user_data",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )
        check_fields(made)
        assert (made.filename, made.bytes, made.purpose) == ("notes é.txt", len(TEXT), "user_data")
        assert made.expires_at == made.created_at + 3600
        assert await client.files.retrieve(made.id) == made
        content = await client.files.content(made.id)
        assert content.read() == TEXT
        assert content.response.headers["Content-Type"] == "application/octet-stream"
        assert content.response.headers["Content-Disposition"].startswith("attachment")
        assert [each.id async for each in client.files.list(purpose="user_data")] == [made.id]
        assert [each.id async for each in client.files.list(purpose="batch")] == []
        gone = await client.files.delete(made.id)
        assert (gone.id, gone.deleted, gone.object) == (made.id, True, "file")
        with pytest.raises(openai.NotFoundError, match=made.id):
            await client.files.retrieve(made.id)


async def test_files_are_listed_in_pages_in_either_order(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        made = [
            (await client.files.create(file=(f"{n}.txt", b"x"), purpose="user_data")).id for n in range(5)
        ]
        assert [each.id async for each in client.files.list(limit=2, order="asc")] == made
        assert [each.id async for each in client.files.list(limit=2)] == made[::-1]


async def test_a_file_that_comes_before_its_fields_gets_them_all_the_same(tmp_path: Path) -> None:
    boundary = "frontier"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f"--{boundary}--\r\n"
    ).encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    async with open_knowledge_stage(tmp_path) as stage:
        status, made = await stage.ask("POST", "/v1/files", data=body, headers=headers)
        stored = stage.memory.files.of(LOCAL_TENANT)

    assert (status, made["purpose"], made["filename"], made["bytes"]) == (200, "batch", "a.txt", 5)
    assert made["expires_at"] == made["created_at"] + 30 * 86400
    assert [each.id for each in stored] == [made["id"]]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "purpose"),
        ({"purpose": "fun"}, "purpose"),
        ({"purpose": "user_data", "colour": "red"}, "colour"),
        ({"purpose": "user_data", "expires_after": "{}"}, "expires_after.anchor"),
        ({"purpose": "user_data", "expires_after[anchor]": "created_at"}, "expires_after.seconds"),
        (
            {"purpose": "user_data", "expires_after[anchor]": "created_at", "expires_after[seconds]": "soon"},
            "expires_after.seconds",
        ),
        (
            {"purpose": "user_data", "expires_after[anchor]": "created_at", "expires_after[seconds]": "60"},
            "expires_after.seconds",
        ),
    ],
)
async def test_a_wrong_field_of_an_upload_is_named_and_nothing_stays(
    tmp_path: Path, fields: dict[str, str], param: str
) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        for order in ("before", "after"):
            file = ("file", b"hello", "a.txt")
            if order == "before":
                status, answer = await stage.upload("/v1/files", file, fields=fields)
            else:
                form = _form_with_file_first(fields)
                status, answer = await stage.ask("POST", "/v1/files", data=form[0], headers=form[1])
            assert (status, answer["error"]["param"]) == (400, param), order
        assert stage.memory.files.of(LOCAL_TENANT) == []


def _form_with_file_first(fields: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    parts = ['--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n']
    parts += [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return "".join([*parts, "--b--\r\n"]).encode(), {"Content-Type": "multipart/form-data; boundary=b"}


async def test_a_file_beyond_the_limit_is_refused_and_not_kept(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, max_upload_bytes=1000)
    async with open_knowledge_stage(tmp_path, settings=settings) as stage, stage.stage.openai() as client:
        with pytest.raises(openai.APIStatusError, match="max_upload_bytes") as refused:
            await client.files.create(file=("a.txt", b"x" * 1001), purpose="user_data")
        assert refused.value.status_code == 413
        await client.files.create(file=("a.txt", b"x" * 1000), purpose="user_data")
        assert len(stage.memory.files.of(LOCAL_TENANT)) == 1
        assert not [each for each in stage.memory.folder.iterdir() if each.name.startswith("draft")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhel',
        b"x" * 100,
    ],
)
async def test_a_form_that_is_cut_off_is_a_400(tmp_path: Path, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with open_knowledge_stage(tmp_path) as stage:
        status, answer = await stage.ask("POST", "/v1/files", data=body, headers=headers)

        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        assert stage.memory.files.of(LOCAL_TENANT) == []


async def test_a_body_that_is_no_form_is_a_415(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        status, answer = await stage.ask("POST", "/v1/files", json={"purpose": "user_data"})

    assert (status, answer["error"]["code"]) == (415, "unsupported_media_type")


async def test_an_upload_is_put_together_in_the_named_order(tmp_path: Path) -> None:
    content = b"one two three"
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        upload = await client.uploads.create(
            bytes=len(content), filename="n.txt", mime_type="text/plain", purpose="user_data"
        )
        check_fields(upload)
        assert (upload.status, upload.expires_at) == ("pending", upload.created_at + 3600)
        last = await client.uploads.parts.create(upload.id, data=b"three")
        first = await client.uploads.parts.create(upload.id, data=b"one two ")
        check_fields(first)
        with pytest.raises(openai.BadRequestError, match="13"):
            await client.uploads.complete(upload.id, part_ids=[first.id])
        with pytest.raises(openai.BadRequestError, match="md5"):
            await client.uploads.complete(upload.id, part_ids=[last.id, first.id], md5=_md5(content))
        done = await client.uploads.complete(upload.id, part_ids=[first.id, last.id], md5=_md5(content))
        assert done.status == "completed"
        assert done.file is not None
        assert (await client.files.content(done.file.id)).read() == content
        assert [each.id async for each in client.files.list()] == [done.file.id]
        assert len(stage.memory.files.of(LOCAL_TENANT)) == 1
        with pytest.raises(openai.NotFoundError):
            await client.uploads.parts.create(upload.id, data=b"more")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


async def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        upload = await client.uploads.create(
            bytes=3, filename="n.txt", mime_type="text/plain", purpose="user_data"
        )
        other = await client.uploads.create(
            bytes=3, filename="o.txt", mime_type="text/plain", purpose="user_data"
        )
        foreign = await client.uploads.parts.create(other.id, data=b"abc")
        with pytest.raises(openai.BadRequestError, match="no part"):
            await client.uploads.complete(upload.id, part_ids=[foreign.id])
        assert (await client.uploads.cancel(upload.id)).status == "cancelled"
        assert (await client.uploads.cancel(other.id)).status == "cancelled"
        assert stage.memory.files.of(LOCAL_TENANT) == []


async def test_an_upload_is_over_after_an_hour(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        upload = await client.uploads.create(
            bytes=3, filename="n.txt", mime_type="text/plain", purpose="user_data"
        )
        stage.clock.advance(3600)
        with pytest.raises(openai.NotFoundError, match="hour"):
            await client.uploads.cancel(upload.id)


async def test_the_synchronous_client_sends_a_large_file_in_parts(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    async with open_knowledge_stage(tmp_path) as stage:
        client = stage.openai_in_threads()

        def send() -> bytes:
            done = client.uploads.upload_file_chunked(
                file=content,
                filename="n.bin",
                bytes=len(content),
                mime_type="application/octet-stream",
                purpose="user_data",
                part_size=100_000,
                md5=_md5(content),
            )
            assert done.file is not None
            return client.files.content(done.file.id).read()

        assert await anyio.to_thread.run_sync(send) == content
        client.close()


async def test_a_store_lives_through_its_whole_life(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        file = await client.files.create(file=("a.txt", TEXT), purpose="assistants")
        store = await client.vector_stores.create(
            name="Notes",
            description="what we know",
            file_ids=[file.id, file.id],
            metadata={"team": "blue"},
            expires_after={"anchor": "last_active_at", "days": 7},
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100},
            },
        )
        check_fields(store)
        assert store.id.startswith("vs_")
        assert (store.name, store.metadata, store.status) == ("Notes", {"team": "blue"}, "completed")
        assert (store.file_counts.total, store.file_counts.completed) == (1, 1)
        assert store.last_active_at is not None
        assert store.expires_at == store.last_active_at + 7 * 86400
        attached = await client.vector_stores.files.retrieve(file.id, vector_store_id=store.id)
        check_fields(attached)
        assert attached.chunking_strategy is not None
        assert attached.chunking_strategy.model_dump() == {
            "type": "static",
            "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100},
        }
        changed = await client.vector_stores.update(
            store.id, name="Memos", metadata={"team": "red"}, expires_after=None
        )
        assert (changed.name, changed.metadata, changed.expires_after) == ("Memos", {"team": "red"}, None)
        same = await client.vector_stores.update(store.id)
        assert (same.name, same.metadata) == ("Memos", {"team": "red"})
        gone = await client.vector_stores.delete(store.id)
        assert (gone.id, gone.deleted, gone.object) == (store.id, True, "vector_store.deleted")
        with pytest.raises(openai.NotFoundError, match=store.id):
            await client.vector_stores.retrieve(store.id)
        assert (await client.files.retrieve(file.id)).id == file.id


async def test_names_of_stores_need_not_be_unique_nor_given(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        stores = [
            await client.vector_stores.create(name="Notes"),
            await client.vector_stores.create(name="Notes", metadata={"a": "b"}),
            await client.vector_stores.create(),
            await client.vector_stores.create(name=""),
            await client.vector_stores.create(name="n" * 300),
        ]
        assert [each.name for each in stores] == ["Notes", "Notes", "", "", "n" * 300]
        assert stores[1].metadata == {"a": "b"}
        renamed = await client.vector_stores.update(stores[2].id, name="Notes")
        assert (renamed.name, renamed.metadata) == ("Notes", {})
        kept = await client.vector_stores.update(stores[1].id, metadata={"c": "d"})
        assert (kept.name, kept.metadata) == ("Notes", {"c": "d"})
        freed = await client.vector_stores.update(stores[1].id, name="Other")
        assert (freed.name, freed.metadata) == ("Other", {"c": "d"})
        assert [each.name async for each in client.vector_stores.list(order="asc")] == [
            "Notes",
            "Other",
            "Notes",
            "",
            "n" * 300,
        ]
        own = [each.name for each in stage.memory.collections.of(LOCAL_TENANT)]
        assert len(set(own)) == 5
        assert all(1 <= len(each) <= 256 for each in own)
        with pytest.raises(openai.BadRequestError, match=GIVEN_NAME):
            await client.vector_stores.create(metadata={GIVEN_NAME: "x"})


async def test_stores_are_paged_forwards_and_backwards_while_they_are_deleted(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        ids = [(await client.vector_stores.create(name=f"s{n}")).id for n in range(7)]
        assert [each.id async for each in client.vector_stores.list(limit=3)] == ids[::-1]
        page = await client.vector_stores.list(limit=2, before=ids[1], order="desc")
        assert [each.id for each in page.data] == [ids[3], ids[2]]
        assert page.has_more
        between = await client.vector_stores.list(after=ids[0], before=ids[3], order="asc")
        assert [each.id for each in between.data] == ids[1:3]
        seen: list[str] = []
        async for each in client.vector_stores.list(limit=2, order="asc"):
            seen.append(each.id)
            await client.vector_stores.delete(each.id)
        assert seen == ids
        assert [each async for each in client.vector_stores.list()] == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"metadata": {f"k{n}": "v" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {"k": 5}}, "metadata[...]"),
        ({"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ({"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        ({"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after.days"),
        ({"chunking_strategy": {"type": "semantic"}}, "chunking_strategy.type"),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0},
                }
            },
            "chunking_strategy.static.max_chunk_size_tokens",
        ),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
                }
            },
            "chunking_strategy.static.chunk_overlap_tokens",
        ),
        ({"colour": "red"}, "colour"),
        ({"name": 5}, "name"),
    ],
)
async def test_a_wrong_field_of_a_store_is_named(tmp_path: Path, change: Any, param: str) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        status, answer = await stage.ask("POST", "/v1/vector_stores", json=change)

        assert (status, answer["error"]["param"]) == (400, param)
        assert stage.memory.collections.of(LOCAL_TENANT) == []


async def test_a_store_of_files_that_are_not_there_is_not_made(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        with pytest.raises(openai.NotFoundError) as refused:
            await client.vector_stores.create(name="a", file_ids=["file-none"])

        assert refused.value.param == "file_ids[0]"
        assert stage.memory.collections.of(LOCAL_TENANT) == []


async def test_files_are_uploaded_and_read_by_the_clients_helpers(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        store = await client.vector_stores.create(name="a")
        done = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=("a.txt", TEXT), attributes={"year": 2025, "draft": False}
        )
        check_fields(done)
        assert (done.status, done.last_error, done.vector_store_id) == ("completed", None, store.id)
        assert done.attributes == {"year": 2025, "draft": False}
        broken = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=("b.txt", b"broken")
        )
        check_fields(broken)
        assert broken.last_error is not None
        assert (broken.status, broken.last_error.code) == ("failed", "invalid_file")
        again = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=("a.txt", TEXT)
        )
        assert again.id != done.id
        assert (await client.vector_stores.files.retrieve(done.id, vector_store_id=store.id)).id == done.id
        failed = [each.id async for each in client.vector_stores.files.list(store.id, filter="failed")]
        assert failed == [broken.id]
        changed = await client.vector_stores.files.update(
            done.id, vector_store_id=store.id, attributes={"year": 2026}
        )
        assert changed.attributes == {"year": 2026}
        text = await client.vector_stores.files.content(done.id, vector_store_id=store.id)
        assert [each.text for each in text.data] == [TEXT.decode()]
        gone = await client.vector_stores.files.delete(done.id, vector_store_id=store.id)
        assert (gone.id, gone.object, gone.deleted) == (done.id, "vector_store.file.deleted", True)
        with pytest.raises(openai.NotFoundError, match=done.id):
            await client.vector_stores.files.retrieve(done.id, vector_store_id=store.id)
        assert (await client.files.retrieve(done.id)).id == done.id


async def test_a_file_that_is_attached_again_is_the_same_one(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        store = await client.vector_stores.create(name="a")
        file = await client.files.create(file=("a.txt", TEXT), purpose="assistants")
        await client.vector_stores.files.create(store.id, file_id=file.id, attributes={"n": 1})
        same = await client.vector_stores.files.create(store.id, file_id=file.id)
        assert same.attributes == {"n": 1}
        other = await client.vector_stores.files.create(
            store.id,
            file_id=file.id,
            attributes={"n": 2},
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0},
            },
        )
        assert other.attributes == {"n": 2}
        assert (await client.vector_stores.retrieve(store.id)).file_counts.total == 1


async def test_files_of_a_store_are_paged_while_they_are_taken_out(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        store = await client.vector_stores.create(name="a")
        ids = []
        for n in range(5):
            file = await client.files.create(file=(f"{n}.txt", f"text {n}".encode()), purpose="assistants")
            await client.vector_stores.files.create(store.id, file_id=file.id)
            ids.append(file.id)
        listed = client.vector_stores.files.list(store.id, limit=2)
        assert [each.id async for each in listed] == ids[::-1]
        page = await client.vector_stores.files.list(store.id, limit=2, before=ids[0])
        assert ([each.id for each in page.data], page.has_more) == ([ids[2], ids[1]], True)
        seen = []
        async for each in client.vector_stores.files.list(store.id, limit=2, order="asc"):
            seen.append(each.id)
            await client.vector_stores.files.delete(each.id, vector_store_id=store.id)
        assert seen == ids


async def test_a_document_without_a_file_is_in_the_store_too(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        store = await client.vector_stores.create(name="a")
        body = {"documents": [{"name": "note", "text": "a bare note"}]}
        _, added = await stage.ask("POST", f"/api/recall/collections/{store.id}/documents", json=body)
        document = added["documents"][0]["id"]
        listed = await client.vector_stores.files.list(store.id)
        assert [each.id for each in listed.data] == [document]
        assert (
            await client.vector_stores.files.retrieve(document, vector_store_id=store.id)
        ).status == "completed"
        other = await client.vector_stores.create(name="b")
        with pytest.raises(openai.NotFoundError):
            await client.vector_stores.files.retrieve(document, vector_store_id=other.id)


async def test_a_batch_tells_how_far_it_is_until_it_is_done(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        store = await client.vector_stores.create(name="a")
        files = [
            await client.files.create(file=(f"{n}.txt", text), purpose="assistants")
            for n, text in enumerate((b"one", b"two", b"broken"))
        ]
        stage.memory.hold = True
        batch = await client.vector_stores.file_batches.create(
            store.id, file_ids=[each.id for each in files], attributes={"n": 1}
        )
        check_fields(batch)
        assert batch.id.startswith("vsfb_")
        assert (batch.status, batch.file_counts.in_progress, batch.file_counts.failed) == (
            "in_progress",
            2,
            1,
        )
        documents: Any = stage.stage.deps.recall.documents if stage.stage.deps.recall else None
        for each in stage.memory.documents.of(LOCAL_TENANT):
            if each.status == "in_progress":
                await documents.finish(LOCAL_TENANT, each.id)
        done = await client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id)
        assert done.status == "completed"
        assert done.file_counts.model_dump() == {
            "in_progress": 0,
            "completed": 2,
            "failed": 1,
            "cancelled": 0,
            "total": 3,
        }
        listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, limit=2)
        assert [each.id async for each in listed] == [each.id for each in files][::-1]
        failed = await client.vector_stores.file_batches.list_files(
            batch.id, vector_store_id=store.id, filter="failed"
        )
        assert [each.id for each in failed.data] == [files[2].id]
        before = await client.vector_stores.file_batches.list_files(
            batch.id, vector_store_id=store.id, before=files[0].id, limit=1
        )
        assert ([each.id for each in before.data], before.has_more) == ([files[1].id], True)
        assert [each.id async for each in client.files.list()] == [each.id for each in files][::-1]
        other = await client.vector_stores.create(name="b")
        with pytest.raises(openai.NotFoundError, match="batch"):
            await client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=other.id)


async def test_a_cancelled_batch_says_what_was_not_read(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        store = await client.vector_stores.create(name="a")
        file = await client.files.create(file=("a.txt", TEXT), purpose="assistants")
        stage.memory.hold = True
        batch = await client.vector_stores.file_batches.create(store.id, file_ids=[file.id])
        over = await client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)

    assert (over.status, over.file_counts.cancelled, over.file_counts.total) == ("cancelled", 1, 1)


async def test_a_batch_takes_files_with_attributes_of_their_own(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        store = await client.vector_stores.create(name="a")
        one = await client.files.create(file=("a.txt", TEXT), purpose="assistants")
        two = await client.files.create(file=("b.txt", b"two"), purpose="assistants")
        await client.vector_stores.files.create(store.id, file_id=one.id)
        batch = await client.vector_stores.file_batches.create_and_poll(
            store.id,
            files=[
                {"file_id": one.id, "attributes": {"n": 1}},
                {"file_id": two.id, "attributes": {"n": 2}},
            ],
        )
        assert (batch.file_counts.completed, batch.file_counts.total) == (2, 2)
        found = [
            (await client.vector_stores.files.retrieve(each, vector_store_id=store.id)).attributes
            for each in (one.id, two.id)
        ]
        assert found == [{"n": 1}, {"n": 2}]
        for body in ({}, {"file_ids": [one.id], "files": [{"file_id": two.id}]}):
            status, answer = await stage.ask("POST", f"/v1/vector_stores/{store.id}/file_batches", json=body)
            assert (status, answer["error"]["param"]) == (400, "file_ids")


async def test_both_clients_upload_batches_and_search(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        store = await client.vector_stores.create(name="a")
        batch = await client.vector_stores.file_batches.upload_and_poll(
            store.id, files=[("a.txt", TEXT), ("b.txt", b"A dog barks at the cat.")]
        )
        assert (batch.status, batch.file_counts.completed) == ("completed", 2)

        def use() -> tuple[VectorStoreFileBatch, list[VectorStoreFile], VectorStore, list[str]]:
            sync = stage.openai_in_threads()
            more = sync.vector_stores.file_batches.upload_and_poll(
                store.id, files=[("c.txt", b"Cats and more cats.")]
            )
            files = list(sync.vector_stores.files.list(store.id))
            found = sync.vector_stores.search(store.id, query="cat roof")
            whole = sync.vector_stores.retrieve(store.id)
            sync.close()
            return more, files, whole, [each.filename for each in found.data]

        more, files, whole, names = await anyio.to_thread.run_sync(use)
        assert more.file_counts.completed == 1
        assert len(files) == whole.file_counts.total == 3
        assert names[0] == "a.txt"


async def test_a_search_is_told_in_full(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        store = await client.vector_stores.create(name="a")
        for n, text in enumerate((b"cat one", b"cat two", b"dog")):
            await client.vector_stores.files.upload_and_poll(
                vector_store_id=store.id, file=(f"{n}.txt", text), attributes={"n": n}
            )
        found = await client.vector_stores.search(
            store.id,
            query=["cat", "dog"],
            filters={
                "type": "and",
                "filters": [
                    {"type": "gte", "key": "n", "value": 1},
                    {"type": "or", "filters": [{"type": "in", "key": "n", "value": [1.0, 2.0]}]},
                ],
            },
            max_num_results=5,
            ranking_options={"ranker": "none", "score_threshold": 0.5},
            rewrite_query=True,
            extra_body={
                "ranking_options": {
                    "ranker": "none",
                    "score_threshold": 0.5,
                    "hybrid_search": {"embedding_weight": 3, "text_weight": 1},
                }
            },
        )
        for each in found.data:
            check_fields(each)
        assert {(each.filename, each.content[0].text) for each in found.data} == {
            ("1.txt", "cat two"),
            ("2.txt", "dog"),
        }
        searcher: Any = stage.stage.deps.recall.searcher if stage.stage.deps.recall else None
        query = searcher.queries[0]
        assert (query.limit, query.threshold, query.vector_weight, query.rerank) == (5, 0.5, 0.75, "none")
        _, page = await stage.ask(
            "POST", f"/v1/vector_stores/{store.id}/search", json={"query": "cat", "max_num_results": 1}
        )
        assert (page["object"], page["search_query"]) == ("vector_store.search_results.page", ["cat"])
        assert (len(page["data"]), page["has_more"], page["next_page"]) == (1, False, None)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": []}, "query"),
        ({"max_num_results": 0}, "max_num_results"),
        ({"max_num_results": 51}, "max_num_results"),
        ({"ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
        (
            {"ranking_options": {"hybrid_search": {"embedding_weight": 0, "text_weight": 0}}},
            "ranking_options.hybrid_search",
        ),
        ({"filters": {"type": "near", "key": "a", "value": 1}}, "filters.type"),
        ({"filters": []}, "filters"),
    ],
)
async def test_a_wrong_field_of_a_search_is_named(tmp_path: Path, change: Any, param: str) -> None:
    async with open_knowledge_stage(tmp_path) as stage, stage.stage.openai() as client:
        store = await client.vector_stores.create(name="a")
        body = {"query": "cat", **change}
        status, answer = await stage.ask("POST", f"/v1/vector_stores/{store.id}/search", json=body)

    assert (status, answer["error"]["param"]) == (400, param)
