"""Fixtures for every test: no blocking call in the event loop, no wall clock."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.kit.clock import FakeClock


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    with blockbuster_ctx("runtime") as blocking:
        yield blocking


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
