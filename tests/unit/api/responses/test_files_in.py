"""Files within a request: pictures by their bytes, documents by their text, and nothing that is fetched."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from runtime.api.errors import Refused
from runtime.api.responses.files_in import InputFiles
from runtime.api.responses.item_bodies import InputFile, InputImage
from runtime.core.agents.items import Document, Picture
from runtime.core.errors import Fault
from runtime.core.ids import LOCAL_TENANT, FileId, TenantId
from runtime.core.recall import Files
from tests.kit.clock import FakeClock
from tests.kit.fake_recall import fake_recall
from tests.unit.api.responses.samples import PNG, PNG_URL


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return fake_recall(tmp_path, FakeClock())[0].files


async def _stored(files: Files, name: str, content: bytes, *, media_type: str | None = None) -> FileId:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    stored = await files.add(LOCAL_TENANT, name, "user_data", pieces(), media_type=media_type)
    return stored.id


async def _read(path: Path, name: str, media_type: str | None) -> str | Fault:
    content = await anyio.Path(path).read_bytes()
    if content == b"broken":
        return Fault(code="invalid_request", message="It is damaged.")
    return f"{name} ({media_type}): {len(content)} bytes"


async def test_a_picture_is_its_bytes_or_the_id_of_a_file(files: Files) -> None:
    stored = await _stored(files, "a.png", PNG)
    reader = InputFiles(files, LOCAL_TENANT, None)

    assert await reader.picture(InputImage(image_url=PNG_URL, detail="high"), "p") == Picture(
        data=PNG, detail="high"
    )
    assert await reader.picture(InputImage(file_id=stored), "p") == Picture(file_id=stored)


async def test_a_file_that_is_no_picture_is_refused_as_one(files: Files) -> None:
    stored = await _stored(files, "a.txt", b"Hello")

    with pytest.raises(Refused) as refused:
        await InputFiles(files, LOCAL_TENANT, None).picture(InputImage(file_id=stored), "p")

    assert (refused.value.refusal.code, refused.value.refusal.param) == ("invalid_image_format", "p.file_id")


async def test_text_is_read_at_once_and_other_documents_by_who_can(files: Files) -> None:
    text = await _stored(files, "a.txt", b"\xef\xbb\xbfHello", media_type="text/plain")
    paper = await _stored(files, "a.pdf", b"%PDF", media_type="application/pdf")
    reader = InputFiles(files, LOCAL_TENANT, _read)

    assert await reader.document(InputFile(file_id=text), "p") == Document(
        filename="a.txt", file_id=text, text="Hello"
    )
    assert (await reader.document(InputFile(file_id=paper), "p")).text == "a.pdf (application/pdf): 4 bytes"


async def test_a_document_may_come_with_the_request() -> None:
    reader = InputFiles(None, LOCAL_TENANT, _read)
    coded = base64.b64encode(b"%PDF").decode()
    plain = f"data:text/plain;charset=utf-8;base64,{base64.b64encode('Grüße'.encode()).decode()}"

    given = await reader.document(InputFile(file_data=plain, filename="a.txt"), "p")
    paper = await reader.document(InputFile(file_data=f"data:application/pdf;base64,{coded}"), "p")
    bare = await reader.document(InputFile(file_data=coded, filename="a.pdf"), "p")

    assert given == Document(filename="a.txt", data=plain, text="Grüße")
    assert paper.text == "document (application/pdf): 4 bytes"
    assert bare.text == "a.pdf (None): 4 bytes"


@pytest.mark.parametrize(
    ("part", "code", "param"),
    [
        (InputFile(), "missing_required_parameter", "p.file_id"),
        (InputFile(file_url="https://example.org"), "invalid_file_url", "p.file_url"),
        (InputFile(file_id="file-none"), "file_not_found", "p.file_id"),
        (InputFile(file_data="%%%"), "invalid_base64_file", "p.file_data"),
        (InputFile(file_data="data:text/plain;base64,/w=="), "unsupported_file", "p.file_data"),
        (InputFile(file_data=base64.b64encode(b"broken").decode()), "unsupported_file", "p.file_data"),
    ],
)
async def test_a_document_that_cannot_be_read_is_refused_by_its_field(
    files: Files, part: InputFile, code: str, param: str
) -> None:
    with pytest.raises(Refused) as refused:
        await InputFiles(files, LOCAL_TENANT, _read).document(part, "p")

    assert (refused.value.refusal.code, refused.value.refusal.param) == (code, param)


async def test_files_of_another_tenant_and_records_of_lar_are_not_there(files: Files) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}"

    stored = await _stored(files, "a.txt", b"Hello", media_type="text/plain")
    record = await files.add(LOCAL_TENANT, "batch", "lar:batch", pieces(), media_type="application/json")

    for tenant, file in ((TenantId("other"), stored), (LOCAL_TENANT, record.id)):
        with pytest.raises(Refused, match="No such File object"):
            await InputFiles(files, tenant, _read).document(InputFile(file_id=file), "p")


async def test_a_server_without_readers_says_so() -> None:
    part = InputFile(file_data=base64.b64encode(b"%PDF").decode())

    with pytest.raises(Refused, match="without readers"):
        await InputFiles(None, LOCAL_TENANT, None).document(part, "p")
