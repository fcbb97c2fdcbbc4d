"""Puts each workload to all servers, one right after the other, and tells what came out."""

import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

import anyio

from bench.inference.compare import LAR, list_targets, list_workloads
from bench.inference.figures import Figures
from bench.inference.loadgen import open_client
from bench.inference.machine import is_idle, machine_facts, memory_mib
from bench.inference.overhead import Overhead, OverheadMissing, measure_overhead
from bench.inference.page import Report, write_page
from bench.inference.peer import SETTINGS, Peer, PeerMissing, RunningPeer, find_peer, serve_peer
from bench.inference.sizes import SIZES, Sizes
from bench.inference.stored import Results, load_results, save_results
from bench.inference.workloads import WORKLOADS, Workload, warm_up
from bench.installed import CACHE, Installed, install_default_model, serve
from bench.options import Options
from runtime.backends.hardware import usable_cores
from runtime.core.settings import DEFAULT_MODEL
from runtime.core.version import __version__

OVERHEAD = "overhead"
NAMES = (*WORKLOADS, OVERHEAD)
_STORE = CACHE / "bench" / "inference.json"


def run(options: Options) -> None:
    """Agents' workloads over HTTP; the peer is llama-server with three settings, on the same weights."""
    sizes = SIZES[options.size]
    rounds = options.rounds or sizes.rounds
    installed = install_default_model()
    peer, missing = _peer(options)
    title = peer.title if peer else "none"
    results = load_results(_STORE, f"{options.size}, Lar {__version__}, {installed.engine_version}, {title}")
    results.notes += [each for each in missing if each not in results.notes]
    bench = _Bench(installed, peer, sizes, results)
    bench.measure([name for name in WORKLOADS if name in (options.only or NAMES)], rounds)
    if OVERHEAD in (options.only or NAMES):
        bench.measure_overhead()

    page = write_page(_report(bench, options.size))
    print(page)
    if options.page is not None:
        options.page.write_text(page, encoding="utf-8")
        print(f"  written to {options.page}")


def _peer(options: Options) -> tuple[Peer | None, list[str]]:
    try:
        return find_peer(options.llama_server), []
    except PeerMissing as missing:
        note = f"The peer is missing, Lar is shown alone: {missing}"
        print(f"  {note}")
        return None, [note]


class _Bench:
    """The servers, one up at a time and started afresh for each workload, and what was measured so far."""

    def __init__(self, installed: Installed, peer: Peer | None, sizes: Sizes, results: Results) -> None:
        self.installed = installed
        self.peer = peer
        self.sizes = sizes
        self.results = results
        self.threads = usable_cores()
        self.names = [LAR, *(setting.name for setting in SETTINGS if peer)]

    def measure(self, names: Sequence[str], rounds: int) -> None:
        """Put the workloads to every server in turn, and store each once all servers have had it."""
        if names and not is_idle():
            self._note("The machine was busy when a measurement began; these figures are worth little.")
        for workload in names:
            found: defaultdict[str, list[Figures]] = defaultdict(list)
            for number in range(rounds):
                seed = secrets.token_hex(3)
                for name in rotate(self.names, number):
                    found[name].append(self._measure_one(workload, name, seed))
            self.results.put(workload, found, f"{datetime.now(UTC):%Y-%m-%d}")
            save_results(_STORE, self.results)

    def _measure_one(self, workload: str, name: str, seed: str) -> Figures:
        began = time.monotonic()
        with ExitStack() as stack:
            try:
                address, pid = self._serve(stack, name)
            except PeerMissing as missing:
                self._note(str(missing))
                return {}

            figures, errors = anyio.run(
                _measure, address, pid, WORKLOADS[workload], f"memory.{workload}", self.sizes, seed
            )
        print(f"  {workload:10} {name:10} {time.monotonic() - began:6.1f} s", flush=True)
        if errors:
            self._note(f"{len(errors)} requests of '{workload}' to {name} failed.")
            print(f"    the first of them: {errors[0]}")
        return figures

    def measure_overhead(self) -> None:
        """Measure what Lar adds to its engine."""
        print("  the server's own time", flush=True)
        with ExitStack() as stack:
            address, _ = self._serve(stack, LAR)
            try:
                self.results.overhead = list(measure_overhead(self.installed, address, self.sizes.pairs))
            except OverheadMissing as missing:
                self._note("The server's own time could not be measured.")
                print(f"    {missing}")
        save_results(_STORE, self.results)

    def _serve(self, stack: ExitStack, name: str) -> RunningPeer:
        if name == LAR:
            server = stack.enter_context(serve(self.installed))
            return RunningPeer(server.address, server.process.pid)

        assert self.peer is not None
        (setting,) = (each for each in SETTINGS if each.name == name)
        return stack.enter_context(serve_peer(self.peer, setting, self.installed.weights, self.threads))

    def _note(self, note: str) -> None:
        print(f"  {note}", flush=True)
        if note not in self.results.notes:
            self.results.notes.append(note)


def rotate(names: Sequence[str], by: int) -> list[str]:
    """Return the names beginning `by` further on."""
    start = by % len(names)
    return [*names[start:], *names[:start]]


async def _measure(
    address: str, pid: int, workload: Workload, memory: str, sizes: Sizes, seed: str
) -> tuple[dict[str, float], Sequence[str]]:
    """Put one workload to one fresh server; return the figures, and what went wrong."""
    async with open_client(address, DEFAULT_MODEL) as client:
        found = await warm_up(client, sizes, seed)
        found |= await workload(client, sizes, seed)
        return found | {f"{memory}_mib": memory_mib(pid)}, client.errors


def _report(bench: _Bench, size: str) -> Report:
    sizes, results = bench.sizes, bench.results
    prompts = (
        f"{sizes.prefix} tokens shared or unique, and {sizes.suffix} of one's own; "
        f"answers of {sizes.answer}, agents {sizes.agent_answer}, decode {sizes.decode_answer}"
    )
    days = sorted(set(results.days.values())) or ["nothing yet"]
    facts = [
        *machine_facts(bench.threads),
        ("Lar", f"{__version__}, llama-cpp-python {bench.installed.engine_version}"),
        ("Peer", bench.peer.title if bench.peer else "none"),
        ("Weights", bench.installed.weights.name),
        ("Run", f"{' to '.join(dict.fromkeys([days[0], days[-1]]))}, size {size}"),
        ("Sizes", prompts),
    ]
    notes = [*results.notes]
    if size == "smoke":
        notes.append("The size `smoke` only shows that everything runs: its figures mean nothing.")
    titles = {LAR: "Lar"} | {setting.name: setting.title for setting in SETTINGS}
    return Report(
        facts=facts,
        titles=titles,
        results={name: results.of_server(name) for name in bench.names},
        workloads=list_workloads(sizes.crews, sizes.at_once),
        targets=list_targets(sizes.crews),
        overhead=None if results.overhead is None else Overhead(*results.overhead),
        notes=notes,
    )
