"""Causes and fixes, from what tools print."""

import errno
from pathlib import Path

import pytest

from runtime.backends.command import Ended
from runtime.backends.compiler import compiler_advice, find_compiler, venv_advice
from runtime.backends.remedies import (
    explain_failure,
    explain_os_error,
    is_network_trouble,
    is_without_wheel,
    require_room,
)
from runtime.core.errors import InstallFailed

LOG = Path("logs/backend-x.log")


def failed(*lines: str, returncode: int = 1) -> Ended:
    return Ended(returncode=returncode, bound=None, tail=lines)


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (
            failed("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"),
            "disk is full",
        ),
        (
            failed("fatal error: error writing to a.o: No space left on device", "ninja: build stopped"),
            "disk is full",
        ),
        (failed("OSError: [Errno 122] Disk quota exceeded"), "disk is full"),
        (failed("c++: fatal error: Killed signal terminated program cc1plus"), "PARALLEL_LEVEL=1"),
        (failed("collecting", returncode=137), "memory ran out"),
        (failed("CMake Error: CMAKE_CXX_COMPILER not set, after EnableLanguage"), "Install one: make me one"),
        (failed("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]"), "certificate"),
        (failed("NewConnectionError: [Errno -2] Name or service not known"), "cannot be reached"),
        (failed("ERROR: HTTP error 503 while getting x"), "cannot be reached"),
        (failed("ERROR: No matching distribution found for x==1"), "no version that fits"),
        (failed("PermissionError: [Errno 13] Permission denied: '/x'"), "Check who owns it"),
        (failed("something new", returncode=7), "ended with status 7"),
        (Ended(returncode=137, bound="deadline", tail=("x",)), "build_deadline_s"),
        (Ended(returncode=137, bound="silence", tail=()), "printed nothing"),
    ],
)
def test_a_cause_is_found_in_the_output(ended: Ended, words: str) -> None:
    fault = explain_failure("building x", ended, LOG, "make me one")

    assert fault.code == "install_failed"
    assert words in fault.message
    assert str(LOG) in fault.message


def test_the_last_lines_of_output_are_the_detail() -> None:
    fault = explain_failure("building x", failed(*map(str, range(100))), LOG, "")

    assert fault.detail is not None
    assert fault.detail.splitlines() == [str(each) for each in range(88, 100)]


def test_an_unreachable_index_is_network_trouble_and_no_missing_wheel() -> None:
    lost = failed("WARNING: Retrying (ReadTimeoutError)", "ERROR: No matching distribution found for x")

    assert is_network_trouble(lost)
    assert not is_without_wheel(lost)
    assert is_without_wheel(failed("ERROR: No matching distribution found for x"))


def test_success_is_neither() -> None:
    done = Ended(
        returncode=0,
        bound=None,
        tail=("Retrying after ConnectionResetError", "No matching distribution found for"),
    )

    assert not is_network_trouble(done)
    assert not is_without_wheel(done)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), "LAR_HOME"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/lar"), "/data/lar may not be written"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_what_the_system_refuses_is_said_in_words(problem: OSError, words: str) -> None:
    assert words in explain_os_error("installing x", problem).message


def test_room_is_enough_or_refused_with_both_numbers() -> None:
    require_room("x", 10, 10, Path("home"))

    with pytest.raises(InstallFailed, match=r"needs 2\.0 GB, .* has 500 MB free\. Free 1\.5 GB"):
        require_room("x", 2_000_000_000, 500_000_000, Path("home"))


@pytest.mark.parametrize(
    ("os_release", "platform", "command"),
    [
        ('ID=debian\nNAME="Debian"', "linux", "apt install build-essential"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"', "linux", "apt install build-essential"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "linux", "dnf install"),
        ("ID=arch", "linux", "pacman"),
        ("ID=opensuse-leap\nID_LIKE='suse opensuse'", "linux", "zypper"),
        ("ID=unheard-of", "linux", "Debian, Ubuntu"),
        ("", "darwin", "xcode-select --install"),
    ],
)
def test_the_advice_fits_the_system(os_release: str, platform: str, command: str) -> None:
    assert command in compiler_advice(os_release, platform)


def test_environments_are_mended_by_the_systems_package_or_by_uv() -> None:
    assert "python3-venv" in venv_advice("ID=ubuntu")
    assert "uv" in venv_advice("")


@pytest.mark.parametrize(
    ("present", "variables", "expected"),
    [
        ({"cc", "c++"}, {}, ("/bin/cc", "/bin/c++")),
        ({"clang", "clang++"}, {}, ("/bin/clang", "/bin/clang++")),
        ({"cc"}, {}, None),
        (set(), {}, None),
        ({"cc", "c++", "icx", "icpx"}, {"CC": "icx -O2", "CXX": "icpx"}, ("/bin/icx", "/bin/icpx")),
        ({"cc", "c++"}, {"CC": "missing"}, None),
        ({"cc", "c++"}, {"CC": " "}, ("/bin/cc", "/bin/c++")),
    ],
)
def test_both_compilers_are_needed_and_a_wish_wins(
    present: set[str], variables: dict[str, str], expected: tuple[str, str] | None
) -> None:
    assert find_compiler(lambda name: f"/bin/{name}" if name in present else None, variables) == expected
