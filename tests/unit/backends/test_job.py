"""One install's commands: their environment, their second chance, and the progress that is heard."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime.backends import job as job_module
from runtime.backends.command import Ended, Limits
from runtime.backends.job import Job, build_environment
from runtime.core.events import Progress
from tests.kit.clock import FakeClock

LIMITS = Limits(5.0, 5.0)
LOST = Ended(returncode=1, bound=None, tail=("ConnectionResetError: [Errno 104]",))
DONE = Ended(returncode=0, bound=None, tail=())


def test_what_a_person_set_for_builds_and_indexes_stays() -> None:
    mine = {
        "CMAKE_ARGS": "-DGGML_CUDA=on",
        "CC": "clang",
        "PIP_INDEX_URL": "https://mirror.example",
        "PATH": "/bin",
    }

    environment = build_environment(mine, Path("/t"), 4, Path("/a b/options.cmake"))

    assert environment["CMAKE_ARGS"] == "-DCMAKE_PROJECT_INCLUDE='/a b/options.cmake' -DGGML_CUDA=on"
    assert {key: environment[key] for key in ("CC", "PIP_INDEX_URL", "PATH")} == {
        "CC": "clang",
        "PIP_INDEX_URL": "https://mirror.example",
        "PATH": "/bin",
    }
    assert environment["CMAKE_BUILD_PARALLEL_LEVEL"] == "4"
    assert environment["TMPDIR"] == "/t"


def test_a_persons_own_number_of_build_jobs_wins() -> None:
    environment = build_environment({"CMAKE_BUILD_PARALLEL_LEVEL": "1"}, Path("/t"), 4)

    assert environment["CMAKE_BUILD_PARALLEL_LEVEL"] == "1"
    assert "CMAKE_ARGS" not in environment


def test_nothing_points_the_new_environment_back_at_ours() -> None:
    ours = {"PYTHONPATH": "x", "PYTHONHOME": "x", "VIRTUAL_ENV": "x", "PIP_TARGET": "x", "PIP_USER": "1"}

    environment = build_environment(ours, Path("/t"), 1)

    assert environment.keys().isdisjoint(ours.keys() - {"PIP_USER"})
    assert environment["PIP_USER"] == "0"


@pytest.fixture
def told() -> list[Progress]:
    return []


@pytest.fixture
async def job(tmp_path: Path, told: list[Progress]) -> Job:
    job = Job(log=tmp_path / "logs" / "log", work=tmp_path / "work", clock=FakeClock(), report=told.append)
    await job.open()
    return job


def script(monkeypatch: pytest.MonkeyPatch, *endings: Ended, lines: tuple[str, ...] = ()) -> list[Any]:
    calls: list[Any] = []
    left = list(endings)

    async def run(command: list[str], *, on_line: Callable[[str], None], **rest: object) -> Ended:
        calls.append(command)
        for line in lines:
            on_line(line)
        return left.pop(0)

    monkeypatch.setattr(job_module, "run_command", run)
    monkeypatch.setattr(job_module, "_RETRY_PAUSE_S", 0.0)
    return calls


async def test_a_step_that_the_network_broke_gets_one_more_try(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = script(monkeypatch, LOST, DONE)

    assert await job.pip(Path("python"), ["download"], LIMITS) == DONE
    assert calls == [["python", "-m", "pip", "download"]] * 2


async def test_a_network_that_stays_away_is_a_failure(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = script(monkeypatch, LOST, LOST)

    assert await job.run(["x"], LIMITS) == LOST
    assert len(calls) == 2


async def test_other_failures_get_no_second_try(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Ended(returncode=1, bound=None, tail=("error: expected ';'",))
    calls = script(monkeypatch, broken)

    assert await job.run(["x"], LIMITS) == broken
    assert len(calls) == 1


async def test_progress_is_heard_from_the_output(
    job: Job, told: list[Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, DONE, lines=("  Downloading a-1.tar.gz (1 MB)", "Progress 5 of 9", "chatter"))

    await job.run(["x"], LIMITS)
    await job.aclose()

    assert [(each.phase, each.done) for each in told] == [("fetching a-1", None), ("fetching a-1", 5)]


async def test_an_ended_job_leaves_its_log_and_no_temporary_files(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    await anyio.Path(job.temporary / "pip-build").mkdir()

    await job.aclose()

    assert not await anyio.Path(job.temporary).exists()
    assert await anyio.Path(job.log).exists()
