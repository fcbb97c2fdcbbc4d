"""The embedder that Lar brings along, at work for the questions: what a vector costs beside what it is."""

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.recall import measure
from runtime.backends.catalog.manifests import load_models
from runtime.backends.connection import Worker, WorkerSpec
from runtime.backends.hardware import SystemProbe, read_cores, read_memory
from runtime.backends.install import Installer
from runtime.backends.supervisor import Supervisor
from runtime.backends.tuning import Files, Machine, decide_tuning
from runtime.core.clock import SystemClock
from runtime.core.events import Event
from runtime.core.ids import ModelId
from runtime.core.messages import Broke, EmbedRequest
from runtime.core.settings import DEFAULT_EMBEDDER, BackendSettings

MODEL = ModelId("given")
HOME = Path(os.environ.get("LAR_TEST_HOME") or Path(__file__).parents[2] / ".cache" / "test-home")


class Installed(NamedTuple):
    """The embedder and the interpreter of its engine."""

    weights: Path
    python: Path


class GivenVectors:
    """Knows the vector of each question; fulfils `core.recall.Embedder`.

    While `worker` is set, each question is embedded by it as well; the vector that is given stays the known
    one, so that what is found is the same.
    """

    def __init__(self, corpus: measure.Loaded) -> None:
        self._vectors = dict(zip(corpus.questions, corpus.question_vectors, strict=True))
        self.worker: Worker | None = None

    async def embed(
        self, model: ModelId, texts: Sequence[str], *, dimensions: int | None, is_background: bool
    ) -> list[bytes]:
        """Return the vectors that belong to the questions."""
        assert model == MODEL
        assert dimensions is None
        assert not is_background
        if self.worker is not None:
            await _embed(self.worker, texts)
        return [np.asarray(self._vectors[text]).astype("<f4").tobytes() for text in texts]

    async def rerank(self, model: ModelId, query: str, texts: Sequence[str]) -> list[float]:
        """Never asked: no cross-encoder is set."""
        raise NotImplementedError

    def is_installed(self, model: ModelId) -> bool:
        """Whether the model is here: the only one is."""
        return model == MODEL


async def install_embedder() -> Installed:
    """Install Lar's own embedder and its engine if need be."""
    installer = Installer(HOME, BackendSettings(), _ignore, SystemClock())
    weights = await installer.install_model(DEFAULT_EMBEDDER)
    manifest = load_models()[DEFAULT_EMBEDDER]
    engine = installer.engine_facts(manifest.engine)
    assert weights is not None
    assert engine is not None
    return Installed(weights, engine.python)


@asynccontextmanager
async def open_embedder(installed: Installed, publish: Callable[[Event], object]) -> AsyncIterator[Worker]:
    """Run the embedder in a worker, as the server does."""
    probe = SystemProbe()
    manifest = load_models()[DEFAULT_EMBEDDER]
    with tempfile.TemporaryDirectory() as cache:
        machine = Machine(
            cores=read_cores(probe).usable,
            memory_bytes=read_memory(probe).total_bytes,
            disk_free_bytes=probe.disk_free(Path(cache)),
        )
        spec = WorkerSpec(
            model=DEFAULT_EMBEDDER,
            engine=manifest.engine,
            python=str(installed.python),
            path=str(installed.weights),
            tuning=decide_tuning(manifest.tuning, machine, Files(cache_folder=cache), 1),
            load_deadline_s=300.0,
        )
        supervisor = Supervisor(BackendSettings(), publish, SystemClock(), os.environ)
        async with supervisor.open_worker(spec) as worker:
            yield worker


async def _embed(worker: Worker, texts: Sequence[str]) -> None:
    async with worker.generate(EmbedRequest(model=DEFAULT_EMBEDDER, inputs=tuple(texts)), 0) as generation:
        async for output in generation:
            if isinstance(output, Broke):
                raise RuntimeError(output.fault.message)


def _ignore(_fact: Event) -> None:
    return
