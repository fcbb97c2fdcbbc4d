"""Recall's embedder: vectors through runs, installs awaited, long texts split, runs cancelled."""

import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec
import pytest

from runtime.core import embedding
from runtime.core.bus import Bus
from runtime.core.driver import Runs
from runtime.core.embedding import CHARACTERS_LIMIT, TEXTS_LIMIT, RunEmbedder
from runtime.core.errors import Fault, ModelUnavailable, RequestInvalid
from runtime.core.events import RunCancelled, RunFinished, RunRequested
from runtime.core.ids import ModelId
from runtime.core.messages import Broke, EmbedRequest, Ended, RerankRequest, Scores, Usage, Vectors
from runtime.core.settings import AdmissionSettings
from runtime.core.states import Feature, ModelStage, ModelState
from tests.kit.clock import FakeClock
from tests.kit.fake_models import FakeModels, known_model
from tests.kit.fake_pool import FakePool, Hold, Step

MODEL = ModelId("words")
END = Ended(reason="stop", usage=Usage())
FEATURES: frozenset[Feature] = frozenset({"embeddings", "rerank"})


def known(stage: ModelStage = "loaded", **more: Any) -> ModelState:
    state = known_model(MODEL, stage, FEATURES)
    return msgspec.structs.replace(state, **more)


def vector(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def numbers(packed: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


@dataclass
class Stage:
    embedder: RunEmbedder
    pool: FakePool
    models: FakeModels
    bus: Bus
    clock: FakeClock

    async def embed(
        self, *texts: str, dimensions: int | None = None, background: bool = False
    ) -> list[bytes]:
        return await self.embedder.embed(MODEL, texts, dimensions=dimensions, is_background=background)

    @property
    def asked(self) -> list[EmbedRequest]:
        return [each for each in self.pool.requests if isinstance(each, EmbedRequest)]


@asynccontextmanager
async def open_stage(
    script: Callable[[EmbedRequest | RerankRequest, int], Iterable[Step]] | None = None,
    model: ModelState | None = None,
) -> AsyncIterator[Stage]:
    clock, pool = FakeClock(), FakePool(script or _lengths)
    bus, models = Bus(clock), FakeModels(model or known())
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            runs = Runs(
                bus=bus,
                pool=pool,
                clock=clock,
                tasks=tasks,
                settings=AdmissionSettings(),
                places=lambda model: 4,
            )
            yield Stage(RunEmbedder(runs, models, look_every_s=0.001), pool, models, bus, clock)


def _lengths(request: EmbedRequest | RerankRequest, index: int) -> Iterable[Step]:
    """Give each text a vector that tells its length, some at a time."""
    assert isinstance(request, EmbedRequest)
    vectors = [vector(len(each), 1) for each in request.inputs]
    middle = len(vectors) // 2
    return [
        Vectors(start=0, vectors=tuple(vectors[:middle])),
        Vectors(start=middle, vectors=tuple(vectors[middle:])),
        END,
    ]


def _limited(limit: int) -> Callable[[EmbedRequest | RerankRequest, int], Iterable[Step]]:
    """Refuse texts that are longer, as the engine does: the first one, before anything is computed."""

    def _script(request: EmbedRequest | RerankRequest, index: int) -> Iterable[Step]:
        texts = request.inputs if isinstance(request, EmbedRequest) else request.documents
        name = "input" if isinstance(request, EmbedRequest) else "documents"
        for place, text in enumerate(texts):
            if len(text) > limit:
                param = f"{name}[{place}]" if len(texts) > 1 or name == "documents" else name
                return [Broke(fault=Fault(code="context_length_exceeded", message="Too long.", param=param))]
        if isinstance(request, RerankRequest):
            return [Scores(scores=tuple(float(each.count("x")) for each in request.documents)), END]
        vectors = [vector(1, 0) if "x" in str(each) else vector(0, 1) for each in request.inputs]
        return [Vectors(start=0, vectors=tuple(vectors)), END]

    return _script


async def test_each_text_gets_its_vector_in_order_through_a_run_of_recalls() -> None:
    async with open_stage() as stage:
        found = await stage.embed("a", "bb", "ccc", dimensions=2, background=True)

        assert [numbers(each) for each in found] == [[1, 1], [2, 1], [3, 1]]
        (asked,) = stage.asked
        assert (asked.principal, asked.priority, asked.dimensions) == ("recall", "batch", 2)
        facts = [each.event for each in stage.bus.recent(0)[0]]
        assert any(isinstance(each, RunRequested) and each.route == "recall" for each in facts)


async def test_somebody_who_waits_goes_first() -> None:
    async with open_stage() as stage:
        await stage.embed("a")
        assert stage.asked[0].priority == "interactive"
        assert await stage.embed() == []
        assert len(stage.asked) == 1


async def test_many_and_long_texts_go_in_several_runs() -> None:
    async with open_stage() as stage:
        found = await stage.embed(*("x" for _ in range(TEXTS_LIMIT + 1)))
        assert len(found) == TEXTS_LIMIT + 1
        assert [len(each.inputs) for each in stage.asked] == [TEXTS_LIMIT, 1]

        half = "y" * (CHARACTERS_LIMIT // 2)
        await stage.embed(half, half, half)
        assert [len(each.inputs) for each in stage.asked[2:]] == [2, 1]


async def test_a_text_beyond_the_models_limit_gets_the_mean_of_its_parts() -> None:
    async with open_stage(_limited(10)) as stage:
        short, long = await stage.embed("x", "x " * 4 + "-" * 12)

        assert numbers(short) == [1, 0]
        mean = numbers(long)
        assert mean[0] > 0
        assert mean[1] > 0
        assert sum(each * each for each in mean) == pytest.approx(1)
        assert "".join(str(each) for each in stage.asked[-1].inputs[1:]) == "x " * 4 + "-" * 12
        assert all(len(each) <= 10 for each in stage.asked[-1].inputs)


async def test_one_text_alone_is_split_as_well() -> None:
    async with open_stage(_limited(4)) as stage:
        (found,) = await stage.embed("x" * 16)
        assert numbers(found) == [1, 0]


async def test_what_no_split_mends_is_refused() -> None:
    async with open_stage(_limited(0)) as stage:
        with pytest.raises(RequestInvalid, match="Too long"):
            await stage.embed("xx")


async def test_passages_are_scored_by_their_best_part() -> None:
    async with open_stage(_limited(5)) as stage:
        scores = await stage.embedder.rerank(MODEL, "q", ["x", "-----xxx", "--"])
        assert scores == [1, 3, 0]
        assert await stage.embedder.rerank(MODEL, "q", []) == []


async def test_a_query_that_is_too_long_is_refused_and_no_passage_is_split_for_it() -> None:
    def _refuse(request: EmbedRequest | RerankRequest, index: int) -> Iterable[Step]:
        return [Broke(fault=Fault(code="context_length_exceeded", message="Too long.", param="query"))]

    async with open_stage(_refuse) as stage:
        with pytest.raises(RequestInvalid, match="Too long"):
            await stage.embedder.rerank(MODEL, "q " * 900, ["a passage of some words", "another one"])
        assert len(stage.pool.requests) == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("invalid_request", RequestInvalid),
        ("unsupported_parameter", RequestInvalid),
        ("engine_failed", ModelUnavailable),
        ("worker_died", ModelUnavailable),
        ("queue_full", ModelUnavailable),
    ],
)
async def test_a_run_that_breaks_says_why(code: str, expected: type[Exception]) -> None:
    fault = Fault(code=code, message="Because.")  # type: ignore[arg-type]  # told by the test
    async with open_stage(lambda request, index: [Broke(fault=fault)]) as stage:
        with pytest.raises(expected, match="Because"):
            await stage.embed("a")


async def test_a_model_that_gives_too_few_vectors_is_told_of() -> None:
    async with open_stage(lambda request, index: [Vectors(start=0, vectors=()), END]) as stage:
        with pytest.raises(ModelUnavailable, match="0 results for 1 texts"):
            await stage.embed("a")


async def test_a_model_that_cannot_be_loaded_is_told_of() -> None:
    async with open_stage() as stage:
        stage.pool.fault = Fault(code="insufficient_memory", message="No room.")
        with pytest.raises(ModelUnavailable, match="No room"):
            await stage.embed("a")


async def test_leaving_cancels_the_run() -> None:
    hold = Hold()
    async with open_stage(lambda request, index: [hold, END]) as stage:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.embed, "a")
            await hold.is_reached.wait()
            tasks.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()

        assert stage.pool.generations[0].is_cancelled
        facts = [each.event for each in stage.bus.recent(0)[0]]
        assert isinstance(facts[-1], RunCancelled)


async def test_a_run_that_ended_by_itself_is_finished_and_not_cancelled() -> None:
    async with open_stage() as stage:
        await stage.embed("a")
        await anyio.wait_all_tasks_blocked()
        assert isinstance(stage.bus.recent(0)[0][-1].event, RunFinished)


async def test_an_unknown_model_and_one_without_the_feature_are_refused() -> None:
    async with open_stage() as stage:
        with pytest.raises(ModelUnavailable, match="nothing"):
            await stage.embedder.embed(ModelId("nothing"), ["a"], dimensions=None, is_background=False)
    async with open_stage(model=known_model(MODEL)) as stage:
        with pytest.raises(RequestInvalid, match="embeddings"):
            await stage.embed("a")


async def test_a_known_model_is_installed_and_the_progress_told() -> None:
    async with open_stage(model=known("available")) as stage:
        assert not stage.embedder.is_installed(MODEL)
        with pytest.raises(ModelUnavailable, match="34 %") as told:
            await stage.embed("a")
        assert told.value.fault.code == "model_installing"
        assert told.value.fault.retry_after_s == 170
        with pytest.raises(ModelUnavailable, match="34 %"):
            await stage.embed("a")
        assert stage.models.installs == [MODEL]


async def test_work_in_the_background_waits_for_the_install_but_not_for_ever() -> None:
    async with open_stage(model=known("available")) as stage:
        with pytest.raises(ModelUnavailable, match="34 %"):
            await stage.embed("a", background=True)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: stage.embed("a", background=True))
            await anyio.lowlevel.checkpoint()
            stage.models.states[MODEL] = known("installed")
        assert stage.embedder.is_installed(MODEL)
        assert len(stage.asked) == 1


async def test_a_failed_install_is_tried_again_now_and_then_in_the_background() -> None:
    broken = known("broken", fault=Fault(code="install_failed", message="No network."))
    async with open_stage(model=broken) as stage:
        assert not stage.embedder.is_installed(MODEL)
        with pytest.raises(ModelUnavailable, match="No network"):
            await stage.embed("a")
        assert stage.models.installs == []

        for _ in range(2):
            with pytest.raises(ModelUnavailable):
                await stage.embed("a", background=True)
            stage.models.states[MODEL] = broken
        assert stage.models.installs == [MODEL]
        stage.clock.advance(embedding._INSTALL_AGAIN_S)
        with pytest.raises(ModelUnavailable):
            await stage.embed("a", background=True)
        assert stage.models.installs == [MODEL, MODEL]


async def test_a_model_that_broke_when_it_was_loaded_is_tried_by_the_next_run() -> None:
    broken = known("broken", fault=Fault(code="worker_died", message="It died."))
    async with open_stage(model=broken) as stage:
        assert stage.embedder.is_installed(MODEL)
        assert len(await stage.embed("a")) == 1
