"""Recall as one caller may reach it: policies about one collection hold whatever way leads there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from runtime.core.errors import NotFound, PolicyDenied
from runtime.core.gate.principals import OWNER
from runtime.core.gate.words import Answer
from runtime.core.guarding.recall import guard
from runtime.core.ids import LOCAL_TENANT, CollectionId
from runtime.core.knowledge import (
    Collection,
    CollectionChange,
    Document,
    NewCollection,
    NewDocument,
    NewSource,
    Query,
    StoredFile,
)
from runtime.core.memories import ItemQuery
from runtime.core.recall import Recall
from runtime.core.tools import Caller
from tests.kit.clock import FakeClock
from tests.kit.fake_recall import fake_recall
from tests.kit.gate import USER, GateStage

T = LOCAL_TENANT
CALLER = Caller(principal=USER, door="agent", agent="clerk")
CLOSED = (
    '@id("diary-closed") @reason("The diary is closed.") '
    'forbid (principal, action in [Action::"recall_read", Action::"recall_write"], '
    'resource == Collection::"diary");'
)
ASKED = (
    '@id("diary-asked") @outcome("ask") @reason("Somebody must agree.") '
    'permit (principal, action == Action::"recall_read", resource == Collection::"diary");'
)
FROZEN = (
    '@id("frozen") @reason("Nothing changes.") '
    'forbid (principal, action == Action::"recall_write", resource);'
)
ONLY_NOTES = (
    '@id("only-notes") @reason("Only notes.") forbid (principal, action == Action::"recall_read", resource) '
    'unless { resource.name == "notes" };'
)


class Shelf(NamedTuple):
    """Two collections with a document each, and the file that lies in the diary alone."""

    recall: Recall
    notes: Collection
    diary: Collection
    secret: Document
    file: StoredFile


async def content() -> AsyncIterator[bytes]:
    yield b"the secret tea"


@pytest.fixture
async def shelf(tmp_path: Path, clock: FakeClock) -> Shelf:
    recall, _ = fake_recall(tmp_path / "recall", clock)
    notes = await recall.collections.create(T, NewCollection(name="notes"))
    diary = await recall.collections.create(T, NewCollection(name="diary"))
    await recall.documents.add(T, notes.id, [NewDocument(name="open.md", text="the open tea")])
    file = await recall.files.add(T, "secret.txt", "assistants", content())
    _, (secret,) = await recall.documents.add(T, diary.id, [NewDocument(name="secret.txt", file=file.id)])
    await recall.sources.add(T, diary.id, NewSource(uri="https://diary.test/"))
    return Shelf(recall, notes, diary, secret, file)


Way = Callable[[Recall, Shelf], Awaitable[object]]
WAYS: dict[str, Way] = {
    "its name": lambda view, shelf: view.collections.find_by_name(T, "diary"),
    "its id": lambda view, shelf: view.collections.find(T, shelf.diary.id),
    "a search": lambda view, shelf: view.searcher.search(T, Query(text="tea", collections=(shelf.diary.id,))),
    "its documents": lambda view, shelf: view.documents.list_all(T, shelf.diary.id),
    "a document's name": lambda view, shelf: view.documents.find_by_name(T, shelf.diary.id, "secret.txt"),
    "a document": lambda view, shelf: view.documents.find(T, shelf.secret.id),
    "a text": lambda view, shelf: view.documents.text(T, shelf.secret.id),
    "the bytes": lambda view, shelf: view.documents.path(T, shelf.secret.id),
    "the chunks": lambda view, shelf: view.documents.chunks(T, shelf.secret.id),
    "its sources": lambda view, shelf: view.sources.list_all(T, shelf.diary.id),
    "its file": lambda view, shelf: view.files.path(T, shelf.file.id),
    "a new document": lambda view, shelf: view.documents.add(
        T, shelf.diary.id, [NewDocument(name="a", text="b")]
    ),
    "a removal": lambda view, shelf: view.documents.remove(T, shelf.secret.id),
    "its own removal": lambda view, shelf: view.collections.remove(T, shelf.diary.id),
    "another name": lambda view, shelf: view.collections.change(
        T, shelf.diary.id, CollectionChange(name="mine")
    ),
    "a name that is taken over": lambda view, shelf: view.collections.change(
        T, shelf.notes.id, CollectionChange(name="diary")
    ),
    "a new one of this name": lambda view, shelf: view.collections.create(T, NewCollection(name="diary")),
    "a new source": lambda view, shelf: view.sources.add(
        T, shelf.diary.id, NewSource(uri="https://other.test/")
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_changing", [False, True])
async def test_no_way_leads_into_a_closed_collection(shelf: Shelf, way: str, is_changing: bool) -> None:
    view = guard(shelf.recall, GateStage(CLOSED).gate, CALLER, is_changing=is_changing)

    with pytest.raises(PolicyDenied):
        await WAYS[way](view, shelf)

    assert (await shelf.recall.documents.find(T, shelf.secret.id)).name == "secret.txt"
    assert (await shelf.recall.collections.find(T, shelf.diary.id)).name == "diary"


async def test_a_closed_source_cannot_be_used(shelf: Shelf) -> None:
    view = guard(shelf.recall, GateStage(CLOSED).gate, CALLER)
    (source,) = await shelf.recall.sources.list_all(T)

    assert await view.sources.list_all(T) == []
    for way in (view.sources.find, view.sources.sync):
        with pytest.raises(PolicyDenied, match=r"The diary is closed\."):
            await way(T, source.id)


async def test_a_search_over_all_leaves_out_what_is_closed_and_says_so(shelf: Shelf) -> None:
    view = guard(shelf.recall, GateStage(CLOSED).gate, CALLER)

    assert [each.name for each in await view.collections.list_all(T)] == ["notes"]
    both = Query(text="tea", collections=(shelf.notes.id, shelf.diary.id))
    found = await view.searcher.search(T, both)
    assert [each.document.name for each in found.hits] == ["open.md"]
    assert found.notes[-1].startswith("1 collection was left out")
    assert "diary" not in found.notes[-1]


async def test_only_what_policies_open_is_searched(shelf: Shelf) -> None:
    gate = GateStage(ONLY_NOTES)
    view = guard(shelf.recall, gate.gate, CALLER)

    found = await view.searcher.search(T, Query(text="tea", collections=(shelf.notes.id, shelf.diary.id)))
    assert [each.document.name for each in found.hits] == ["open.md"]
    with pytest.raises(PolicyDenied, match=r"Only notes\."):
        await view.memories.list_all(T, ItemQuery())


async def test_a_named_collection_waits_for_a_person_and_a_search_over_all_does_not(shelf: Shelf) -> None:
    gate = GateStage(ASKED)
    view = guard(shelf.recall, gate.gate, CALLER)

    found = await view.searcher.search(T, Query(text="tea", collections=(shelf.notes.id, shelf.diary.id)))
    assert found.notes[-1].startswith("1 collection was left out")
    assert gate.desk.list_approvals(OWNER.tenant, "pending") == []

    with pytest.raises(PolicyDenied, match="A person has been asked"):
        await view.collections.find_by_name(T, "diary")
    await gate.desk.answer(OWNER.tenant, gate.pending().id, Answer(is_approved=True), "owner")

    text = await view.documents.text(T, shelf.secret.id)
    assert text == "the secret tea"
    assert await view.documents.chunks(T, shelf.secret.id)  # one yes is enough for all of one request


async def test_what_is_read_passes_where_only_changes_are_forbidden(shelf: Shelf) -> None:
    view = guard(shelf.recall, GateStage(FROZEN).gate, CALLER)

    assert await view.documents.text(T, shelf.secret.id) == "the secret tea"
    assert (await view.files.path(T, shelf.file.id)).read_bytes() == b"the secret tea"
    with pytest.raises(PolicyDenied, match=r"Nothing changes\."):
        await view.documents.remove(T, shelf.secret.id)
    with pytest.raises(PolicyDenied, match=r"Nothing changes\."):
        await view.files.remove(T, shelf.file.id)
    with pytest.raises(PolicyDenied, match=r"Nothing changes\."):
        await view.memories.consolidate(T)


async def test_a_file_that_lies_in_an_open_collection_too_is_handed_out(shelf: Shelf) -> None:
    await shelf.recall.documents.add(T, shelf.notes.id, [NewDocument(name="copy.txt", file=shelf.file.id)])
    view = guard(shelf.recall, GateStage(CLOSED).gate, CALLER)

    assert (await view.files.path(T, shelf.file.id)).read_bytes() == b"the secret tea"


async def test_decisions_tell_the_collection_and_who_asks(shelf: Shelf) -> None:
    gate = GateStage()
    view = guard(shelf.recall, gate.gate, CALLER)
    await view.documents.text(T, shelf.secret.id)
    await view.documents.chunks(T, shelf.secret.id)

    (fact,) = gate.facts
    told = {"resource": "diary", "action": "recall_read", "agent": "clerk", "door": "agent"}
    assert told.items() <= {name: getattr(fact, name) for name in told}.items()
    assert fact.attributes["id"] == shelf.diary.id  # type: ignore[attr-defined]  # a gate.decided


async def test_what_is_not_there_is_not_there(shelf: Shelf) -> None:
    view = guard(shelf.recall, GateStage(CLOSED).gate, CALLER)

    assert await view.collections.find_by_name(T, "none") is None
    with pytest.raises(NotFound):
        await view.collections.find(T, CollectionId("vs_none"))


def test_without_policies_recall_is_as_it_is(tmp_path: Path, clock: FakeClock) -> None:
    recall, _ = fake_recall(tmp_path, clock)

    assert guard(recall, None, CALLER) is recall
