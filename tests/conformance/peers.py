"""Clients of other makes at Lar's three doors: the SDK for TypeScript, and the Inspector."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conformance.installing import CACHE, install_npm, say
from tests.kit.server import RunningServer, environment, running_server

SDK = "@modelcontextprotocol/sdk@1.30"
INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
DOORS = ("http", "sse", "stdio")
LIMIT_S = 120.0
SCRIPT = Path(__file__).with_name("peer.mjs")


def run_peers(node: str) -> list[str]:
    """Let each of them use a real server by each door; return what failed."""
    install_npm(SDK, CACHE / "node_modules/@modelcontextprotocol/sdk")
    inspector = CACHE / "node_modules/@modelcontextprotocol/inspector"
    install_npm(INSPECTOR, inspector)
    script = CACHE / SCRIPT.name  # beside the packages that it imports
    script.write_text(SCRIPT.read_text())
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "lar.toml").write_text("[mcp]\nsse = true\napproval_wait_s = 0.2\n")
        with running_server(home) as server:
            for door in DOORS:
                address = targets(server)[door]
                if not is_good(ask([node, str(script), door, *address], home)):
                    failed.append(f"TypeScript SDK, {door}")
                launcher = str(inspector / "clients/launcher/build/index.js")
                if not is_fine(ask([node, launcher, "--cli", *inspected(door, address, home)], home)):
                    failed.append(f"Inspector, {door}")
    return failed


def targets(server: RunningServer) -> dict[str, list[str]]:
    """Return what a client connects to, by door."""
    return {
        "http": [f"{server.address}/mcp"],
        "sse": [f"{server.address}/sse"],
        "stdio": [sys.executable, "-m", "runtime", "mcp", "serve"],
    }


def inspected(door: str, address: Sequence[str], home: Path) -> list[str]:
    """Return how the Inspector is told of a door, and of what to call there. It hands no environment on."""
    call = ["--method", "tools/call", "--tool-name", "time_now", "--format", "json"]
    if door == "stdio":
        return ["-e", f"LAR_HOME={home}", *call, "--", *address]
    return [*address, "--transport", door, *call]


def ask(command: Sequence[str], home: Path) -> Any:
    """Return what a client printed as JSON; None where it printed none."""
    try:
        done = subprocess.run(
            command,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        say(f"  {' '.join(command[1:4])}: did not end in {LIMIT_S:.0f} s")
        return None
    try:
        return json.loads(done.stdout)
    except ValueError:
        say(f"  {' '.join(command[1:4])}: {done.returncode} {done.stdout[-500:]} {done.stderr[-500:]}")
        return None


def is_good(found: Any) -> bool:
    """Whether the SDK has seen all that it was to see."""
    return (
        found is not None
        and {"recall_search", "files_write", "web_fetch"} <= set(found["tools"])
        and found["now"] == "UTC"
        and bool(found["made"])
        and found["templates"] == 4
        and found["wrong"] is True
    )


def is_fine(found: Any) -> bool:
    """Whether the Inspector has got the answer of its call."""
    return found is not None and "moments" in found["result"]["structuredContent"]
