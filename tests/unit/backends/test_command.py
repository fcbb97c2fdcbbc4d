"""Outside commands: output, limits, and that nothing of them outlives its reason."""

import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE

import anyio
import psutil
import pytest

from runtime.backends import leash
from runtime.backends.command import Ended, Limits, redact, run_command

RELAXED = Limits(deadline_s=30.0, silence_s=30.0)
SPAWNS_A_CHILD_AND_WAITS = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


async def run_python(code: str, log: Path, limits: Limits = RELAXED) -> tuple[Ended, list[str]]:
    lines: list[str] = []
    with anyio.fail_after(20):
        ended = await run_command(
            [sys.executable, "-u", "-c", code],
            log=log,
            limits=limits,
            environment=dict(os.environ),
            on_line=lines.append,
        )

    return ended, lines


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def wait_until_gone(pid: int) -> None:
    with anyio.fail_after(5):
        while is_alive(pid):  # noqa: ASYNC110 - the death of a stranger sets no event here
            await anyio.sleep(0.01)


async def test_output_of_both_kinds_arrives_in_lines_and_in_the_log(tmp_path: Path) -> None:
    code = "import sys; print('one'); sys.stderr.write('two\\rthree'); print('\\n', end='')"

    ended, lines = await run_python(code, tmp_path / "log")

    assert ended == Ended(returncode=0, bound=None, tail=("one", "two", "three"))
    assert lines == ["one", "two", "three"]
    assert "one\ntwo\nthree\n[ended with 0]" in (tmp_path / "log").read_text()


async def test_a_failing_command_gives_its_status_and_its_last_lines(tmp_path: Path) -> None:
    ended, _ = await run_python("for n in range(500): print(n)\nraise SystemExit(3)", tmp_path / "log")

    assert (ended.returncode, ended.is_success) == (3, False)
    assert ended.tail[-1] == "499"
    assert len(ended.tail) == 200


async def test_a_command_that_a_signal_ended_says_so_as_a_shell_would(tmp_path: Path) -> None:
    ended, _ = await run_python("import os; os.kill(os.getpid(), 9)", tmp_path / "log")

    assert ended.returncode == 128 + signal.SIGKILL


async def test_a_command_that_cannot_start_is_a_failure_and_no_crash(tmp_path: Path) -> None:
    ended = await run_command(
        ["/no/such/program"],
        log=tmp_path / "log",
        limits=RELAXED,
        environment={},
        on_line=lambda line: None,
    )

    assert ended.returncode == 127
    assert "cannot be started" in ended.tail[0]


async def test_bytes_that_are_no_utf8_and_endless_lines_do_no_harm(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.buffer.write(b'\\xff\\xfe\\n' + b'x' * 200_000)"

    ended, lines = await run_python(code, tmp_path / "log")

    assert ended.is_success
    assert lines[0] == "\ufffd\ufffd"
    assert sum(map(len, lines[1:])) == 200_000


@pytest.mark.parametrize(
    ("limits", "bound"),
    [
        (Limits(deadline_s=30.0, silence_s=1.0), "silence"),
        (Limits(deadline_s=1.0, silence_s=30.0), "deadline"),
    ],
)
async def test_a_command_beyond_its_limit_is_killed_with_its_children(
    tmp_path: Path, limits: Limits, bound: str
) -> None:
    ended, lines = await run_python(SPAWNS_A_CHILD_AND_WAITS, tmp_path / "log", limits)

    assert (ended.bound, ended.is_success) == (bound, False)
    await wait_until_gone(int(lines[0]))


async def test_a_chatty_command_meets_its_deadline_too(tmp_path: Path) -> None:
    code = "import time\nwhile True: print('still here', flush=True); time.sleep(0.01)"

    ended, _ = await run_python(code, tmp_path / "log", Limits(deadline_s=1.0, silence_s=5.0))

    assert ended.bound == "deadline"


async def test_cancelling_kills_the_command_with_its_children(tmp_path: Path) -> None:
    pids: list[int] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:

            def note(line: str) -> None:
                pids.append(int(line))
                tasks.cancel_scope.cancel()

            await run_command(
                [sys.executable, "-u", "-c", SPAWNS_A_CHILD_AND_WAITS],
                log=tmp_path / "log",
                limits=RELAXED,
                environment=dict(os.environ),
                on_line=note,
            )

    await wait_until_gone(pids[0])


async def test_a_daemon_that_keeps_the_pipe_open_does_not_hold_up_the_end(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)\n"
    )

    ended, lines = await run_python(code, tmp_path / "log")

    assert ended.is_success
    psutil.Process(int(lines[0])).kill()


async def test_credentials_in_addresses_reach_neither_log_nor_lines(tmp_path: Path) -> None:
    ended, lines = await run_python("print('https://me:secret@index.example/simple')", tmp_path / "log")

    assert ended.is_success
    assert lines == ["https://****@index.example/simple"]
    assert "secret" not in (tmp_path / "log").read_text()


def test_addresses_without_credentials_stay_as_they_are() -> None:
    assert redact("https://index.example/a@b file:///x@y") == "https://index.example/a@b file:///x@y"
    assert redact("https://token@index.example") == "https://****@index.example"


async def lead(code: str) -> tuple[int, int]:
    """Let go of a leashed command once it printed its child's number; return that and its status."""
    command = [sys.executable, "-I", "-S", leash.__file__, sys.executable, "-u", "-c", code]
    with anyio.fail_after(20):
        async with await anyio.open_process(
            command, stdin=PIPE, stdout=PIPE, start_new_session=True
        ) as leashed:
            assert leashed.stdin is not None
            assert leashed.stdout is not None
            child = int(await leashed.stdout.receive())
            assert is_alive(child)

            await leashed.stdin.aclose()

            return child, await leashed.wait()


async def test_a_command_dies_with_the_process_that_asked_for_it() -> None:
    child, status = await lead(SPAWNS_A_CHILD_AND_WAITS)

    assert status == 128 + signal.SIGTERM
    await wait_until_gone(child)


async def test_a_command_that_will_not_end_is_killed() -> None:
    child, status = await lead(
        "import signal; signal.signal(signal.SIGTERM, lambda *_: None)\n" + SPAWNS_A_CHILD_AND_WAITS
    )

    assert status == 128 + signal.SIGKILL
    await wait_until_gone(child)


async def test_a_build_tool_has_time_to_end_compilers_in_groups_of_their_own() -> None:
    child, _ = await lead(
        "import os, signal, subprocess, sys, time\n"
        "own = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], process_group=0)\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.killpg(own.pid, signal.SIGTERM), sys.exit(1)))\n"
        "print(own.pid, flush=True)\n"
        "time.sleep(60)\n"
    )

    await wait_until_gone(child)
