"""The composition root: builds the server's parts, starts them in order, stops them in the reverse order.

    database, journal ── kept until everything else has said its last fact
      bus
        tasks: runs, resident models, installs, metrics, retention
          HTTP

Stop: no new requests and runs; running ones end within the grace or are cancelled; workers stop side by
side; the last facts are stored; the database closes. Each wait has a bound.
"""

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from runtime.api.access import check_bind
from runtime.api.keys import KEYS_FILE, KeyStore
from runtime.api.server import Bound
from runtime.backends.hardware import SystemProbe, read_cores, read_memory
from runtime.backends.install import Installer
from runtime.backends.library import Library
from runtime.backends.memory import MachineMemory
from runtime.backends.pool import Pool
from runtime.backends.shelf import Shelf
from runtime.backends.supervisor import Supervisor
from runtime.backends.tuning import Machine
from runtime.core.bus import RECENT, Bus
from runtime.core.causes import Causes
from runtime.core.clock import SystemClock
from runtime.core.driver import Runs
from runtime.core.embedding import RunEmbedder
from runtime.core.errors import Fault, ModelUnavailable
from runtime.core.events import Envelope, Event, ServerStopped
from runtime.core.fact import Fact
from runtime.core.gate.connecting import host_check
from runtime.core.gate.opening import open_gate
from runtime.core.gate.words import Gate
from runtime.core.ids import ModelId, TenantId
from runtime.core.recall import Recall
from runtime.core.settings import Settings
from runtime.core.version import __version__
from runtime.egress.client import open_fetcher
from runtime.faces import Inner, open_faces
from runtime.recall.agents.care import SNAPSHOTS_FOLDER
from runtime.recall.database import Database, open_database
from runtime.recall.journal import MIGRATIONS, DuckJournal
from runtime.recall.opening import Given, open_recall

logger = logging.getLogger(__name__)

DATABASE_FILE = "lar.duckdb"
RECALL_FOLDER = "recall"
_WAY_OUT = (
    "'lar doctor --restore latest' puts back the newest copy, 'lar doctor --snapshots' lists them all; "
    "'lar doctor --set-aside' begins anew without runs and conversations. "
    "Both keep what is there under another name."
)
_DRAIN_LIMIT_S = 5.0
"""For the last facts to reach the disk when the server stops."""


class Stores(NamedTuple):
    """What the server's database holds: facts, and what agents keep."""

    database: Database
    journal: DuckJournal


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """How the server is started."""

    home: Path
    settings: Settings
    is_scripted: bool = False
    """Whether the model `scripted` is offered."""


async def serve(launch: Launch, on_started: Callable[[Bound], None], on_stopping: Callable[[], None]) -> None:
    """Be the server until SIGINT, SIGTERM or SIGHUP; a second one ends it at once.

    `on_started` is called once it answers, `on_stopping` when it begins to stop.

    Raises SettingsInvalid, StoreUnavailable or KeysUnreadable when it cannot start.
    """
    os.umask(0o077)  # whatever this process and its children write is its owner's alone
    stop = anyio.Event()

    async def _watch_signals(task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                if stop.is_set():
                    os._exit(128 + number)  # workers see the end of their pipes and go as well
                logger.info("stopping", extra={"signal": signal.Signals(number).name})
                stop.set()
                on_stopping()

    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: _watch_signals(task_status))
        async with open_server(launch) as bound:
            on_started(bound)
            await stop.wait()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_server(launch: Launch) -> AsyncIterator[Bound]:
    """Run a server while the context lasts."""
    keys = KeyStore(launch.home / KEYS_FILE)
    await anyio.to_thread.run_sync(keys.reload)
    check_bind(launch.settings.server, has_keys=keys.has_any())
    async with (
        open_database(
            launch.home / DATABASE_FILE,
            MIGRATIONS,
            way_out=_WAY_OUT,
            snapshots=launch.home / SNAPSHOTS_FOLDER,
        ) as database,
        _open_bus(DuckJournal(database)) as (bus, journal),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(keys.keep_fresh_forever)
        tasks.start_soon(journal.retain_forever, launch.settings.journal, SystemClock())
        async with _open_parts(launch, bus, Stores(database, journal), keys, tasks) as bound:
            yield bound
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_trial(launch: Launch, folder: Path, wanted: Sequence[ModelId]) -> AsyncIterator[Recall]:
    """Run Recall over a folder of its own with the models of the home: no server, no journal.

    Raises ModelUnavailable where one of the wanted models is unknown.
    """
    bus = Bus(SystemClock(), 0)
    async with anyio.create_task_group() as tasks:
        models, pool, runs = await _assemble(launch, bus, tasks)
        for each in wanted:
            if models.find_model(each) is None:
                message = f"There is no model '{each}'. 'lar models list' shows those there are."
                raise ModelUnavailable(Fault(code="model_not_found", message=message))
        tasks.start_soon(pool.sweep_forever)
        try:
            async with (
                _open_given(launch, bus, runs, models) as given,
                open_recall(folder, launch.settings.recall, given) as opened,
            ):
                yield opened.recall
        finally:
            with anyio.CancelScope(shield=True):  # both steps have a bound of their own
                await runs.stop(0.0)
                await pool.aclose()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _open_bus(journal: DuckJournal) -> AsyncIterator[tuple[Bus, DuckJournal]]:
    """Open the bus and keep what it carries; at the end the last facts are stored."""
    last_seq = await journal.last_seq()
    # Facts that were shown but not yet stored before a crash had numbers, too: do not give them out again.
    bus = Bus(SystemClock(), last_seq + RECENT if last_seq else 0)
    drained = anyio.Event()
    with bus.subscribe("journal", RECENT) as subscription:
        async with anyio.create_task_group() as keeper:

            async def _keep() -> None:
                await journal.keep_forever(subscription)
                drained.set()

            keeper.start_soon(_keep)
            try:
                yield bus, journal
            finally:
                bus.publish(ServerStopped(reason="asked"))
                bus.close()
                with anyio.move_on_after(_DRAIN_LIMIT_S, shield=True):
                    await drained.wait()
                keeper.cancel_scope.cancel()


@asynccontextmanager
async def _open_parts(
    launch: Launch, bus: Bus, stores: Stores, keys: KeyStore, tasks: TaskGroup
) -> AsyncIterator[Bound]:
    """Start what serves requests, and stop it again in order."""
    async with open_gate(launch.home, launch.settings.policy, bus, SystemClock(), standing=keys) as gate:
        models, pool, runs = await _assemble(launch, bus, tasks, gate.gate)
        tasks.start_soon(pool.sweep_forever)
        async with (
            _open_given(launch, bus, runs, models, gate.gate) as given,
            open_recall(launch.home / RECALL_FOLDER, launch.settings.recall, given) as opened,
        ):
            inner = Inner(
                home=launch.home,
                settings=launch.settings,
                bus=bus,
                database=stores.database,
                journal=stores.journal,
                keys=keys,
                models=models,
                pool=pool,
                runs=runs,
                recall=opened.recall,
                gate=gate,
                fetcher=given.fetcher,
            )
            async with open_faces(inner, tasks) as bound:
                yield bound


@asynccontextmanager
async def _open_given(
    launch: Launch, bus: Bus, runs: Runs, models: Library, gate: Gate | None = None
) -> AsyncIterator[Given]:
    """Open what Recall is given by the server."""
    causes = Causes()

    def tell(fact: Fact, tenant: TenantId) -> None:
        event = cast("Event", fact)  # Recall tells facts of its own, and all of them are events
        envelope = bus.publish(event, cause=causes.find(event), tenant=tenant)
        causes.note(event, envelope.seq)

    private = launch.settings.recall.private_addresses
    check = None if gate is None else host_check(gate)
    async with open_fetcher(private, __version__, check=check) as fetcher:
        yield Given(
            embedder=RunEmbedder(runs, models, gate),
            publish=tell,
            clock=SystemClock(),
            embedding_model=launch.settings.models.embedding,
            fetcher=fetcher,
        )


async def _assemble(
    launch: Launch, bus: Bus, tasks: TaskGroup, gate: Gate | None = None
) -> tuple[Library, Pool, Runs]:
    """Build models, pool and runs, which know each other only through what they are given here."""
    settings, clock = launch.settings, SystemClock()
    library: Library

    causes = Causes()

    def publish(event: Event) -> Envelope:
        library.note(event)
        envelope = bus.publish(event, cause=causes.find(event))
        causes.note(event, envelope.seq)
        return envelope

    installer = Installer(launch.home, settings.backends, publish, clock)
    await installer.refresh()
    shelf = await anyio.to_thread.run_sync(_stock, launch, installer)
    pool = Pool(
        supervisor=Supervisor(settings.backends, publish, clock, os.environ),
        find_spec=shelf.spec,
        publish=publish,
        clock=clock,
        tasks=tasks,
        settings=settings.models,
        memory=MachineMemory(SystemProbe(), settings.models.memory_bytes),
    )

    def places(model: ModelId) -> int:
        return shelf.find(model).places

    runs = Runs(
        bus=bus,
        pool=pool,
        clock=clock,
        tasks=tasks,
        settings=settings.admission,
        places=places,
        gate=gate,
    )
    library = Library(
        shelf=shelf,
        pool=pool,
        installer=installer,
        publish=publish,
        clock=clock,
        tasks=tasks,
        load_of=runs.load_of,
        default=settings.models.default,
    )
    return library, pool, runs


def _stock(launch: Launch, installer: Installer) -> Shelf:
    """Fill the shelf; looks at the disk and at the machine."""
    probe = SystemProbe()
    memory_bytes = read_memory(probe).total_bytes
    return Shelf(
        installer=installer,
        own=launch.settings.model,
        settings=launch.settings.models,
        folder=launch.home,
        machine=Machine(
            cores=read_cores(probe).usable,
            memory_bytes=min(memory_bytes, launch.settings.models.memory_bytes or memory_bytes),
            disk_free_bytes=probe.disk_free(launch.home),
        ),
        is_scripted=launch.is_scripted,
    )
