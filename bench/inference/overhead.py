"""The server's own time per request: a tiny answer over HTTP beside the same from the engine directly.

Two workers hold the same model: the server's, and one that is started here with the server's own code. They
are asked in turn with the same chat, one token long and with its prompt cached, while the other one is idle;
the difference of each pair is what HTTP, the run, the journal and the stream cost, this client included.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import anyio

from bench.inference.loadgen import Client, open_client
from bench.installed import Installed
from runtime.backends.catalog.manifests import load_models
from runtime.backends.connection import Worker, WorkerSpec
from runtime.backends.hardware import SystemProbe, read_cores, read_memory
from runtime.backends.supervisor import Supervisor
from runtime.backends.tuning import Files, Machine, decide_tuning
from runtime.core.clock import SystemClock
from runtime.core.errors import ModelUnavailable, sole_cause
from runtime.core.events import Event
from runtime.core.messages import Broke, ChatRequest, Message, Sampling
from runtime.core.settings import DEFAULT_MODEL, BackendSettings

QUESTION = "Say yes."
WARM_UPS = 3


class OverheadMissing(Exception):
    """One of the two did not answer; the message says why."""


class Overhead(NamedTuple):
    """Medians over the pairs."""

    difference_s: float
    over_http_s: float
    engine_s: float


def measure_overhead(installed: Installed, address: str, pairs: int) -> Overhead:
    """Ask the server and a worker in turn; the server must be idle otherwise. Raises OverheadMissing."""
    with tempfile.TemporaryDirectory() as cache:
        try:
            return anyio.run(_measure, worker_spec(installed, Path(cache)), address, pairs)
        except* (OverheadMissing, ModelUnavailable) as group:
            raise OverheadMissing(str(sole_cause(group))) from None


def worker_spec(installed: Installed, cache: Path) -> WorkerSpec:
    """Return the spec that a server decides for the default model when nothing else is loaded."""
    probe = SystemProbe()
    machine = Machine(
        cores=read_cores(probe).usable,
        memory_bytes=read_memory(probe).total_bytes,
        disk_free_bytes=probe.disk_free(cache),
    )
    manifest = load_models()[DEFAULT_MODEL]
    return WorkerSpec(
        model=DEFAULT_MODEL,
        engine=manifest.engine,
        python=str(installed.python),
        path=str(installed.weights),
        tuning=decide_tuning(manifest.tuning, machine, Files(cache_folder=str(cache)), 1),
        load_deadline_s=300.0,
    )


async def _measure(spec: WorkerSpec, address: str, pairs: int) -> Overhead:
    supervisor = Supervisor(BackendSettings(), _ignore, SystemClock(), os.environ)
    async with (
        open_client(address, DEFAULT_MODEL, keeps_connection=True) as client,
        supervisor.open_worker(spec) as worker,
    ):
        for _ in range(WARM_UPS):
            await _over_http(client)
            await _direct(worker)
        taken = [await _pair(client, worker, is_first=bool(number % 2)) for number in range(pairs)]
    return summarise(taken)


def summarise(taken: list[tuple[float, float]]) -> Overhead:
    """Return the medians of pairs (over HTTP, engine). The difference is taken within each pair."""
    return Overhead(
        statistics.median(http - engine for http, engine in taken),
        statistics.median(http for http, _ in taken),
        statistics.median(engine for _, engine in taken),
    )


async def _pair(client: Client, worker: Worker, *, is_first: bool) -> tuple[float, float]:
    """Ask both, the engine first or last in turn: what the machine does meanwhile falls on both alike."""
    engine_s = await _direct(worker) if is_first else 0.0
    http_s = await _over_http(client)
    return http_s, engine_s if is_first else await _direct(worker)


async def _over_http(client: Client) -> float:
    answer = await client.ask([{"role": "user", "content": QUESTION}], 1, ignore_eos=True)
    if answer.error is not None:
        raise OverheadMissing(answer.error)

    return answer.ended_at - answer.sent_at


async def _direct(worker: Worker) -> float:
    request = ChatRequest(
        model=DEFAULT_MODEL,
        messages=(Message(role="user", content=QUESTION),),
        sampling=Sampling(temperature=0, max_tokens=1, ignore_eos=True),
    )
    began = time.perf_counter()
    async with worker.generate(request, 0) as generation:
        async for output in generation:
            if isinstance(output, Broke):
                raise OverheadMissing(output.fault.message)

    return time.perf_counter() - began


def _ignore(_fact: Event) -> None:
    return
