"""The stage of vectors: an embedder that is away, hangs, dies or gives nonsense; fairness; bounds."""

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import anyio
import numpy as np
import pytest

from runtime.core.errors import Fault, ModelUnavailable, RequestInvalid
from runtime.core.ids import LOCAL_TENANT, ModelId, TenantId
from runtime.core.knowledge import Job
from runtime.recall.ingest.ingestion import Pace
from runtime.recall.ingest.lane import OPEN_UNITS, Patience
from runtime.recall.ingest.units import Size
from tests.kit.clock import FakeClock
from tests.kit.embedder import MODEL, WordEmbedder, vector_of
from tests.kit.ingest_stage import Stage, open_stage, text

AWAY = ModelUnavailable(Fault(code="model_installing", message="It is being installed (34 %)."))
REFUSED = RequestInvalid(Fault(code="invalid_request", message="I do not read this."))


class TwistedEmbedder(WordEmbedder):
    """Gives other vectors where a text says so."""

    async def embed(
        self, model: ModelId, texts: Sequence[str], *, dimensions: int | None, is_background: bool
    ) -> list[bytes]:
        vectors = await super().embed(model, texts, dimensions=dimensions, is_background=is_background)
        return [_twisted(each, vector) for each, vector in zip(texts, vectors, strict=True)]


def _twisted(text: str, vector: bytes) -> bytes:
    if "nan" in text:
        return struct.pack("<64f", math.nan, *[0.0] * 63)
    if "zero" in text:
        return bytes(len(vector))
    if "short" in text:
        return vector[:128]
    return vector


async def _held(stage: Stage, job: Job) -> Job:
    """Return the job once something holds it up."""
    while True:
        found = await stage.ingestion.jobs.find(LOCAL_TENANT, job.id)
        if found.note is not None:
            return found
        await anyio.lowlevel.checkpoint()


async def test_vectors_are_stored_as_unit_vectors_of_half_precision(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        await stage.taken_in(text("a.txt", "apples and pears"))

        ((stored, dimensions),) = await stage.truth.read(
            "SELECT v.e, s.dimensions FROM vector v JOIN space s ON s.id = v.space"
        )
        numbers = np.frombuffer(stored, "<f2").astype(np.float32)
        expected = np.frombuffer(vector_of("apples and pears"), "<f4")
        assert dimensions == len(numbers) == 64
        assert float(numbers @ expected) == pytest.approx(1.0, abs=1e-3)


async def test_without_its_model_words_are_found_and_the_rest_comes_by_itself(tmp_path: Path) -> None:
    is_there = False

    async def _before(texts: Sequence[str]) -> None:
        if not is_there:
            raise AWAY

    async with open_stage(tmp_path, embedder=WordEmbedder(before=_before)) as stage:
        job, (document,) = await stage.add(text("a.txt", "apples", "pears"))
        held = await _held(stage, job)
        assert held.note is not None
        assert "34 %" in held.note
        assert held.status == "running"
        assert (await stage.ingestion.documents.find(LOCAL_TENANT, document.id)).status == "in_progress"
        assert await stage.count("chunk") == 2

        is_there = True
        ended = await stage.over(job)
        assert (ended.done, ended.failed, ended.note) == (1, 0, None)
        await stage.check()


async def test_rests_grow_longer_and_are_bounded(tmp_path: Path) -> None:
    patience = Patience(first_rest_s=0.001, longest_rest_s=0.004, batch_limit_s=5)

    async def _before(texts: Sequence[str]) -> None:
        if len(embedder.batches) <= 12:
            raise AWAY

    embedder = WordEmbedder(before=_before)
    async with open_stage(tmp_path, embedder=embedder, pace=Pace(patience=patience)) as stage:
        assert (await stage.taken_in(text("a.txt", "apples")))[0].done == 1


async def test_documents_of_a_model_that_stays_away_end_with_their_words_and_a_note(tmp_path: Path) -> None:
    clock, embedder = FakeClock(), WordEmbedder(installed=())
    patience = Patience(first_rest_s=0.001, longest_rest_s=0.002, absent_limit_s=60)
    async with open_stage(tmp_path, embedder=embedder, clock=clock, pace=Pace(patience=patience)) as stage:
        job, (first, second) = await stage.add(text("a.txt", "apples", "pears"), text("b.txt", "plums"))
        await _held(stage, job)
        assert (await stage.ingestion.documents.find(LOCAL_TENANT, first.id)).status == "in_progress"

        clock.advance(61)
        ended = await stage.over(job)
        assert (ended.status, ended.done, ended.failed) == ("completed", 2, 0)
        for each in (first, second):
            found = await stage.ingestion.documents.find(LOCAL_TENANT, each.id)
            assert found.status == "completed"
            assert "'words' is not installed" in found.notes[0]
        assert await stage.count("work") == await stage.count("vector") == 0

        # The model is given up already: who comes later waits no more than a rest.
        _, (third,) = await stage.taken_in(text("c.txt", "cherries"))
        assert third.notes

        embedder.installed.add(MODEL)
        while (await stage.ingestion.documents.find(LOCAL_TENANT, first.id)).notes:
            await anyio.lowlevel.checkpoint()
        assert await stage.count("vector") == 4
        await stage.check()
        assert (await stage.taken_in(text("d.txt", "figs")))[1][0].notes == ()


async def test_vectors_follow_after_a_restart_as_well(tmp_path: Path) -> None:
    pace = Pace(patience=Patience(first_rest_s=0.001, longest_rest_s=0.002, absent_limit_s=0))
    async with open_stage(tmp_path, embedder=WordEmbedder(installed=()), pace=pace) as stage:
        _, (document,) = await stage.taken_in(text("a.txt", "apples", "pears"))
        assert document.notes

    async with open_stage(tmp_path, pace=pace) as stage:
        while (await stage.ingestion.documents.find(LOCAL_TENANT, document.id)).notes:
            await anyio.lowlevel.checkpoint()
        assert await stage.count("vector") == 2
        await stage.check()


async def test_a_model_that_is_being_installed_is_waited_for_however_long(tmp_path: Path) -> None:
    clock = FakeClock()

    async def _before(texts: Sequence[str]) -> None:
        clock.advance(600)
        if len(embedder.batches) <= 5:
            raise AWAY

    embedder = WordEmbedder(before=_before)
    patience = Patience(first_rest_s=0.001, longest_rest_s=0.002)
    async with open_stage(tmp_path, embedder=embedder, clock=clock, pace=Pace(patience=patience)) as stage:
        _, (document,) = await stage.taken_in(text("a.txt", "apples"))
        assert document.notes == ()
        await stage.check()


async def test_a_text_that_the_model_refuses_fails_its_document_alone(tmp_path: Path) -> None:
    async def _before(texts: Sequence[str]) -> None:
        if any("poison" in each for each in texts):
            raise REFUSED

    async with open_stage(tmp_path, embedder=WordEmbedder(before=_before)) as stage:
        job, documents = await stage.taken_in(
            *(text(f"{index}.txt", "poison" if index == 7 else f"apple {index}") for index in range(20))
        )

        assert (job.done, job.failed) == (19, 1)
        assert documents[7].status == "failed"
        assert documents[7].fault is not None
        assert documents[7].fault.code == "embedding_failed"
        assert documents[7].fault.message == "I do not read this."
        assert await stage.count("chunk") == 20  # its words are found all the same
        await stage.check()


async def test_a_document_that_kills_the_model_fails_after_some_deaths(tmp_path: Path) -> None:
    async def _before(texts: Sequence[str]) -> None:
        if any("poison" in each for each in texts):
            raise ModelUnavailable(Fault(code="worker_died", message="The worker died."))

    async with open_stage(tmp_path, embedder=WordEmbedder(before=_before)) as stage:
        job, _ = await stage.taken_in(
            text("a.txt", "apples"), text("b.txt", "poison"), text("c.txt", "pears")
        )

        assert (job.done, job.failed) == (2, 1)
        await stage.check()


@pytest.mark.parametrize(
    ("word", "told"), [("nan", "NaN"), ("zero", "zeros"), ("short", "32 dimensions; those of")]
)
async def test_a_vector_that_is_none_fails_its_document_with_the_cause(
    tmp_path: Path, word: str, told: str
) -> None:
    async with open_stage(tmp_path, embedder=TwistedEmbedder()) as stage:
        await stage.taken_in(text("first.txt", "so that the dimensions are known"))
        job, (good, bad) = await stage.taken_in(text("a.txt", "apples"), text("b.txt", f"a {word} vector"))

        assert (job.done, job.failed, good.status) == (1, 1, "completed")
        assert bad.fault is not None
        assert bad.fault.code == "embedding_failed"
        assert told in bad.fault.message
        await stage.check()


async def test_an_embedder_that_breaks_its_word_does_not_stop_ingestion(tmp_path: Path) -> None:
    class _Short(WordEmbedder):
        async def embed(
            self, model: ModelId, texts: Sequence[str], *, dimensions: int | None, is_background: bool
        ) -> list[bytes]:
            vectors = await super().embed(model, texts, dimensions=dimensions, is_background=is_background)
            if any("raise" in each for each in texts):
                raise ZeroDivisionError
            return vectors[:-1] if any("few" in each for each in texts) else vectors

    async with open_stage(tmp_path, embedder=_Short()) as stage:
        job, _ = await stage.taken_in(
            text("a.txt", "few vectors"), text("b.txt", "raise hell"), text("c.txt", "pears")
        )
        assert (job.done, job.failed) == (1, 2)
        await stage.check()


async def test_cancelling_a_job_lets_go_of_an_embedder_that_hangs(tmp_path: Path) -> None:
    reached = anyio.Event()

    async def _hang(texts: Sequence[str]) -> None:
        if any("slow" in each for each in texts):
            reached.set()
            await anyio.sleep_forever()

    async with open_stage(tmp_path, embedder=WordEmbedder(before=_hang)) as stage:
        job, (document,) = await stage.add(text("a.txt", "slow"))
        await reached.wait()
        other, _ = await stage.add(text("b.txt", "quick"))
        assert (await stage.ingestion.jobs.cancel(LOCAL_TENANT, job.id)).status == "cancelled"

        assert (await stage.over(other)).done == 1
        found = await stage.ingestion.documents.find(LOCAL_TENANT, document.id)
        assert (found.status, found.chunks) == ("cancelled", 1)
        await stage.check()


async def test_an_embedder_that_hangs_for_good_is_given_up_after_its_limit(tmp_path: Path) -> None:
    async def _hang(texts: Sequence[str]) -> None:
        if any("slow" in each for each in texts):
            await anyio.sleep_forever()

    patience = Patience(first_rest_s=0.01, longest_rest_s=0.01, batch_limit_s=0.05)
    async with open_stage(
        tmp_path, embedder=WordEmbedder(before=_hang), pace=Pace(patience=patience)
    ) as stage:
        job, (slow, _) = await stage.taken_in(text("a.txt", "slow"), text("b.txt", "quick"))

        assert (job.done, job.failed) == (1, 1)
        assert slow.fault is not None
        assert "did not answer" in slow.fault.message


async def test_small_documents_go_to_the_model_together(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        await stage.taken_in(*(text(f"{index}.txt", f"apple {index}") for index in range(100)))

        assert len(stage.embedder.batches) < 50
        assert max(len(each) for each in stage.embedder.batches) <= Size.MOST_TEXTS
        assert all(stage.embedder.are_background)


@pytest.mark.timeout(400)
async def test_five_hundred_documents_keep_all_queues_within_their_bounds(tmp_path: Path) -> None:
    most_open = 0
    at_once = most_at_once = 0

    async def _before(texts: Sequence[str]) -> None:
        nonlocal most_open, at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        (lane,) = stage.ingestion._vectors._lanes.values()
        most_open = max(most_open, len(lane._units))
        assert len(stage.ingestion._reading._next) <= 16
        await anyio.lowlevel.checkpoint()
        at_once -= 1

    async with open_stage(tmp_path, embedder=WordEmbedder(before=_before)) as stage:
        job, documents = await stage.add(
            *(text(f"{index}.txt", f"apple {index}", "pears", "plums") for index in range(500))
        )
        assert len(documents) == 500
        ended = await stage.over(job)

        assert (ended.done, ended.failed) == (500, 0)
        assert 0 < most_open <= OPEN_UNITS
        assert most_at_once <= 2
        assert stage.reader.most_at_once <= 2
        assert await stage.count("vector") == 1500
        assert stage.stores.live.names == {}
        await stage.check()


async def test_a_small_document_does_not_wait_for_a_huge_one_that_came_first(tmp_path: Path) -> None:
    finished: list[str] = []
    async with open_stage(tmp_path) as stage:
        huge, (large,) = await stage.add(text("huge.txt", *(f"paragraph {index}" for index in range(3000))))
        small, (tiny,) = await stage.add(text("small.txt", "apples"))

        async def _wait(job: Job) -> None:
            finished.append((await stage.over(job)).id)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_wait, huge)
            tasks.start_soon(_wait, small)
        assert finished == [small.id, huge.id]
        assert (large.id, tiny.id) != ("", "")
        await stage.check()


async def test_tenants_take_turns_however_much_one_of_them_adds(tmp_path: Path) -> None:
    other = TenantId("other")
    gate = anyio.Event()

    async def _before(name: str) -> None:
        await gate.wait()

    async with open_stage(tmp_path) as stage:
        stage.reader.before = _before
        many, _ = await stage.add(*(text(f"{index}.txt", "apples") for index in range(80)))
        few, _ = await stage.add(*(text(f"few{index}.txt", "pears") for index in range(3)), tenant=other)
        gate.set()
        await stage.over(few, other)
        await stage.over(many)

        last = max(index for index, name in enumerate(stage.reader.read_names) if name.startswith("few"))
        assert last < 40


async def test_two_models_do_not_hold_each_other_up(tmp_path: Path) -> None:
    absent = ModelId("absent")
    async with open_stage(tmp_path, embedder=WordEmbedder(installed=[MODEL])) as stage:
        collection = await stage.collection("waits")
        await stage.truth.write(
            lambda pen: pen.execute(
                "UPDATE space SET model = ? WHERE id IN (SELECT space FROM collection WHERE name = 'waits')",
                [absent],
            )
        )
        await stage.stores.marks.load()
        waiting, _ = await stage.add(text("a.txt", "apples"), collection=collection.id)
        held = await _held(stage, waiting)
        assert held.note is not None
        assert "absent" in held.note

        assert (await stage.taken_in(text("b.txt", "pears")))[0].done == 1
        assert (await stage.ingestion.jobs.find(LOCAL_TENANT, waiting.id)).finished_at is None
        stage.embedder.installed.add(absent)
        assert (await stage.over(waiting)).done == 1


def test_batches_grow_while_they_are_quick_and_shrink_when_they_are_slow() -> None:
    size = Size()
    for _ in range(10):
        size.learn(size.texts, 0.1)
    assert size.texts == Size.MOST_TEXTS
    for _ in range(10):
        size.learn(size.texts, 9.0)
    assert size.texts == Size.FEWEST_TEXTS
    size.learn(1, 0.01)
    assert size.texts == Size.FEWEST_TEXTS
