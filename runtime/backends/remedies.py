"""Says in words why a step of an install failed and what helps, from how its command ended. Pure."""

import errno
import re
from pathlib import Path

from runtime.backends.command import Ended, redact
from runtime.core.errors import Fault, InstallFailed

DETAIL_LINES = 12
"""Last lines of output that an answer carries; the log has the rest."""
_DISK_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_KILLED = 128 + 9

_DISK = re.compile(r"No space left on device|Disk quota exceeded|\[Errno (28|122|69)\]")
_MEMORY = re.compile(r"Killed signal terminated program|virtual memory exhausted|[Cc]annot allocate memory")
_CERTIFICATE = re.compile(r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError")
_NETWORK = re.compile(
    r"Failed to establish a new connection|Name or service not known|Temporary failure in name resolution"
    r"|nodename nor servname|NewConnectionError|NameResolutionError|Network is unreachable"
    r"|ConnectionResetError|Connection reset by peer|Connection refused|Connection broken|RemoteDisconnected"
    r"|IncompleteRead|IncompleteDownload|incomplete-download|Read timed out|ReadTimeoutError"
    r"|ConnectTimeoutError|Max retries exceeded|ProxyError|HTTP error 5\d\d|5\d\d Server Error"
)
_NO_COMPILER = re.compile(
    r"CMAKE_C(XX)?_COMPILER not set|No CMAKE_C(XX)?_COMPILER could be found"
    r"|error: command '[^']+' failed: No such"
)
_NO_MATCH = re.compile(r"No matching distribution found for|Could not find a version that satisfies")
_PERMISSION = re.compile(r"Permission denied|\[Errno 13\]")

_MEMORY_REMEDY = "memory ran out. Close other programs, or set CMAKE_BUILD_PARALLEL_LEVEL=1, and try again."


def is_network_trouble(ended: Ended) -> bool:
    """Whether the network was at fault, so that trying again may help."""
    return not ended.is_success and bool(_NETWORK.search("\n".join(ended.tail)))


def is_without_wheel(ended: Ended) -> bool:
    """Whether an index answered and had no wheel that fits this Python and machine."""
    if ended.is_success or is_network_trouble(ended):
        return False

    return bool(_NO_MATCH.search("\n".join(ended.tail)))


def explain_failure(step: str, ended: Ended, log: Path, compiler_advice: str) -> Fault:
    """Say why a command failed. `step` is what it did, as a noun phrase (`fetching the weights of x`)."""
    cause = _explain(ended, compiler_advice)
    return Fault(
        code="install_failed",
        message=f"Failed at {step}: {cause} The whole story is in {log}.",
        detail="\n".join(ended.tail[-DETAIL_LINES:]) or None,
    )


def _explain(ended: Ended, compiler_advice: str) -> str:
    if ended.bound == "deadline":
        return "it took longer than allowed. Raise backends.build_deadline_s in lar.toml and try again."

    if ended.bound == "silence":
        return "it printed nothing for too long and was stopped. Try again."

    text = "\n".join(ended.tail)
    for pattern, cause in (
        (_DISK, "the disk is full. Free some room and try again."),
        (
            _CERTIFICATE,
            "the package index could not prove who it is. Behind a proxy, give pip its certificate.",
        ),
        (
            _NETWORK,
            "the package index cannot be reached. Check the network, or pip's own index and proxy settings.",
        ),
        (_NO_COMPILER, f"no C and C++ compiler was found. Install one: {compiler_advice}."),
        (_MEMORY, _MEMORY_REMEDY),
        (_NO_MATCH, "the package index has no version that fits this Python and machine."),
        (_PERMISSION, "a file or folder may not be written. Check who owns it."),
    ):
        if pattern.search(text):
            return cause

    return (
        _MEMORY_REMEDY
        if ended.returncode == _KILLED
        else f"the command ended with status {ended.returncode}."
    )


def require_room(what: str, needed_bytes: int, free_bytes: int, place: Path) -> None:
    """Check that there is room. Raises InstallFailed with both numbers."""
    if free_bytes >= needed_bytes:
        return

    raise InstallFailed(
        Fault(
            code="install_failed",
            message=f"There is too little room for {what}: it needs {_size(needed_bytes)}, and the disk of "
            f"{place} has {_size(free_bytes)} free. Free {_size(needed_bytes - free_bytes)} there, or set "
            "LAR_HOME to a folder on a larger disk.",
        )
    )


def explain_os_error(step: str, problem: OSError) -> Fault:
    """Say why a file could not be handled."""
    if problem.errno in _DISK_ERRNOS:
        cause = "the disk is full. Free some room and try again."
    elif problem.errno == errno.EROFS:
        cause = "the disk is mounted read-only. Set LAR_HOME to a folder that can be written."
    elif isinstance(problem, PermissionError):
        cause = f"{problem.filename or 'a file'} may not be written. Check who owns it."
    else:
        cause = f"{redact(str(problem))}."

    return Fault(code="install_failed", message=f"Failed at {step}: {cause}", detail=redact(str(problem)))


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}"

        count /= 1000

    return f"{count:.1f} GB"
