"""The default model as the tests have it: installed once by Lar itself, and served from a fresh home."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import anyio

from runtime.backends.install import Installer
from runtime.core.clock import SystemClock
from runtime.core.events import Event
from runtime.core.settings import DEFAULT_MODEL, BackendSettings
from tests.kit.server import RunningServer, running_server

CACHE = Path(__file__).parent.parent / ".cache"


class Installed(NamedTuple):
    """The default model and its engine, in place."""

    home: Path
    weights: Path
    python: Path
    """The interpreter of the engine."""
    engine_version: str


def install_default_model() -> Installed:
    """Install the default model and its engine if need be; the first time takes minutes."""
    home = Path(os.environ.get("LAR_TEST_HOME") or CACHE / "test-home")
    installer = Installer(home, BackendSettings(), _ignore, SystemClock())
    weights = anyio.run(installer.install_model, DEFAULT_MODEL)
    engine = installer.engine_facts("llama")
    assert weights is not None
    assert engine is not None
    return Installed(home, weights, engine.python, engine.version)


@contextmanager
def serve(installed: Installed) -> Iterator[RunningServer]:
    """Run a server over a home of its own that borrows what is installed: no cache, no history."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name in ("backends", "models"):
            (home / name).symlink_to(installed.home / name)
        with running_server(home, []) as server:
            yield server


def _ignore(_fact: Event) -> None:
    return
