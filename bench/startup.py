"""Start of the server: how long until it answers, and what it holds when idle."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.kit.server import running_server

ROUNDS = 3


def run() -> None:
    """Server start and idle memory; the peer is an interpreter that only imports aiohttp and DuckDB."""
    starts: list[float] = []
    memory_mb = 0.0
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            with running_server(Path(folder)) as server:
                starts.append(time.perf_counter() - began)
                memory_mb = psutil.Process(server.process.pid).memory_info().rss / 1e6
    peers: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import aiohttp.web, duckdb"], check=True)
        peers.append(time.perf_counter() - began)

    print(f"  server answers after   {min(starts):.2f} s (best of {ROUNDS})")
    print(f"  peer, imports alone    {min(peers):.2f} s   ratio {min(starts) / min(peers):.2f}")
    print(f"  idle memory            {memory_mb:.0f} MB")
