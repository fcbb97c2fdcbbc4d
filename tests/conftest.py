"""Fixtures for every test: no blocking call in the event loop, no wall clock; the real model if needed."""

import atexit
import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from runtime.backends.install import Installer
from runtime.core.clock import SystemClock
from runtime.core.settings import DEFAULT_EMBEDDER, DEFAULT_MODEL, BackendSettings
from tests.kit.bert_gguf import write_minilm
from tests.kit.bert_source import fetch_minilm
from tests.kit.clock import FakeClock

ENGINE_LIMIT_S = 3600.0
"""Building llama.cpp is part of the first engine test; on two busy cores it takes a quarter of an hour."""


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Gives whole files to the processes of a test run, and all of tests/engine to one of them.

    Engine tests take every core, and the first of them installs the engine.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "tests/engine" if path.startswith("tests/engine/") else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Keep what DuckDB's binding says of its leftovers, when a process ends, out of the results."""
    if hasattr(config, "workerinput"):
        atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.timeout(ENGINE_LIMIT_S))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    with blockbuster_ctx("runtime") as blocking:
        yield blocking


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def _test_home() -> Path:
    return Path(os.environ.get("LAR_TEST_HOME") or Path(__file__).parent.parent / ".cache" / "test-home")


@pytest.fixture(scope="session")
def engine_home() -> Path:
    """A home with the llama.cpp backend and the default model, installed by Lar and kept between runs."""
    home = _test_home()
    installer = Installer(home, BackendSettings(), lambda fact: None, SystemClock())
    anyio.run(installer.install_model, DEFAULT_MODEL)
    return home


@pytest.fixture(scope="session")
def llama_python(engine_home: Path) -> str:
    """The interpreter of the llama.cpp backend."""
    return str(engine_home / "backends" / "llama" / "bin" / "python")


@pytest.fixture(scope="session")
def smollm2_path(engine_home: Path) -> Path:
    """The weights of the default model."""
    (path,) = (engine_home / "models" / DEFAULT_MODEL).glob("*.gguf")
    return path


@pytest.fixture(scope="session")
def onnx_home() -> Path:
    """A home with the onnx backend and the default embedder alone."""
    home = _test_home()
    installer = Installer(home, BackendSettings(), lambda fact: None, SystemClock())
    anyio.run(installer.install_model, DEFAULT_EMBEDDER)
    return home


@pytest.fixture(scope="session")
def onnx_python(onnx_home: Path) -> str:
    """The interpreter of the onnx backend."""
    return str(onnx_home / "backends" / "onnx" / "bin" / "python")


@pytest.fixture(scope="session")
def minilm_path(onnx_home: Path) -> Path:
    """The weights of the default embedder, its tokenizer beside them."""
    return onnx_home / "models" / DEFAULT_EMBEDDER / "model.onnx"


@pytest.fixture(scope="session")
def minilm_gguf(onnx_home: Path, onnx_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default embedder as GGUF, and beside it `ranker.gguf` with a made-up head."""
    safetensors, vocabulary = anyio.run(fetch_minilm, onnx_home, Path(onnx_python))
    folder = tmp_path_factory.mktemp("gguf")
    write_minilm(safetensors, vocabulary, folder / "minilm.gguf")
    write_minilm(safetensors, vocabulary, folder / "ranker.gguf", ranks=True)
    return folder / "minilm.gguf"


@pytest.fixture
def real_home(engine_home: Path, tmp_path: Path) -> Path:
    """A fresh home in which the real model is installed already."""
    home = tmp_path / "home"
    home.mkdir()
    for folder in ("backends", "models"):
        (home / folder).symlink_to(engine_home / folder)
    return home
