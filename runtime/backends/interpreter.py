"""What this Python can do for a backend: be the one that environments are made from, and make them."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path


def base_interpreter() -> str:
    """Return the interpreter that ours was made from: an environment of an environment breaks with it."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def python_version() -> str:
    """Return the version that environments are bound to (`3.11`)."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def has_ensurepip() -> bool:
    """Whether `python -m venv` can put pip into what it makes; Debian leaves that out."""
    return importlib.util.find_spec("ensurepip") is not None


def find_uv() -> str | None:
    """Return uv from the PATH or from beside our own interpreter."""
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if os.access(beside, os.X_OK) else None)


def read_os_release() -> str:
    """Return the text that names this Linux; empty elsewhere."""
    try:
        return Path("/etc/os-release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
