"""Links to documents and pictures: what is asked before one is followed, and what comes of it."""

from pathlib import Path

import anyio
import pytest

from runtime.api.errors import Refused
from runtime.api.responses.files_in import InputFiles
from runtime.api.responses.item_bodies import InputFile, InputImage
from runtime.api.responses.links_in import follow_links
from runtime.core.agents.items import Picture
from runtime.core.fetching import Fetched, FetchFault, FetchRequest
from runtime.core.gate.principals import OWNER
from runtime.core.gate.words import Question, Ruling
from runtime.core.ids import LOCAL_TENANT
from tests.kit.eye_gguf import png


class FakePlaces:
    """Hands out one document, or a fault."""

    def __init__(self, answer: FetchFault | bytes | None) -> None:
        self.answer = answer
        self.asked: list[FetchRequest] = []

    async def fetch(self, request: FetchRequest, folder: Path) -> Fetched | FetchFault:
        self.asked.append(request)
        if isinstance(self.answer, FetchFault):
            return self.answer
        if self.answer is None:
            return Fetched(status="gone", url=request.url)
        body = folder / "body"
        await anyio.Path(body).write_bytes(self.answer)
        return Fetched(status="ok", url="https://x.org/a%20b.txt", media_type="text/plain", body=body)


class FakeGate:
    """Lets hosts be reached, or not."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.asked: list[Question] = []

    async def rule(self, question: Question) -> Ruling:
        self.asked.append(question)
        return Ruling(outcome="allow" if self.is_open else "deny", reason="not you")


async def _document(places: FakePlaces, gate: FakeGate, url: str = "https://x.org/a.txt") -> object:
    fetch = follow_links(places, gate, OWNER)  # type: ignore[arg-type]  # as much of both as is asked
    return await InputFiles(None, LOCAL_TENANT, None, fetch).document(InputFile(file_url=url), "p")


async def test_a_link_that_may_be_followed_becomes_a_document_with_its_text() -> None:
    places, gate = FakePlaces(b"Hello"), FakeGate()

    document = await _document(places, gate)

    assert getattr(document, "text", "") == "Hello"
    assert getattr(document, "filename", "") == "a b.txt"
    assert getattr(document, "url", "") == "https://x.org/a.txt"
    [question] = gate.asked
    assert (question.action, question.resource.id) == ("connect", "x.org:443")


async def _picture(places: FakePlaces, gate: FakeGate, url: str = "https://x.org/a.png") -> Picture:
    fetch = follow_links(places, gate, OWNER)  # type: ignore[arg-type]  # as much of both as is asked
    return await InputFiles(None, LOCAL_TENANT, None, fetch).picture(InputImage(image_url=url), "p")


async def test_a_link_that_may_be_followed_becomes_a_picture_that_is_shown_by_its_link() -> None:
    content = png((255, 0, 0))

    picture = await _picture(FakePlaces(content), FakeGate(), "HTTPS://x.org/a.png")

    assert (picture.data, picture.url, picture.file_id) == (content, "HTTPS://x.org/a.png", None)


@pytest.mark.parametrize(
    ("answer", "is_open", "code"),
    [
        (b"<html>", True, "invalid_image_format"),
        (png((0, 0, 0))[:20], True, "image_parse_error"),
        (None, True, "failed_to_download_image"),
        (FetchFault(code="refused", message="It is a private address."), True, "failed_to_download_image"),
        (b"", False, "failed_to_download_image"),
    ],
)
async def test_a_picture_that_cannot_be_had_is_refused_with_its_field(
    answer: bytes | FetchFault | None, is_open: bool, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        await _picture(FakePlaces(answer), FakeGate(is_open=is_open))

    assert (refused.value.refusal.code, refused.value.refusal.param) == (code, "p.image_url")


@pytest.mark.parametrize(
    "url", ["ftp://x.org/a", "file:///etc/passwd", "x", "http://", "http://x:0/", "http://[/"]
)
async def test_what_is_no_link_is_never_fetched(url: str) -> None:
    places = FakePlaces(b"")

    with pytest.raises(Refused, match=r"p\.file_url"):
        await _document(places, FakeGate(), url)
    assert places.asked == []


async def test_what_the_policies_forbid_is_never_fetched() -> None:
    places = FakePlaces(b"")

    with pytest.raises(Refused, match="may not be reached: not you"):
        await _document(places, FakeGate(is_open=False))
    assert places.asked == []


@pytest.mark.parametrize("answer", [FetchFault(code="refused", message="It is a private address."), None])
async def test_what_could_not_be_had_is_refused_with_cause_and_fix(answer: FetchFault | None) -> None:
    with pytest.raises(Refused, match="cannot be fetched") as refused:
        await _document(FakePlaces(answer), FakeGate())

    refusal = refused.value.refusal
    assert (refusal.code, refusal.param) == ("invalid_file_url", "p.file_url")
    assert "/v1/files" in refusal.message
