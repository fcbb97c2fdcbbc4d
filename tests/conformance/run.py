"""`make conformance`: MCP's own conformance suite, against our doors, our real server and our client.

    fixture   both requirement sets against the fixture, mounted through Lar's doors and HTTP edge
    server    what needs no fixture, against `lar serve`
    client    the suite's servers, asked by our client
    peers     clients of other makes at the three doors of `lar serve`

It needs npm and an index of Python packages; what it installs stays in .cache/conformance. Where that cannot
be fetched, parts are skipped aloud; whatever runs and fails is a failure.
"""

import argparse
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conformance.installing import CACHE, ROOT, Unfetchable, install_node, install_npm, say
from tests.conformance.peers import run_peers
from tests.conformance.warm import warm_client
from tests.kit.server import running_server

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
PARTS = ("fixture", "server", "client", "peers")
REVISIONS = ("2025-11-25", "2026-07-28")
WITHOUT_FIXTURE: dict[str, tuple[str, ...]] = {
    "2025-11-25": (
        "server-initialize",
        "ping",
        "tools-list",
        "resources-list",
        "prompts-list",
        "server-session-lifecycle",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
    ),
    "2026-07-28": (
        "tools-list",
        "resources-list",
        "prompts-list",
        "sep-2164-resource-not-found",
        "caching",
        "http-header-validation",
        "input-required-result-unsupported-methods",
        "dns-rebinding-protection",
    ),
}
SET_LIMIT_S = 600.0
"""For a whole set of requirements; the longest takes two minutes on a quiet machine with two cores."""
SCENARIO_LIMIT_S = 120.0
START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0


def main(arguments: Sequence[str]) -> int:
    """Run the parts that are named, or all; return 0 where all of them passed."""
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART")
    wanted = parser.parse_args(arguments).parts or PARTS
    parts: dict[str, Callable[[Sequence[str]], list[str]]] = {
        "fixture": run_fixture,
        "server": run_server,
        "client": run_client,
        "peers": lambda suite: run_peers(suite[0]),
    }
    unknown = [each for each in wanted if each not in parts]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    failed: list[str] = []
    for name in wanted:
        try:
            suite = install()
            began = time.monotonic()
            found = parts[name](suite)
        except Unfetchable as problem:
            say(f"{name}: SKIPPED, since what it needs cannot be fetched. {problem}")
            continue
        verdict = f"FAILED: {', '.join(found)}" if found else "passed"
        say(f"{name}: {verdict} ({time.monotonic() - began:.0f} s)")
        failed += found
    return 1 if failed else 0


def install() -> list[str]:
    """Return the command that starts the suite; installs what is missing."""
    package = CACHE / "node_modules" / "@modelcontextprotocol" / "conformance"
    node = install_node()
    install_npm(SUITE, package)
    return [node, str(package / "dist" / "index.js")]


def run_fixture(suite: Sequence[str]) -> list[str]:
    """Run both requirement sets against the fixture; return those that failed."""
    with fixture() as url:
        return [
            f"fixture {each}"
            for each in REVISIONS
            if not passes(suite, "server", "--url", url, "--requirements", each, label=f"fixture-{each}")
        ]


def run_server(suite: Sequence[str]) -> list[str]:
    """Run what needs no fixture against the real server; return what failed."""
    failed = []
    with tempfile.TemporaryDirectory() as home, running_server(Path(home)) as server:
        url = f"{server.address.replace('127.0.0.1', 'localhost')}/mcp"
        for revision, scenarios in WITHOUT_FIXTURE.items():
            for each in scenarios:
                asked = ("--url", url, "--scenario", each, "--spec-version", revision)
                label = f"server-{revision}-{each}"
                if not passes(suite, "server", *asked, label=label, limit_s=SCENARIO_LIMIT_S):
                    failed.append(f"{each} {revision}")
    return failed


def run_client(suite: Sequence[str]) -> list[str]:
    """Run the suite's servers against our client; return those sets that failed."""
    with warm_client() as command:
        asked = ("--command", command, "--timeout", "120000", "--requirements")
        return [
            f"client {each}"
            for each in REVISIONS
            if not passes(suite, "client", *asked, each, label=f"client-{each}")
        ]


def passes(suite: Sequence[str], *arguments: str, label: str, limit_s: float = SET_LIMIT_S) -> bool:
    """Run the suite; its output goes to a file, its verdict to the terminal."""
    output = CACHE / "results" / label
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    written = output / "output.txt"
    status = run_bounded([*suite, *arguments, "-o", str(output)], written, limit_s)
    verdicts = [each for each in written.read_text().splitlines() if each.startswith(("✗", "Total"))]
    mark = "✓" if status == 0 else "✗"
    late = [f"did not end in {limit_s:.0f} s"] if status is None else []
    say("\n  ".join([f"{mark} {label}", *verdicts, *late]))
    if status != 0:
        say(f"  see {written.relative_to(ROOT)}")
    return status == 0


def run_bounded(command: Sequence[str], written: Path, limit_s: float) -> int | None:
    """Return the status of a command, None where it did not end in time; nothing that it started stays."""
    with written.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def fixture() -> Iterator[str]:
    """Serve the fixture while the context lasts; its address."""
    said = CACHE / "results" / "fixture.txt"
    said.parent.mkdir(parents=True, exist_ok=True)
    with said.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.serve"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_LIMIT_S)
        address = process.stdout.readline().strip() if ready else ""
        if not address:
            raise SystemExit(f"The fixture did not start; {said.relative_to(ROOT)} says why.")
        yield f"{address.replace('127.0.0.1', 'localhost')}/mcp"
    finally:
        try:
            process.communicate(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
