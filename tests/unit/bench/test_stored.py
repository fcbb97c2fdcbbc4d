from pathlib import Path

from bench.inference.figures import Spread
from bench.inference.stored import Results, load_results, save_results


def test_what_was_measured_is_there_for_the_next_run_under_its_label_only(tmp_path: Path) -> None:
    path = tmp_path / "bench" / "results.json"
    results = Results("full, Lar 1")
    results.put("decode", {"lar": [{"decode.wall_s": 1.0}], "slot1": [{"decode.wall_s": 2.0}]}, "2026-11-22")
    save_results(path, results)

    assert load_results(path, "full, Lar 1") == results
    assert load_results(path, "full, Lar 2") == Results("full, Lar 2")


def test_a_file_that_was_cut_counts_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"label": "full", "workl', encoding="utf-8")

    assert load_results(path, "full") == Results("full")


def test_a_server_has_the_figures_of_all_workloads_each_over_its_own_rounds() -> None:
    results = Results("full")
    results.put("decode", {"lar": [{"decode.wall_s": 1.0}, {"decode.wall_s": 3.0}]}, "2026-11-21")
    results.put("shared", {"lar": [{"shared.wall_s": 5.0}]}, "2026-11-22")
    results.put("shared", {"lar": [{"shared.wall_s": 4.0}]}, "2026-11-23")

    assert results.of_server("lar") == {
        "decode.wall_s": Spread(2.0, 1.0, 3.0),
        "shared.wall_s": Spread(4.0, 4.0, 4.0),
    }
    assert results.of_server("slot1") == {}
