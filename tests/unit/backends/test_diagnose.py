"""The doctor's verdicts, from facts."""

import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.backends.compiler import Compiler
from runtime.backends.diagnose import Check, DoctorFacts, collect_facts, diagnose
from runtime.backends.hardware import GIB, Accelerator, Cores, Hardware, Memory
from runtime.core.settings import DEFAULT_MODEL

HARDWARE = Hardware(
    system="linux",
    cores=Cores(usable=8, logical=8, physical=4),
    instructions=frozenset({"AVX", "AVX2"}),
    memory=Memory(total_bytes=16 * GIB, available_bytes=12 * GIB),
    disk_free_bytes=100 * GIB,
    accelerators=(),
)
WELL = DoctorFacts(
    python_version=(3, 12, 1),
    home="/home/ana/lar",
    is_home_writable=True,
    hardware=HARDWARE,
    compiler=Compiler("/usr/bin/cc", "/usr/bin/c++"),
    venv="ensurepip",
    os_release="ID=debian",
    engines={"llama": "0.3.36"},
    models={DEFAULT_MODEL: True},
    port=8080,
    port_state="free",
)


def check_of(name: str, **changes: Any) -> Check:
    hardware = {key: changes.pop(key) for key in list(changes) if key in HARDWARE.__struct_fields__}
    facts = msgspec.structs.replace(WELL, hardware=msgspec.structs.replace(HARDWARE, **hardware), **changes)
    (found,) = (each for each in diagnose(facts) if each.name == name)
    return found


def test_a_machine_that_is_well_has_nothing_to_fix() -> None:
    checks = diagnose(WELL)

    assert {each.verdict for each in checks} == {"ok"}
    assert not [each.fix for each in checks if each.fix]
    assert len({each.name for each in checks}) == len(checks)


@pytest.mark.parametrize(
    ("name", "changes", "verdict", "words"),
    [
        ("python", {"python_version": (3, 9, 2)}, "fail", "3.11"),
        ("home", {"is_home_writable": False}, "fail", "LAR_HOME"),
        ("disk", {"disk_free_bytes": GIB, "engines": {"llama": None}}, "fail", "Free 1.0 GiB"),
        ("disk", {"disk_free_bytes": GIB}, "warn", "Free 1.0 GiB"),
        ("memory", {"memory": Memory(total_bytes=GIB // 2, available_bytes=GIB // 4)}, "fail", "1 GiB"),
        ("memory", {"memory": Memory(total_bytes=8 * GIB, available_bytes=GIB // 4)}, "warn", "Close"),
        ("memory", {"memory": Memory(total_bytes=2 * GIB, available_bytes=2 * GIB)}, "warn", "small models"),
        ("processor", {"instructions": frozenset({"AVX"})}, "warn", "slower"),
        ("compiler", {"compiler": None, "engines": {"llama": None}}, "warn", "apt install build-essential"),
        ("environments", {"venv": None}, "fail", "python3-venv"),
        ("backend llama", {"engines": {"llama": None}}, "warn", "installs it"),
        ("models", {"models": {DEFAULT_MODEL: False}}, "warn", "installs it"),
        ("port", {"port_state": "used"}, "warn", "server.port"),
        ("port", {"port_state": "forbidden", "port": 80}, "fail", "1024"),
    ],
)
def test_what_is_wrong_is_named_with_its_fix(
    name: str, changes: dict[str, Any], verdict: str, words: str
) -> None:
    check = check_of(name, **changes)

    assert check.verdict == verdict
    assert words in check.fix


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("compiler", {"compiler": None}),
        ("environments", {"venv": "uv"}),
        ("processor", {"instructions": None}),
        ("processor", {"instructions": frozenset({"NEON"})}),
    ],
)
def test_what_is_lacking_but_not_needed_is_fine(name: str, changes: dict[str, Any]) -> None:
    check = check_of(name, **changes)

    assert (check.verdict, check.fix) == ("ok", "")


def test_accelerators_are_named_with_their_memory() -> None:
    found = Accelerator(vendor="nvidia", name="NVIDIA H200", memory_bytes=140 * GIB)

    assert check_of("accelerators", accelerators=(found,)).finding == "NVIDIA H200 (140.0 GiB)"


async def test_facts_of_this_machine_can_be_collected_and_judged(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        facts = await collect_facts(tmp_path / "home", taken.getsockname()[1])

    assert facts.port_state == "used"
    assert facts.engines == {"llama": None, "onnx": None}
    assert facts.models == {"all-minilm-l6-v2": False, "smollm2-135m-instruct": False}
    assert not (tmp_path / "home").exists()
    assert {each.name for each in diagnose(facts)} >= {"python", "disk", "memory", "port"}
