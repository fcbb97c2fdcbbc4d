"""The accidents of the scripted engine, done for real in a child process."""

import os
import signal
import subprocess
import sys

import pytest

from runtime.backends.engines.scripted.surroundings import NOISE

BOUND_S = 20.0
"""A child that takes longer is stuck."""


def child(accident: str) -> subprocess.Popen[bytes]:
    code = (
        "import os; from runtime.backends.engines.scripted.surroundings import Process; "
        f"os.write(2, b'ready'); Process().{accident}()"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_crash_ends_the_process_by_a_signal_with_a_last_word() -> None:
    with child("crash") as process:
        _, errors = process.communicate(timeout=BOUND_S)

    assert process.returncode == -signal.SIGABRT
    assert b"[[crash]]" in errors


def test_noise_is_written_on_descriptor_1() -> None:
    with child("make_noise") as process:
        output, _ = process.communicate(timeout=BOUND_S)

    assert output == NOISE
    assert process.returncode == 0


def test_a_frozen_process_stops_and_can_be_continued() -> None:
    with child("freeze") as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=BOUND_S)

    assert process.returncode == 0


def test_a_hanging_process_does_not_end_by_itself() -> None:
    with child("hang") as process:
        assert process.stderr is not None
        assert process.stderr.read(len(b"ready")) == b"ready"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        process.kill()
        process.communicate(timeout=BOUND_S)
