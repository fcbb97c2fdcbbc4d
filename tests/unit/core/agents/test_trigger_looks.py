"""Folders and collections compared with what was there: each difference starts its agent exactly once."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.agents.definition import Agent, Trigger
from runtime.core.agents.triggers import looking
from runtime.core.agents.triggers.looking import Looks, differences, read_folder
from runtime.core.agents.triggers.starts import Starts
from runtime.core.errors import Fault, NotFound, StoreFull
from runtime.core.ids import LOCAL_TENANT, CollectionId, DocumentId, TenantId
from runtime.core.knowledge import Document
from tests.kit.agent_home import AgentHome, agent_home

FOLDER_LIMIT = 3


class Shelf:
    """One collection, `letters`, and its documents."""

    def __init__(self) -> None:
        self.known: dict[str, Document] = {}

    def put(self, name: str, content: str) -> None:
        """Take in a document, in the place of one of the same name."""
        self.known = {key: each for key, each in self.known.items() if each.name != name}
        document = DocumentId(f"doc_{name}_{content}")
        self.known[document] = Document(
            id=document,
            collection=CollectionId("vs_1"),
            name=name,
            status="completed",
            content_hash=content,
            created_at=1.0,
            changed_at=1.0,
        )

    async def find_by_name(self, tenant: TenantId, name: str) -> Any:
        return self if name == "letters" else None

    async def find(self, tenant: TenantId, collection: CollectionId) -> Any:
        raise NotFound(Fault(code="not_found", message="There is no such collection."))

    @property
    def id(self) -> str:
        return "vs_1"

    async def list_all(self, *_: Any, after: DocumentId | None = None, **more: Any) -> Sequence[Document]:
        assert more["status"] == "completed", "what is not taken in yet is nobody's event"
        rest = sorted(each for each in self.known if after is None or each > after)
        return [self.known[each] for each in rest[:2]]


class Stage:
    def __init__(self, home: AgentHome, trigger: Trigger) -> None:
        self.home, self.trigger, self.shelf = home, trigger, Shelf()
        self.agent = Agent(name="scribe", triggers=(trigger,))
        self.looks = self.again()

    def again(self) -> Looks:
        home = self.home
        starts = Starts(
            home.starter, home.runs, home.records, home.sessions, home.clock, lambda fact, tenant, run: None
        )
        return Looks(home.records, starts, self.shelf, self.shelf, home.clock)  # type: ignore[arg-type]  # what is asked of it

    @property
    def texts(self) -> list[str]:
        return [fake.new.input[0].text for fake in self.home.runs.runs.values()]  # type: ignore[union-attr]  # messages

    async def begin(self, *, anew: bool = False) -> bool:
        return await self.looks.begin(LOCAL_TENANT, self.agent, self.trigger, anew=anew)

    async def tell(self) -> None:
        self.home.clock.advance(10.0)
        await self.looks.tell(LOCAL_TENANT, self.agent, self.trigger, "+heard")


@asynccontextmanager
async def staged(folder: Path, trigger: Trigger) -> AsyncIterator[Stage]:
    async with anyio.create_task_group() as tasks:
        stage = Stage(agent_home(folder / "home", tasks), trigger)
        await stage.home.book.create(LOCAL_TENANT, stage.agent)
        yield stage
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def watching(folder: Path) -> AsyncIterator[tuple[Stage, Path]]:
    inbox = anyio.Path(folder / "inbox")
    await inbox.mkdir()
    async with staged(folder, Trigger(files=str(inbox))) as stage:
        assert not await stage.begin()
        yield stage, Path(inbox)


async def test_a_difference_is_told_once_and_what_came_and_went_is_none(tmp_path: Path) -> None:
    async with watching(tmp_path) as (stage, inbox):
        await anyio.Path(inbox / "a.txt").write_text("a")
        assert await stage.begin()
        await stage.tell()
        await stage.tell()
        assert not await stage.begin()

        await anyio.Path(inbox / "b.txt").write_text("b")
        await anyio.Path(inbox / "b.txt").unlink()
        await stage.tell()

        assert stage.texts == ["+a.txt"]


async def test_what_a_killed_server_did_not_tell_is_told_by_the_next(tmp_path: Path) -> None:
    async with watching(tmp_path) as (stage, inbox):
        await anyio.Path(inbox / "a.txt").write_text("a")
        stage.looks = stage.again()

        assert await stage.begin()
        await stage.tell()

        assert stage.texts == ["+a.txt"]


@pytest.mark.parametrize("is_started", [False, True])
async def test_a_start_that_was_noted_is_made_exactly_once(tmp_path: Path, is_started: bool) -> None:
    async with watching(tmp_path) as (stage, inbox):
        await anyio.Path(inbox / "a.txt").write_text("a")
        stage.looks._finish = killed  # type: ignore[method-assign, assignment]  # the crash
        with pytest.raises(KeyboardInterrupt):
            await stage.tell()
        if is_started:  # the run was there, and nothing could be noted any more
            look = await stage.looks._stored(LOCAL_TENANT, stage.agent, stage.trigger)
            assert look is not None
            await stage.again()._starts.start(
                LOCAL_TENANT, stage.agent, stage.trigger, look.event, look.start
            )
        await anyio.Path(inbox / "b.txt").write_text("b")
        stage.looks = stage.again()

        assert await stage.begin()
        await stage.tell()

        assert stage.texts == ["+a.txt", "+b.txt"]


async def killed(*_: object) -> None:
    raise KeyboardInterrupt


async def test_a_store_that_is_full_loses_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(tmp_path) as (stage, inbox):
        await anyio.Path(inbox / "a.txt").write_text("a")
        with monkeypatch.context() as patched:
            patched.setattr(stage.home.records, "put", full)
            with pytest.raises(StoreFull):
                await stage.tell()
        await stage.tell()

        assert stage.texts == ["+a.txt"]


async def full(*_: object, **__: object) -> None:
    raise StoreFull(Fault(code="store_full", message="The disk is full."))


async def test_what_changed_while_an_agent_was_paused_starts_nothing(tmp_path: Path) -> None:
    async with watching(tmp_path) as (stage, inbox):
        await anyio.Path(inbox / "a.txt").write_text("a")

        assert not await stage.begin(anew=True)
        await stage.tell()

        assert stage.texts == []


async def test_of_a_folder_that_is_too_large_only_what_was_heard_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MOST_THINGS", FOLDER_LIMIT)
    async with watching(tmp_path) as (stage, inbox):
        for number in range(FOLDER_LIMIT + 1):
            await anyio.Path(inbox / f"{number}.txt").write_text("")

        assert not await stage.begin()
        await stage.tell()

        assert stage.texts == ["+heard"]


async def test_documents_are_told_by_name_and_one_that_replaces_another_is_a_change(tmp_path: Path) -> None:
    async with staged(tmp_path, Trigger(collection="letters")) as stage:
        for number in range(5):
            stage.shelf.put(f"{number}.txt", "old")
        assert not await stage.begin()

        stage.shelf.put("3.txt", "new")
        stage.shelf.put("9.txt", "new")
        del stage.shelf.known[DocumentId("doc_0.txt_old")]
        assert await stage.begin()
        await stage.tell()

        assert stage.texts == ["+3.txt, +9.txt, -0.txt"]


def test_a_folder_is_read_as_it_is_watched(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    (tmp_path / "sub" / "a.txt").write_text("a")
    (tmp_path / "sub" / ".git" / "index").write_text("not told of")
    (tmp_path / "loop").symlink_to(tmp_path / "nowhere")

    assert set(read_folder(str(tmp_path)) or {}) == {"sub/a.txt"}
    assert read_folder(str(tmp_path / "gone")) is None


STATES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1", "2"]))


@given(STATES, STATES)
def test_differences_are_there_exactly_where_the_states_differ(
    before: dict[str, str], after: dict[str, str]
) -> None:
    told = differences(
        {name: (stamp, name) for name, stamp in before.items()},
        {name: (stamp, name) for name, stamp in after.items()},
    )

    assert {each[1:] for each in told} == {
        name for name in {*before, *after} if before.get(name) != after.get(name)
    }
    assert all((each[0] == "+") is (each[1:] in after) for each in told)
