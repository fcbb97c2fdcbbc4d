"""Facts about machines that we do not have: read from what such machines say."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.backends.hardware import (
    GIB,
    Accelerator,
    Cores,
    Memory,
    SystemProbe,
    built_for,
    decide_build_jobs,
    read_accelerators,
    read_cores,
    read_hardware,
    read_instructions,
    read_memory,
    usable_cores,
)


class Machine:
    """A probe of a machine that a test describes."""

    def __init__(
        self,
        *,
        system: str = "linux",
        files: dict[str, str] | None = None,
        answers: dict[str, str] | None = None,
        cores: tuple[int, int | None, int | None] = (16, 8, 16),
        memory: tuple[int, int] = (64 * GIB, 32 * GIB),
    ) -> None:
        self.system = system
        self._files = files or {}
        self._answers = answers or {}
        self._cores = cores
        self._memory = memory

    def read(self, path: str) -> str | None:
        return self._files.get(path)

    def glob(self, folder: str, pattern: str) -> list[str]:
        prefix = f"{folder}/{pattern.partition('*')[0].partition('[')[0]}"
        found = {
            prefix + path.removeprefix(prefix).partition("/")[0]
            for path in self._files
            if path.startswith(prefix)
        }
        return sorted(found)

    def ask(self, command: Sequence[str]) -> str | None:
        return self._answers.get(Path(command[0]).name)

    def core_counts(self) -> tuple[int, int | None, int | None]:
        return self._cores

    def memory(self) -> tuple[int, int]:
        return self._memory

    def disk_free(self, folder: Path) -> int:
        return 100 * GIB


GROUP = {"/proc/self/cgroup": "0::/pod/container\n"}


@pytest.mark.parametrize(
    ("machine", "usable"),
    [
        (Machine(), 16),
        (Machine(cores=(16, 8, 4)), 4),
        (Machine(cores=(16, None, None)), 16),
        (Machine(files={**GROUP, "/sys/fs/cgroup/pod/container/cpu.max": "250000 100000\n"}), 3),
        (Machine(files={**GROUP, "/sys/fs/cgroup/pod/cpu.max": "50000 100000\n"}), 1),
        (Machine(files={**GROUP, "/sys/fs/cgroup/pod/container/cpu.max": "max 100000\n"}), 16),
        (Machine(files={"/proc/self/cgroup": "0::/../..\n", "/sys/fs/cgroup/cpu.max": "200000 100000\n"}), 2),
        (
            Machine(
                files={
                    "/proc/self/cgroup": "4:cpu:/x\n",
                    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "600000\n",
                    "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                }
            ),
            6,
        ),
        (
            Machine(
                files={
                    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                    "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                }
            ),
            16,
        ),
        (Machine(files={**GROUP, "/sys/fs/cgroup/pod/container/cpu.max": "nonsense"}), 16),
    ],
)
def test_usable_cores_heed_affinity_and_the_containers_quota(machine: Machine, usable: int) -> None:
    assert read_cores(machine).usable == usable


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (64 * GIB, 32 * GIB)),
        (
            {
                **GROUP,
                "/sys/fs/cgroup/pod/container/memory.max": str(4 * GIB),
                "/sys/fs/cgroup/pod/container/memory.current": str(1 * GIB),
            },
            (4 * GIB, 3 * GIB),
        ),
        (
            {
                **GROUP,
                "/sys/fs/cgroup/pod/container/memory.max": str(4 * GIB),
                "/sys/fs/cgroup/pod/container/memory.current": str(4 * GIB),
                "/sys/fs/cgroup/pod/container/memory.stat": f"active_file {GIB}\ninactive_file {GIB}\n",
            },
            (4 * GIB, 2 * GIB),
        ),
        (
            {
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": str(4 * GIB),
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": str(4 * GIB),
                "/sys/fs/cgroup/memory/memory.stat": "active_file 1\ninactive_file 1\n"
                f"total_active_file {GIB}\ntotal_inactive_file {GIB}\n",
            },
            (4 * GIB, 2 * GIB),
        ),
        ({**GROUP, "/sys/fs/cgroup/pod/memory.max": "max\n"}, (64 * GIB, 32 * GIB)),
        (
            {
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": str(2 * GIB),
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": str(3 * GIB),
            },
            (2 * GIB, 0),
        ),
        ({"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, (64 * GIB, 32 * GIB)),
    ],
)
def test_memory_heeds_the_containers_limit(files: dict[str, str], expected: tuple[int, int]) -> None:
    memory = read_memory(Machine(files=files))

    assert (memory.total_bytes, memory.available_bytes) == expected


def test_instruction_sets_are_read_on_linux_for_both_kinds_of_processor() -> None:
    intel = Machine(files={"/proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2 avx512f\n\n"})
    arm = Machine(files={"/proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n"})

    assert read_instructions(intel) == frozenset({"SSE4.2", "AVX", "AVX2", "AVX512"})
    assert read_instructions(arm) == frozenset({"NEON", "DOTPROD", "I8MM"})


def test_instruction_sets_are_read_on_a_mac() -> None:
    said = "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 0\nhw.optional.AdvSIMD: 1\n"

    assert read_instructions(Machine(system="darwin", answers={"sysctl": said})) == frozenset(
        {"DOTPROD", "NEON"}
    )


@pytest.mark.parametrize("machine", [Machine(system="freebsd"), Machine(), Machine(system="darwin")])
def test_instruction_sets_that_cannot_be_known_are_none(machine: Machine) -> None:
    assert read_instructions(machine) is None


def test_a_build_says_for_which_processor_it_is() -> None:
    said = ["CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | AVX512 = 0 | LLAMAFILE = 1 | REPACK = 1 |", "0.3.36"]

    assert built_for(said) == {"AVX", "AVX2"}
    assert built_for(["0.3.36"]) == frozenset()


def test_nvidia_is_known_by_its_own_tool_with_memory() -> None:
    machine = Machine(answers={"nvidia-smi": "NVIDIA H200, 143771\nNVIDIA, Odd Name, [N/A]\n"})

    assert read_accelerators(machine) == (
        Accelerator(vendor="nvidia", name="NVIDIA H200", memory_bytes=143771 * 1024**2),
        Accelerator(vendor="nvidia", name="NVIDIA, Odd Name"),
    )


def test_nvidia_without_its_tool_is_known_by_its_devices() -> None:
    machine = Machine(files={"/dev/nvidia0": "", "/dev/nvidiactl": "", "/dev/nvidia-uvm": ""})

    assert [each.vendor for each in read_accelerators(machine)] == ["nvidia"]


def test_amd_and_intel_are_known_by_what_the_kernel_says() -> None:
    drm = "/sys/class/drm"
    machine = Machine(
        files={
            f"{drm}/renderD128/device/vendor": "0x1002\n",
            f"{drm}/renderD128/device/mem_info_vram_total": str(16 * GIB),
            f"{drm}/renderD129/device/vendor": "0x8086\n",
            f"{drm}/renderD130/device/vendor": "0x10de\n",
        }
    )

    assert read_accelerators(machine) == (
        Accelerator(vendor="amd", name="AMD graphics renderD128", memory_bytes=16 * GIB),
        Accelerator(vendor="intel", name="Intel graphics renderD129"),
    )


def test_metal_is_there_on_apple_processors_alone() -> None:
    apple = Machine(system="darwin", answers={"sysctl": "Apple M4 Pro\n"})
    intel = Machine(system="darwin", answers={"sysctl": "Intel(R) Core(TM) i7\n"})

    assert read_accelerators(apple) == (Accelerator(vendor="apple", name="Apple M4 Pro (Metal)"),)
    assert read_accelerators(intel) == ()


@pytest.mark.parametrize(
    ("usable", "available_bytes", "jobs"),
    [(8, 64 * GIB, 8), (8, 3 * GIB, 3), (8, GIB // 2, 1), (1, 64 * GIB, 1)],
)
def test_compilers_run_side_by_side_as_cores_and_memory_allow(
    usable: int, available_bytes: int, jobs: int
) -> None:
    cores = Cores(usable=usable, logical=8)

    assert decide_build_jobs(cores, Memory(total_bytes=64 * GIB, available_bytes=available_bytes)) == jobs


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    hardware = read_hardware(SystemProbe(), tmp_path / "not" / "there" / "yet")

    assert 1 <= hardware.cores.usable <= hardware.cores.logical
    assert usable_cores() == hardware.cores.usable
    assert 0 < hardware.memory.available_bytes <= hardware.memory.total_bytes
    assert hardware.disk_free_bytes > 0


def test_a_tool_that_is_missing_fails_or_hangs_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.backends.hardware._ASK_S", 0.2)
    probe = SystemProbe()

    assert probe.ask(["/no/such/tool"]) is None
    assert probe.ask(["/bin/sh", "-c", "exit 3"]) is None
    assert probe.ask(["/bin/sh", "-c", "exec sleep 30"]) is None
    assert probe.ask(["/bin/sh", "-c", "echo yes"]) == "yes\n"
