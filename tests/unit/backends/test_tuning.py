"""Defaults of a model's tuning: what the machine allows, and nothing that was set is overruled."""

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.protocol import Tuning
from runtime.backends.tuning import Files, Machine, decide_tuning, folder_name
from runtime.core.settings import GIB, MIB, ModelTuning

FILES = Files(cache_folder="/home/cache")


def machine(memory_bytes: int = 8 * GIB, disk_free_bytes: int = 100 * GIB, cores: int = 8) -> Machine:
    return Machine(cores=cores, memory_bytes=memory_bytes, disk_free_bytes=disk_free_bytes)


def test_prefixes_get_a_share_of_the_machine_with_a_bound() -> None:
    small = decide_tuning(ModelTuning(), machine(2 * GIB, 10 * GIB), FILES, 1)
    large = decide_tuning(ModelTuning(), machine(64 * GIB, 500 * GIB), FILES, 1)

    assert (small.cache_ram_bytes, small.cache_disk_bytes) == (2 * GIB // 20, GIB)
    assert (large.cache_ram_bytes, large.cache_disk_bytes) == (GIB, 4 * GIB)


def test_what_was_set_holds_and_zero_is_a_setting() -> None:
    wanted = ModelTuning(
        kv_type="q8_0",
        cache_ram_bytes=0,
        cache_disk_bytes=5 * MIB,
        speculation=False,
        context_tokens=100,
        sequences=3,
        threads=2,
        gpu_layers=-1,
    )

    tuning = decide_tuning(wanted, machine(), FILES, 4)

    assert (tuning.kv_type, tuning.cache_ram_bytes, tuning.cache_disk_bytes) == ("q8_0", 0, 5 * MIB)
    assert (tuning.speculation, tuning.context_tokens, tuning.sequences) == (False, 100, 3)
    assert (tuning.threads, tuning.gpu_layers) == (2, -1)


def test_what_was_not_set_has_a_default() -> None:
    tuning = decide_tuning(ModelTuning(), machine(), FILES, 2)

    assert (tuning.kv_type, tuning.speculation, tuning.sequences) == ("f16", True, 8)
    assert (tuning.threads, tuning.batch_tokens) == (4, Tuning().batch_tokens)
    assert (tuning.cache_folder, tuning.adapters, tuning.projector) == ("/home/cache", {}, None)


def test_files_reach_the_engine_by_name() -> None:
    files = Files(cache_folder="/c", adapters={"sql": "/w/sql.gguf"}, projector="/w/eye.gguf")

    tuning = decide_tuning(ModelTuning(), machine(), files, 1)

    assert (tuning.adapters, tuning.projector) == ({"sql": "/w/sql.gguf"}, "/w/eye.gguf")


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_models_folder_is_one_step_down_and_its_own(one: str, other: str) -> None:
    name = folder_name(one)

    assert PurePosixPath("/cache", name).parts == ("/", "cache", name)
    assert name not in (".", "..")
    assert (name == folder_name(other)) == (one == other)
