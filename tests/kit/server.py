"""A real server process over a home of its own, for tests; nothing of it outlives the context."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
from openai import OpenAI

from runtime.instance import Instance, find_instance

START_LIMIT_S = 30.0


class RunningServer:
    """The process and how to reach it."""

    def __init__(self, process: "subprocess.Popen[str]", home: Path, instance: Instance) -> None:
        self.process = process
        self.home = home
        self.address = instance.address

    def openai(self, key: str = "none", **more: float) -> OpenAI:
        """Return the official client; it does not retry, so that tests see each answer."""
        return OpenAI(
            base_url=f"{self.address}/v1", api_key=key, max_retries=0, timeout=more.get("timeout", 30)
        )

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(f"{self.address}{path}", timeout=10)

    def events(self, kinds: str = "") -> list[dict[str, Any]]:
        """Return the facts that are stored."""

        text = self.get(f"/api/events?follow=false&kinds={kinds}").text
        return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> int:
        """Ask the server to stop; return its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAR_")}
    return kept | {"LAR_HOME": str(home), "LAR_PORT": "0"}


def lar(home: Path, *arguments: str, stdin: str | bytes = "") -> "subprocess.CompletedProcess[str]":
    """Run one command of Lar to its end."""
    given = stdin if isinstance(stdin, bytes) else stdin.encode()
    done = subprocess.run(
        [sys.executable, "-m", "runtime", *arguments],
        env=environment(home),
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")
    )


@contextmanager
def background_server(home: Path) -> Iterator[None]:
    """Stop the server that commands have started in the background, also when the test fails."""
    try:
        yield
    finally:
        if find_instance(home) is not None:
            lar(home, "stop")


@contextmanager
def running_server(home: Path, options: Sequence[str] = ("--scripted",)) -> Iterator[RunningServer]:
    """Start `lar serve` on a free port and wait until it answers."""
    home.mkdir(parents=True, exist_ok=True)
    output = (home / "serve.txt").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", "serve", *options],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield RunningServer(process, home, _await_start(process, home))
    finally:
        children = _family(process.pid)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        output.close()
        _, alive = psutil.wait_procs(children, timeout=10)
        for orphan in alive:
            orphan.kill()
        assert not alive, f"left behind: {alive}"


def _await_start(process: "subprocess.Popen[str]", home: Path) -> Instance:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        instance = find_instance(home)
        if instance is not None and instance.pid == process.pid:
            return instance
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {(home / 'serve.txt').read_text()}")
        time.sleep(0.02)
    raise AssertionError("the server did not start")


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
