"""Whether this machine can compile C and C++, and how a person makes it so. Pure, given what it may ask."""

import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

_C = ("cc", "gcc", "clang")
_CXX = ("c++", "g++", "clang++")

_BY_FAMILY = {
    "debian": "sudo apt install build-essential",
    "ubuntu": "sudo apt install build-essential",
    "fedora": "sudo dnf install gcc gcc-c++ make",
    "rhel": "sudo dnf install gcc gcc-c++ make",
    "suse": "sudo zypper install gcc gcc-c++ make",
    "arch": "sudo pacman -S --needed base-devel",
    "alpine": "sudo apk add build-base",
}
_VENV_BY_FAMILY = {
    "debian": "sudo apt install python3-venv",
    "ubuntu": "sudo apt install python3-venv",
}


class Compiler(NamedTuple):
    """A pair of compilers that was found."""

    c: str
    cxx: str


def find_compiler(which: Callable[[str], str | None], environment: Mapping[str, str]) -> Compiler | None:
    """Return the compilers that a build would use; None where one of the two is missing.

    `CC` and `CXX` win, as CMake has it; they may carry arguments after the program.
    """
    c = _find(which, environment.get("CC"), _C)
    cxx = _find(which, environment.get("CXX"), _CXX)
    return Compiler(c, cxx) if c and cxx else None


def _find(which: Callable[[str], str | None], wish: str | None, names: tuple[str, ...]) -> str | None:
    wanted = (wish.split()[0],) if wish and wish.strip() else names
    return next((found for name in wanted if (found := which(name))), None)


def compiler_advice(os_release: str, platform: str = sys.platform) -> str:
    """Return the command that installs a compiler here; `os_release` is the text of /etc/os-release."""
    if platform == "darwin":
        return "xcode-select --install"

    known = _by_family(_BY_FAMILY, os_release)
    return known or (
        "'sudo apt install build-essential' (Debian, Ubuntu) or 'sudo dnf install gcc gcc-c++ make' (Fedora)"
    )


def venv_advice(os_release: str) -> str:
    """Return what makes virtual environments possible here."""
    known = _by_family(_VENV_BY_FAMILY, os_release)
    return (
        f"{known} (or install uv)" if known else "install uv, or a Python that holds the module 'ensurepip'"
    )


def _by_family(advice: Mapping[str, str], os_release: str) -> str | None:
    words: dict[str, list[str]] = {}
    for line in os_release.splitlines():
        key, _, value = line.partition("=")
        words[key.strip()] = value.strip().strip("\"'").lower().split()

    families = [*words.get("ID", []), *words.get("ID_LIKE", [])]
    return next((advice[each] for each in families if each in advice), None)
