"""An engine's environment: the order of its steps, what is used again, and what is said when one fails."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anyio
import msgspec
import pytest

from runtime.backends import environment
from runtime.backends.catalog.manifests import EngineManifest
from runtime.backends.command import Ended, Limits
from runtime.backends.compiler import Compiler
from runtime.backends.environment import Marker, make_environment, read_environment
from runtime.backends.folders import Folders
from runtime.backends.interpreter import python_version
from runtime.backends.job import Job
from runtime.core.errors import InstallFailed
from runtime.core.events import Progress
from runtime.core.settings import BackendSettings
from tests.kit.clock import FakeClock

FAKE = EngineManifest(
    id="fake",
    title="Fake",
    licence="MIT",
    requirements=("fake-engine==2.0", "numpy==2.4.6"),
    import_check="print('2.0')",
    needs_compiler=True,
    cmake="set(EXTRAS OFF)\n",
    build_minutes=3,
)
DONE = Ended(returncode=0, bound=None, tail=())
NO_WHEEL = Ended(
    returncode=1, bound=None, tail=("ERROR: No matching distribution found for fake-engine==2.0",)
)
NO_NETWORK = Ended(
    returncode=1,
    bound=None,
    tail=(
        "WARNING: Retrying … NewConnectionError …",
        "ERROR: No matching distribution found for fake-engine",
    ),
)


class Machine(Job):
    """A job that performs commands as a machine would, without one; `answers` overrides by step."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.told: list[Progress] = []
        self.steps: list[str] = []
        self.options: dict[str, tuple[str, ...]] = {}
        self.cmake: str | None = None
        self.answers: dict[str, Ended | Callable[[], Ended]] = {}
        super().__init__(
            log=folders.log("backend", "fake"),
            work=folders.engine_work("fake"),
            clock=FakeClock(),
            report=self.told.append,
        )

    async def run(
        self, command: Sequence[str], limits: Limits, *, cmake: Path | None = None, is_followed: bool = True
    ) -> Ended:
        assert limits.deadline_s > 0
        return await anyio.to_thread.run_sync(self._perform, tuple(command), cmake)

    def _perform(self, command: tuple[str, ...], cmake: Path | None) -> Ended:
        step = self._name(command)
        self.steps.append(step)
        self.options[step] = command
        answer = self.answers.get(step)
        if answer is not None:
            ended = answer if isinstance(answer, Ended) else answer()
            if not ended.is_success:
                return ended
        else:
            ended = DONE

        match step:
            case "venv" | "uv":
                python = self.folders.engine_python("fake")
                python.parent.mkdir(parents=True)
                python.write_text("")
            case "prebuilt" | "build":
                into = Path(
                    next(each for each in command if each.startswith("--wheel-dir=")).partition("=")[2]
                )
                into.mkdir(parents=True, exist_ok=True)
                (into / "fake_engine-2.0-py3-none-any.whl").write_text(step)
                self.cmake = cmake.read_text() if cmake else None
            case "version" if ended is DONE:
                return Ended(returncode=0, bound=None, tail=("pip 26.3 from somewhere",))
            case "cache" if ended is DONE:
                return Ended(returncode=0, bound=None, tail=("/caches/pip",))
            case "check" if ended is DONE:
                return Ended(returncode=0, bound=None, tail=("CPU : AVX = 1 |", "2.0"))

        return ended

    def _name(self, command: tuple[str, ...]) -> str:
        if command[1:3] == ("-m", "venv"):
            return "venv"
        if command[1] == "venv":
            return "uv"
        if "--version" in command:
            return "version"
        if command[-2:] == ("cache", "dir"):
            return "cache"
        if "--upgrade" in command:
            return "upgrade"
        if "wheel" in command:
            return "prebuilt" if "--only-binary=:all:" in command else "build"
        return "install" if "install" in command else "check"


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "home")


@pytest.fixture(autouse=True)
def machine_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(which: object, variables: Mapping[str, str]) -> Compiler:
        return Compiler("cc", "c++")

    monkeypatch.setattr(environment, "find_compiler", find)
    monkeypatch.setattr(environment, "find_uv", lambda: None)
    monkeypatch.setattr(environment, "has_ensurepip", lambda: True)
    monkeypatch.setattr(environment, "read_instructions", lambda probe: frozenset({"AVX", "AVX2"}))
    monkeypatch.setattr(environment, "read_os_release", lambda: "ID=debian\n")


async def make(
    machine: Machine, settings: BackendSettings | None = None, manifest: EngineManifest = FAKE
) -> environment.EnvironmentFacts:
    with anyio.fail_after(5):
        await machine.open()
        return await make_environment(manifest, machine.folders, settings or BackendSettings(), machine)


async def test_a_prebuilt_wheel_is_taken_where_there_is_one(folders: Folders) -> None:
    machine = Machine(folders)

    facts = await make(machine)

    assert facts == (folders.engine_python("fake"), "2.0")
    assert machine.steps == ["venv", "version", "prebuilt", "install", "check"]
    assert [each.phase for each in machine.told] == [
        "making the environment",
        "looking for a prebuilt fake-engine",
        "installing",
        "checking",
    ]


async def test_a_made_environment_is_found_again_and_leaves_no_scratch(folders: Folders) -> None:
    made = await make(Machine(folders))

    assert await anyio.to_thread.run_sync(read_environment, FAKE, folders) == made
    assert not folders.engine_work("fake").exists()


async def test_without_a_prebuilt_wheel_one_is_built_without_what_lar_does_not_use(folders: Folders) -> None:
    machine = Machine(folders)
    machine.answers["prebuilt"] = NO_WHEEL

    await make(machine)

    assert machine.steps == ["venv", "version", "prebuilt", "cache", "build", "install", "check"]
    assert machine.cmake == FAKE.cmake
    assert "preparing to build fake-engine, which takes some 3 minutes" in {
        each.phase for each in machine.told
    }


async def test_builds_with_other_settings_are_not_taken_from_the_cache(folders: Folders) -> None:
    caches = []
    for place, cmake in enumerate((FAKE.cmake, FAKE.cmake, "set(EXTRAS ON)")):
        machine = Machine(Folders(folders.home / str(place)))
        machine.answers["prebuilt"] = NO_WHEEL
        await make(machine, manifest=msgspec.structs.replace(FAKE, cmake=cmake))
        caches.append([each for each in machine.options["build"] if each.startswith("--cache-dir=")])

    assert caches[0] == caches[1] != caches[2]
    assert caches[0][0].startswith("--cache-dir=/caches/pip/lar-")


async def test_where_pip_keeps_no_cache_a_build_is_not_kept_either(folders: Folders) -> None:
    machine = Machine(folders)
    machine.answers["prebuilt"] = NO_WHEEL
    machine.answers["cache"] = Ended(returncode=1, bound=None, tail=("ERROR: cache is disabled",))

    await make(machine)

    assert not [each for each in machine.options["build"] if each.startswith("--cache-dir=")]


async def test_an_environment_that_was_built_another_way_counts_as_missing(folders: Folders) -> None:
    await make(Machine(folders))
    other = msgspec.structs.replace(FAKE, cmake="set(EXTRAS ON)")

    assert await anyio.to_thread.run_sync(read_environment, FAKE, folders) is not None
    assert await anyio.to_thread.run_sync(read_environment, other, folders) is None


async def test_extra_indexes_are_asked_and_installing_asks_none(folders: Folders) -> None:
    machine = Machine(folders)
    machine.answers["prebuilt"] = NO_WHEEL

    await make(machine, BackendSettings(extra_index_urls=("https://wheels.example/cpu",)))

    assert "--extra-index-url=https://wheels.example/cpu" in machine.options["prebuilt"]
    assert "--extra-index-url=https://wheels.example/cpu" in machine.options["build"]
    assert "--no-index" in machine.options["install"]


async def test_a_closed_list_of_requirements_is_all_that_is_fetched(folders: Folders) -> None:
    closed, usual = Machine(folders), Machine(Folders(folders.home / "usual"))

    await make(usual)
    await make(closed, manifest=msgspec.structs.replace(FAKE, is_closed=True))

    assert "--no-deps" in closed.options["prebuilt"]
    assert "--no-deps" not in usual.options["prebuilt"]


async def test_an_old_pip_is_made_new_first(folders: Folders) -> None:
    machine = Machine(folders)
    machine.answers["version"] = Ended(returncode=0, bound=None, tail=("pip 23.2.1 from somewhere",))

    await make(machine)

    assert machine.steps[:4] == ["venv", "version", "upgrade", "prebuilt"]


async def test_uv_makes_the_environment_where_python_cannot(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "find_uv", lambda: "/usr/bin/uv")
    machine = Machine(folders)
    machine.answers["venv"] = Ended(returncode=1, bound=None, tail=("ensurepip is not available",))

    await make(machine)

    assert machine.steps[:2] == ["venv", "uv"]


async def test_without_any_way_to_make_an_environment_the_fault_says_how_to_get_one(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "has_ensurepip", lambda: False)

    with pytest.raises(InstallFailed, match="sudo apt install python3-venv"):
        await make(Machine(folders))


async def test_without_a_compiler_the_fault_gives_the_command_that_installs_one(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_none(which: object, variables: Mapping[str, str]) -> None:
        return

    monkeypatch.setattr(environment, "find_compiler", find_none)
    machine = Machine(folders)
    machine.answers["prebuilt"] = NO_WHEEL

    with pytest.raises(InstallFailed, match="sudo apt install build-essential"):
        await make(machine)

    assert "build" not in machine.steps


async def test_a_build_that_is_not_allowed_does_not_begin(folders: Folders) -> None:
    machine = Machine(folders)
    machine.answers["prebuilt"] = NO_WHEEL

    with pytest.raises(InstallFailed, match=r"backends\.allow_source_build is off"):
        await make(machine, BackendSettings(allow_source_build=False))

    assert "build" not in machine.steps


async def test_a_lost_network_does_not_pass_for_a_missing_wheel(folders: Folders) -> None:
    machine = Machine(folders)
    machine.answers["prebuilt"] = NO_NETWORK

    with pytest.raises(InstallFailed, match="cannot be reached"):
        await make(machine)

    assert "build" not in machine.steps


@pytest.mark.parametrize("step", ["venv", "version", "prebuilt", "install", "check"])
async def test_after_a_failure_at_any_step_the_engine_counts_as_missing_and_the_next_try_succeeds(
    folders: Folders, step: str
) -> None:
    machine = Machine(folders)
    machine.answers[step] = Ended(returncode=1, bound=None, tail=("it broke",))

    with pytest.raises(InstallFailed):
        await make(machine)

    assert await anyio.to_thread.run_sync(read_environment, FAKE, folders) is None
    machine.answers.clear()
    assert (await make(machine)).version == "2.0"


async def test_collected_wheels_outlive_an_interruption_and_the_environment_is_made_anew(
    folders: Folders,
) -> None:
    machine = Machine(folders)
    machine.answers["check"] = Ended(returncode=137, bound=None, tail=())
    with pytest.raises(InstallFailed, match="memory ran out"):
        await make(machine)

    again = Machine(folders)
    await make(again)

    assert again.steps == ["venv", "version", "install", "check"]


async def test_wheels_that_cannot_be_installed_are_fetched_again_next_time(folders: Folders) -> None:
    machine = Machine(folders)
    machine.answers["install"] = Ended(returncode=1, bound=None, tail=("zipfile.BadZipFile",))
    with pytest.raises(InstallFailed):
        await make(machine)

    again = Machine(folders)
    await make(again)

    assert "prebuilt" in again.steps


async def test_a_wheel_for_another_processor_is_built_anew_here(folders: Folders) -> None:
    machine = Machine(folders)
    said = iter(["CPU : AVX = 1 | AVX512 = 1 |", "CPU : AVX = 1 | AVX2 = 1 |"])
    machine.answers["check"] = lambda: Ended(returncode=0, bound=None, tail=(next(said), "2.0"))

    await make(machine)

    building = ["cache", "build", "install", "check"]
    assert machine.steps == ["venv", "version", "prebuilt", "install", "check", *building]
    assert "--no-cache-dir" in machine.options["build"]
    assert "--no-binary=fake-engine" in machine.options["build"]


async def test_an_environment_that_came_from_another_processor_counts_as_missing(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(Machine(folders))
    monkeypatch.setattr(environment, "read_instructions", lambda probe: frozenset({"SSE4.2"}))

    assert await anyio.to_thread.run_sync(read_environment, FAKE, folders) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b'{"engine": "fake"}',
        msgspec.json.encode(
            Marker(engine="fake", version="1", requirements=("old==1",), python_version=python_version())
        ),
        msgspec.json.encode(
            Marker(engine="fake", version="1", requirements=FAKE.requirements, python_version="2.7")
        ),
    ],
)
def test_a_marker_that_is_damaged_or_of_another_time_does_not_count(tmp_path: Path, damage: bytes) -> None:
    folders = Folders(tmp_path)
    folders.engine_python("fake").parent.mkdir(parents=True)
    folders.engine_python("fake").write_text("")
    folders.engine_marker("fake").write_bytes(damage)

    assert read_environment(FAKE, folders) is None


def test_an_environment_whose_python_is_gone_does_not_count(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.engine_python("fake").parent.mkdir(parents=True)
    folders.engine_python("fake").symlink_to(tmp_path / "uninstalled")
    marker = Marker(
        engine="fake", version="1", requirements=FAKE.requirements, python_version=python_version()
    )
    folders.engine_marker("fake").write_bytes(msgspec.json.encode(marker))

    assert read_environment(FAKE, folders) is None


async def test_a_disk_that_filled_up_is_not_mistaken_for_the_network_as_pip_does(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = iter([10_000_000_000, 1_000_000])
    monkeypatch.setattr(environment, "free_bytes", lambda folder: next(rooms))
    machine = Machine(folders)
    machine.answers["prebuilt"] = NO_NETWORK

    with pytest.raises(InstallFailed, match="too little room"):
        await make(machine)


async def test_too_little_room_is_said_before_anything_is_made(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "free_bytes", lambda folder: 1000)
    needy = msgspec.structs.replace(FAKE, disk_bytes=1_000_000_000)
    machine = Machine(folders)

    with pytest.raises(InstallFailed, match=r"needs 1\.0 GB, .* has 1 KB free"):
        await make_environment(needy, folders, BackendSettings(), machine)

    assert machine.steps == []
    assert not await anyio.Path(folders.environment("fake")).exists()
