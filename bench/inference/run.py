"""Runs the servers one after the other, round by round, and tells what came out."""

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio

from bench.inference.compare import LAR, list_targets, list_workloads
from bench.inference.figures import Figures, merge_rounds
from bench.inference.loadgen import open_client
from bench.inference.machine import is_idle, machine_facts, memory_mib
from bench.inference.overhead import Overhead, OverheadMissing, measure_overhead
from bench.inference.page import Report, write_page
from bench.inference.peer import SETTINGS, Peer, PeerMissing, RunningPeer, find_peer, serve_peer
from bench.inference.sizes import SIZES, Sizes
from bench.inference.workloads import WORKLOADS, warm_up
from bench.installed import Installed, install_default_model, serve
from bench.options import Options
from runtime.backends.hardware import usable_cores
from runtime.core.settings import DEFAULT_MODEL
from runtime.core.version import __version__


def run(options: Options) -> None:
    """Agents' workloads over HTTP; the peer is llama-server with three settings, on the same weights."""
    sizes = SIZES[options.size]
    rounds = options.rounds or sizes.rounds
    installed = install_default_model()
    notes: list[str] = []
    peer = _peer(options.llama_server, notes)
    bench = _Bench(installed, peer, sizes, notes)
    for number in range(rounds):
        bench.run_round(number)
    overhead = bench.measure_overhead()

    report = _report(bench, overhead, options.size, rounds)
    page = write_page(report)
    print(page)
    if options.page is not None:
        options.page.write_text(page, encoding="utf-8")
        print(f"  written to {options.page}")


def _peer(binary: Path | None, notes: list[str]) -> Peer | None:
    try:
        return find_peer(binary)
    except PeerMissing as missing:
        notes.append(f"The peer is missing, Lar is shown alone: {missing}")
        print(f"  {notes[-1]}")
        return None


class _Bench:
    """The servers, and what was measured of them so far."""

    def __init__(self, installed: Installed, peer: Peer | None, sizes: Sizes, notes: list[str]) -> None:
        self.installed = installed
        self.peer = peer
        self.sizes = sizes
        self.notes = notes
        self.threads = usable_cores()
        self.names = [LAR, *(setting.name for setting in SETTINGS if peer)]
        self.found: defaultdict[str, list[Figures]] = defaultdict(list)

    def run_round(self, number: int) -> None:
        """Measure each server once, beginning with another one than the round before."""
        seed = secrets.token_hex(3)
        for name in rotate(self.names, number):
            self._check_idle()
            print(f"  round {number + 1}: {name}", flush=True)
            try:
                with self._serve(name) as (address, pid):
                    figures, errors = anyio.run(_measure, address, pid, self.sizes, seed)
            except PeerMissing as missing:
                self._note(str(missing))
                figures, errors = {}, []
            if errors:
                self._note(f"{len(errors)} requests to {name} failed in round {number + 1}.")
                print(f"    the first of them: {errors[0]}")
            self.found[name].append(figures)

    def measure_overhead(self) -> Overhead | None:
        """Measure what Lar adds to its engine."""
        print("  the server's own time", flush=True)
        with self._serve(LAR) as (address, _):
            try:
                return measure_overhead(self.installed, address, self.sizes.pairs)
            except OverheadMissing as missing:
                self._note("The server's own time could not be measured.")
                print(f"    {missing}")
                return None

    @contextmanager
    def _serve(self, name: str) -> Iterator[RunningPeer]:
        if name == LAR:
            with serve(self.installed) as server:
                yield RunningPeer(server.address, server.process.pid)
            return

        assert self.peer is not None
        (setting,) = (each for each in SETTINGS if each.name == name)
        with serve_peer(self.peer, setting, self.installed.weights, self.threads) as running:
            yield running

    def _check_idle(self) -> None:
        # The servers measured before leave a load average of their own: only the first look tells.
        if not self.found and not is_idle():
            self._note("The machine was busy when the measurement began; these figures are worth little.")

    def _note(self, note: str) -> None:
        print(f"  {note}", flush=True)
        self.notes.append(note)


def rotate(names: Sequence[str], by: int) -> list[str]:
    """Return the names beginning `by` further on."""
    start = by % len(names)
    return [*names[start:], *names[:start]]


async def _measure(address: str, pid: int, sizes: Sizes, seed: str) -> tuple[dict[str, float], Sequence[str]]:
    """Put every workload to one server, one after the other; return the figures, and what went wrong."""
    async with open_client(address, DEFAULT_MODEL) as client:
        found = await warm_up(client, sizes, seed)
        found["memory.loaded_mib"] = highest = memory_mib(pid)
        for workload in WORKLOADS:
            found |= await workload(client, sizes, seed)
            highest = max(highest, memory_mib(pid))
    return found | {"memory.highest_mib": highest}, client.errors


def _report(bench: _Bench, overhead: Overhead | None, size: str, rounds: int) -> Report:
    sizes = bench.sizes
    prompts = (
        f"{sizes.prefix} tokens shared or unique, and {sizes.suffix} of one's own; "
        f"answers of {sizes.answer}, agents {sizes.agent_answer}, decode {sizes.decode_answer}"
    )
    facts = [
        *machine_facts(bench.threads),
        ("Lar", f"{__version__}, llama-cpp-python {bench.installed.engine_version}"),
        ("Peer", bench.peer.title if bench.peer else "none"),
        ("Weights", bench.installed.weights.name),
        ("Run", f"{datetime.now(UTC):%Y-%m-%d}, size {size}, rounds: {rounds}"),
        ("Sizes", prompts),
    ]
    if size == "smoke":
        bench.notes.append("The size `smoke` only shows that everything runs: its figures mean nothing.")
    titles = {LAR: "Lar"} | {setting.name: setting.title for setting in SETTINGS}
    return Report(
        facts=facts,
        titles=titles,
        results={name: merge_rounds(bench.found[name]) for name in bench.names},
        workloads=list_workloads(sizes.crews, sizes.at_once),
        targets=list_targets(sizes.crews),
        overhead=overhead,
        notes=bench.notes,
    )
