"""Ratios, targets and the page: a missed target and a missing peer are told as such."""

import json
from pathlib import Path

import pytest

from bench.__main__ import read_arguments
from bench.inference.compare import (
    LAR,
    Measure,
    Target,
    best_ratio,
    judge,
    list_targets,
    list_workloads,
    ratio,
)
from bench.inference.figures import Spread
from bench.inference.overhead import Overhead
from bench.inference.page import Report, tell_number, write_page
from bench.inference.peer import SETTINGS, Peer, PeerMissing, find_peer
from bench.inference.run import rotate
from bench.inference.sizes import FULL

WALL = Measure("load.wall_s", "wall")
RATE = Measure("load.tokens_per_s", "rate", is_less_better=False)
GAP = Measure("intrusion.gap_max_s", "gap", condition="intrusion.beside")


def report(**results: dict[str, float]) -> Report:
    return Report(
        facts=[("Processor", "one")],
        titles={LAR: "Lar"} | {setting.name: setting.title for setting in SETTINGS},
        results={
            name: {key: Spread(value, value, value) for key, value in figures.items()}
            for name, figures in results.items()
        },
        workloads=list_workloads(FULL.crews, FULL.at_once),
        targets=list_targets(FULL.crews),
        overhead=Overhead(0.0042, 0.012, 0.0078),
        notes=["Something was odd."],
    )


def test_a_ratio_says_how_many_times_better_whichever_way_is_better() -> None:
    assert ratio(WALL, {WALL.key: 2.0}, {WALL.key: 3.0}) == 1.5
    assert ratio(RATE, {RATE.key: 30.0}, {RATE.key: 20.0}) == 1.5
    assert ratio(WALL, {}, {WALL.key: 3.0}) is None
    assert ratio(Measure("a", "told alone", is_compared=False), {"a": 1.0}, {"a": 1.0}) is None


def test_the_best_of_the_peers_settings_counts() -> None:
    results = {LAR: {WALL.key: 2.0}, "default": {WALL.key: 8.0}, "slot1": {WALL.key: 3.0}, "slots8": {}}

    assert best_ratio(WALL, results) == (1.5, "slot1")


def test_a_setting_that_did_not_do_what_was_asked_is_not_the_best() -> None:
    results = {
        LAR: {GAP.key: 0.2, "intrusion.beside": 1.0},
        "default": {GAP.key: 2.0, "intrusion.beside": 1.0},
        "slot1": {GAP.key: 0.01, "intrusion.beside": 0.0},
    }

    assert best_ratio(GAP, results) == (10.0, "default")


def test_lar_is_not_compared_where_it_did_not_do_what_was_asked() -> None:
    results = {
        LAR: {GAP.key: 0.2, "intrusion.beside": 0.0},
        "default": {GAP.key: 2.0, "intrusion.beside": 1.0},
    }

    assert best_ratio(GAP, results) == (None, None)


@pytest.mark.parametrize(("wall", "is_met"), [(2.0, True), (2.2, False)])
def test_a_target_is_met_from_its_ratio_on(wall: float, is_met: bool) -> None:
    target = Target("wall", WALL.key, 1.5)
    verdict = judge(target, {WALL.key: WALL}, {LAR: {WALL.key: wall}, "slot1": {WALL.key: 3.0}})

    assert verdict.is_met is is_met
    assert verdict.peer == "slot1"


def test_a_target_against_one_setting_looks_at_no_other() -> None:
    target = Target("wall", WALL.key, 3.0, "slots8")
    results = {LAR: {WALL.key: 1.0}, "slots8": {WALL.key: 4.0}, "slot1": {WALL.key: 0.5}}

    assert judge(target, {WALL.key: WALL}, results).ratio == 4.0
    assert judge(target, {WALL.key: WALL}, {LAR: {WALL.key: 1.0}}).is_met is None


def test_every_target_belongs_to_a_measure_that_is_compared() -> None:
    measures = {
        measure.key: measure
        for workload in list_workloads(FULL.crews, FULL.at_once)
        for measure in workload.measures
    }

    assert all(measures[target.key].is_compared for target in list_targets(FULL.crews))


def test_the_page_tells_a_missed_target_and_a_met_one() -> None:
    page = write_page(
        report(
            lar={"shared_cold.wall_s": 8.0, "memory.agents_mib": 500.0},
            slot1={"shared_cold.wall_s": 11.0, "memory.agents_mib": 600.0},
        )
    )
    one_slot = "the best: llama-server, 1 slot as Ollama starts it"

    assert f"| cold shared prefix: wall | {one_slot} | ≥ 1.4 | 1.38x | **no** |" in page
    assert f"| memory, after the agents | {one_slot} | ≥ 1.0 | 1.20x | yes |" in page
    assert "| ≤ 3 ms | 4.2 ms (12.0 over HTTP, 7.8 in the engine) | **no** |" in page
    assert "| wall | 8.00 s | 11.0 s |" in page
    assert "> **Note.** Something was odd." in page


def test_the_page_tells_that_there_is_no_peer() -> None:
    page = write_page(report(lar={"shared_cold.wall_s": 8.0}))

    assert "There is nothing to compare with in this run." in page
    assert "| cold shared prefix: wall | - | ≥ 1.4 | - | - |" in page


def test_figures_have_as_many_digits_as_they_are_good_for() -> None:
    assert tell_number(WALL, 0.1234) == "0.12"
    assert tell_number(WALL, 12.345) == "12.3"
    assert tell_number(Measure("a", "a", "ms"), 1.5) == "1,500"
    assert tell_number(Measure("a", "a", "MiB"), 42.4) == "42"


def test_the_settings_reach_a_llama_server_of_ones_own_as_flags() -> None:
    assert [setting.to_flags() for setting in SETTINGS] == [
        ["-np", "4", "--kv-unified"],
        ["-np", "8", "--kv-unified", "-c", "16384"],
        ["-np", "1", "-c", "4096", "-b", "512", "-ub", "512"],
    ]


def test_a_peer_of_ones_own_gets_the_same_weights_threads_and_port_as_the_prebuilt_one() -> None:
    weights = Path("m.gguf")
    prebuilt = Peer("prebuilt", ("python", "peer_server.py"), is_binary=False)
    own = Peer("own", ("llama-server",), is_binary=True)

    *command, setting = prebuilt.command_line(SETTINGS[2], weights, 8101, 2)
    assert command == ["python", "peer_server.py", "m.gguf", "8101", "2"]
    assert json.loads(setting) == {"slots": 1, "is_unified": False, "context": 4096, "batch": 512}
    flags = " ".join(own.command_line(SETTINGS[2], weights, 8101, 2))
    assert flags.startswith("llama-server -m m.gguf --host 127.0.0.1 --port 8101 -t 2 -tb 2 -np 1")


def test_a_binary_that_cannot_be_executed_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "llama-server"
    binary.touch(mode=0o600)

    with pytest.raises(PeerMissing, match="llama-server cannot be executed"):
        find_peer(binary)


def test_the_page_tells_that_the_servers_own_time_was_not_measured() -> None:
    page = write_page(report(lar={})._replace(overhead=None))

    assert "| the server's own time per request | Lar's own engine | ≤ 3 ms | - | - |" in page


def test_the_order_rotates_from_round_to_round() -> None:
    assert [rotate("abc", number)[0] for number in range(4)] == ["a", "b", "c", "a"]
    assert sorted(rotate("abc", 2)) == ["a", "b", "c"]


def test_the_command_line_names_benchmarks_and_sizes() -> None:
    names, options = read_arguments(["inference", "--quick", "--rounds", "3"])

    assert names == ["inference"]
    assert (options.size, options.rounds) == ("quick", 3)
    assert read_arguments([])[0] == ["startup", "journal", "serving", "inference", "recall", "mcp", "gate"]


def test_an_unknown_benchmark_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["speed"])

    assert "There is no benchmark 'speed'" in capsys.readouterr().err
