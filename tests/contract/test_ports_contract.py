"""What each journal, model pool and model library must do, asked of fakes and of the real things alike."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from runtime.backends.connection import WorkerSpec
from runtime.backends.install import Installer
from runtime.backends.library import Library
from runtime.backends.pool import Pool
from runtime.backends.protocol import Tuning
from runtime.backends.shelf import Shelf
from runtime.backends.supervisor import Supervisor
from runtime.backends.tuning import Machine
from runtime.core.clock import SystemClock
from runtime.core.errors import ModelUnavailable
from runtime.core.events import Envelope, RunQueued, SeqDelta
from runtime.core.ids import ModelId, RunId
from runtime.core.messages import Began, ChatRequest, Delta, Ended, Message
from runtime.core.ports import EventQuery, Journal, ModelPool, Models
from runtime.core.settings import BackendSettings, ModelsSettings
from runtime.recall.database import open_database
from runtime.recall.journal import MIGRATIONS, DuckJournal
from tests.kit.fake_models import FakeJournal, FakeModels, known_model
from tests.kit.fake_pool import FakePool, saying

SCRIPTED = ModelId("scripted")
ASKED = ChatRequest(model=SCRIPTED, messages=(Message(role="user", content="[[say: Hello there]]"),))
LONG = ChatRequest(model=SCRIPTED, messages=(Message(role="user", content="[[long: 3000]]"),))


# ---- journal


@pytest.fixture(params=["fake", "duckdb"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    if request.param == "fake":
        yield FakeJournal()
    else:
        async with open_database(tmp_path / "lar.duckdb", MIGRATIONS) as database:
            yield DuckJournal(database)


async def test_a_journal_gives_back_what_it_took_narrowed_as_asked(journal: Journal) -> None:
    first, second = RunId("run_1"), RunId("run_2")
    stored = [
        Envelope(seq=2, at=1.0, event=RunQueued(position=1), run_id=first),
        Envelope(seq=5, at=2.0, event=SeqDelta(index=0, text="x", tokens=1), run_id=first, cause=2),
        Envelope(seq=6, at=3.0, event=RunQueued(position=2), run_id=second),
    ]
    assert await journal.last_seq() == 0

    await journal.append(stored[:1])
    await journal.append(stored[1:])

    assert await journal.last_seq() == 6
    assert [await journal.seq_before_newest(count) for count in (0, 1, 2, 3, 9)] == [6, 5, 2, 0, 0]
    assert await journal.read(EventQuery()) == stored
    assert await journal.read(EventQuery(after=2, limit=1)) == stored[1:2]
    assert await journal.read(EventQuery(run_id=second)) == stored[2:]
    assert await journal.read(EventQuery(kinds=frozenset({"run.*"}))) == [stored[0], stored[2]]
    assert await journal.read(EventQuery(kinds=frozenset({"seq.delta"}))) == stored[1:2]


# ---- pool


@asynccontextmanager
async def open_pool() -> AsyncIterator[Pool]:
    def find_spec(model: ModelId, share: int) -> WorkerSpec:
        return WorkerSpec(
            model=model,
            engine="scripted",
            python=sys.executable,
            path=None,
            tuning=Tuning(),
            load_deadline_s=20,
        )

    async with anyio.create_task_group() as tasks:
        settings, clock = BackendSettings(), SystemClock()
        pool = Pool(
            supervisor=Supervisor(settings, lambda fact: None, clock, os.environ),
            find_spec=find_spec,
            publish=lambda fact: None,
            clock=clock,
            tasks=tasks,
            settings=ModelsSettings(),
        )
        yield pool
        await pool.aclose()
        tasks.cancel_scope.cancel()


@pytest.fixture(params=["fake", "workers"])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[ModelPool]:
    if request.param == "fake":
        fake = FakePool()
        fake.play(saying("Hello", " there"))
        yield fake
    else:
        async with open_pool() as real:
            yield real


async def test_a_generation_begins_says_something_and_ends(pool: ModelPool) -> None:
    async with pool.lease(SCRIPTED) as lease, lease.generate(ASKED, 0) as generation:
        outputs = [output async for output in generation]

    assert isinstance(outputs[0], Began)
    assert "".join(each.text for each in outputs if isinstance(each, Delta)) == "Hello there"
    assert isinstance(outputs[-1], Ended)
    assert outputs[-1].usage.completion_tokens == sum(
        each.tokens for each in outputs if isinstance(each, Delta)
    )


async def test_a_cancelled_generation_ends_as_cancelled(pool: ModelPool) -> None:
    async with pool.lease(SCRIPTED) as lease, lease.generate(LONG, 0) as generation:
        generation.cancel()
        outputs = [output async for output in generation]

    assert isinstance(outputs[-1], Ended)
    assert outputs[-1].reason == "cancelled"


async def test_several_leases_share_one_worker(pool: ModelPool) -> None:
    async with pool.lease(SCRIPTED) as first, pool.lease(SCRIPTED) as second:
        assert first.worker == second.worker


# ---- library


@asynccontextmanager
async def open_library(home: Path) -> AsyncIterator[Library]:
    async with open_pool() as pool, anyio.create_task_group() as tasks:
        clock = SystemClock()
        installer = Installer(home, BackendSettings(), lambda fact: None, clock)
        await installer.refresh()
        shelf = Shelf(
            installer=installer,
            own={},
            settings=ModelsSettings(default=SCRIPTED),
            folder=home,
            machine=Machine(cores=2, memory_bytes=0, disk_free_bytes=0),
            is_scripted=True,
        )
        yield Library(
            shelf=shelf,
            pool=pool,
            installer=installer,
            publish=lambda fact: None,
            clock=clock,
            tasks=tasks,
            load_of=lambda model: (0, 0),
            default=SCRIPTED,
        )
        tasks.cancel_scope.cancel()


@pytest.fixture(params=["fake", "library"])
async def models(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Models]:
    if request.param == "fake":
        yield FakeModels(
            known_model("scripted", "installed"), known_model("smollm2-135m-instruct", "available")
        )
    else:
        async with open_library(tmp_path) as library:
            yield library


async def test_models_are_listed_and_found_by_id(models: Models) -> None:
    listed = models.list_models()

    assert listed[0].id == "scripted"
    assert "smollm2-135m-instruct" in [each.id for each in listed[1:]]
    assert models.find_model(SCRIPTED) == listed[0]
    assert listed[0].stage == "installed"
    assert listed[1].stage == "available"
    assert models.find_model(ModelId("nothing")) is None


async def test_unknown_models_are_refused_by_name(models: Models) -> None:
    with pytest.raises(ModelUnavailable, match="nothing"):
        models.start_install(ModelId("nothing"))
    with pytest.raises(ModelUnavailable, match="nothing"):
        await models.unload(ModelId("nothing"))


async def test_unloading_what_is_not_in_memory_changes_nothing(models: Models) -> None:
    assert await models.unload(SCRIPTED) is False
    assert models.find_model(SCRIPTED) == models.list_models()[0]


async def test_an_install_shows_as_installing_at_once(models: Models) -> None:
    state = models.start_install(ModelId("smollm2-135m-instruct"))

    assert state.stage == "installing"
    listed = {each.id: each.stage for each in models.list_models()}
    assert listed[ModelId("smollm2-135m-instruct")] == "installing"
