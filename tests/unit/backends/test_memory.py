"""Room for another model: what is free, less what loaded models have yet to take."""

import msgspec
import pytest

from runtime.backends.connection import WorkerSpec
from runtime.backends.estimate import Estimate
from runtime.backends.memory import (
    Holding,
    MachineMemory,
    Measured,
    explain_refusal,
    gives_of,
    room_beside,
    tell_bytes,
)
from runtime.backends.protocol import Tuning
from runtime.core.ids import ModelId
from runtime.core.placement import Needs, Room
from runtime.core.settings import GIB, MIB
from tests.unit.backends.test_hardware import Machine

PID = 4711


def spec(
    weights_bytes: int = 0, cache_bytes: int = 0, device_bytes: int = 0, tuning: Tuning | None = None
) -> WorkerSpec:
    return WorkerSpec(
        model=ModelId("m"),
        engine="llama",
        python="python",
        path=None,
        tuning=tuning or Tuning(),
        load_deadline_s=1.0,
        estimate=Estimate(weights_bytes=weights_bytes, cache_bytes=cache_bytes, device_bytes=device_bytes),
    )


def measured(free_bytes: int, held: int = 0, device_bytes: int | None = None) -> Measured:
    return Measured(free_bytes, {PID: held}, device_bytes)


def test_an_empty_machine_offers_what_it_has_free() -> None:
    assert room_beside([], measured(10), None) == Room(main_bytes=10)


def test_a_model_counts_with_what_it_has_yet_to_take() -> None:
    loaded = Holding(spec(weights_bytes=4, cache_bytes=3), PID)

    assert room_beside([loaded], measured(10, held=3), None) == Room(main_bytes=10 - 4)


def test_a_model_that_is_still_loading_counts_whole() -> None:
    loading = Holding(spec(weights_bytes=4, cache_bytes=3), None)

    assert room_beside([loading], measured(10), None) == Room(main_bytes=10 - 7)


def test_a_model_that_took_more_than_was_estimated_has_nothing_more_to_take() -> None:
    grown = Holding(spec(weights_bytes=4), PID)

    assert room_beside([grown], measured(10, held=9), None) == Room(main_bytes=10)
    assert gives_of(grown, measured(10, held=9)) == Needs(main_bytes=9)


def test_what_a_model_gives_back_makes_the_room_that_it_took() -> None:
    loaded = Holding(spec(weights_bytes=4, cache_bytes=3, device_bytes=2), PID)
    now = measured(10, held=3, device_bytes=8)

    alone = room_beside([loaded], now, None).with_back([gives_of(loaded, now)])

    assert alone == Room(main_bytes=10 + 3, device_bytes=8)


def test_a_limit_counts_estimates_whatever_the_machine_has() -> None:
    loaded = Holding(spec(weights_bytes=4), PID)

    assert room_beside([loaded], measured(1000), 10) == Room(main_bytes=6)
    assert room_beside([loaded], measured(1000), 2) == Room(main_bytes=-2)


def test_a_model_that_nobody_could_estimate_takes_no_room() -> None:
    unknown = Holding(msgspec.structs.replace(spec(), estimate=None), PID)

    assert room_beside([unknown], measured(10), None) == Room(main_bytes=10)


def test_a_reserve_is_left_to_the_rest_of_the_machine() -> None:
    for total, reserve in ((2 * GIB, 256 * MIB), (20 * GIB, GIB), (200 * GIB, 2 * GIB)):
        machine = MachineMemory(Machine(memory=(total, total)), None)
        assert machine.measure([], has_device=False).free_bytes == pytest.approx(total - reserve, abs=1)


def test_accelerators_are_asked_once_and_only_where_a_model_wants_them() -> None:
    asked: list[str] = []

    class Watched(Machine):
        def ask(self, command: object) -> str | None:
            asked.append(str(command))
            return "NVIDIA H200, 1000\n"

    memory = MachineMemory(Watched(), None)

    assert memory.measure([], has_device=False).device_bytes is None
    assert asked == []
    assert memory.measure([], has_device=True).device_bytes == 950 * MIB
    assert memory.measure([], has_device=True).device_bytes == 950 * MIB
    assert len(asked) == 1


def test_a_process_that_is_gone_holds_nothing() -> None:
    assert MachineMemory(Machine(), None).measure([1 << 30], has_device=False).held == {1 << 30: 0}


def test_a_refusal_says_what_is_needed_what_there_is_and_what_to_do() -> None:
    wanted = spec(6 * GIB, 4 * GIB, tuning=Tuning(context_tokens=131072, cache_ram_bytes=GIB))

    fault = explain_refusal(wanted, Room(main_bytes=5 * GIB), None)

    assert fault.code == "insufficient_memory"
    for words in (
        "'m' needs 10.0 GiB",
        "weights 6.0 GiB",
        "At best 5.0 GiB",
        "other programs",
        "model.m.context_tokens (131072 now)",
        'model.m.kv_type = "q8_0"',
        "model.m.cache_ram_bytes (1.0 GiB now)",
        "lar.toml",
    ):
        assert words in fault.message


def test_a_refusal_by_the_own_limit_names_the_limit() -> None:
    fault = explain_refusal(spec(6 * GIB, tuning=Tuning(kv_type="q8_0")), Room(main_bytes=GIB), GIB)

    assert "models.memory_bytes in lar.toml allows no more" in fault.message
    assert "raise models.memory_bytes" in fault.message
    assert "kv_type" not in fault.message


def test_a_refusal_by_the_accelerator_speaks_of_it() -> None:
    fault = explain_refusal(
        spec(GIB, device_bytes=9 * GIB), Room(main_bytes=2 * GIB, device_bytes=8 * GIB), None
    )

    assert "9.0 GiB of the accelerator's memory, which has 8.0 GiB" in fault.message
    assert "model.m.gpu_layers" in fault.message


def test_sizes_are_told_in_units_that_people_read() -> None:
    assert (tell_bytes(512 * MIB), tell_bytes(3 * GIB // 2)) == ("512 MiB", "1.5 GiB")
