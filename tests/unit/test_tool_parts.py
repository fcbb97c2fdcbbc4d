"""Tools are opened when somebody first asks, once for all who ask, and again after a failure."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, cast

import anyio
import pytest

from runtime.core.errors import Fault, StoreDamaged
from runtime.core.toolbox import Toolbox
from runtime.tool_parts import ToolParts, ToolsOnDemand


class Tooling(ModuleType):
    """Stands for the module that is imported at the first use."""

    def __init__(self) -> None:
        super().__init__("runtime.tooling")
        self.opened = 0
        self.closed = 0
        self.is_damaged = False

    @asynccontextmanager
    async def open_tools(self, parts: ToolParts) -> AsyncIterator[Toolbox]:
        del parts
        async with anyio.create_task_group():
            if self.is_damaged:
                raise StoreDamaged(Fault(code="store_damaged", message="pins.json cannot be read"))
            self.opened += 1
            try:
                yield Toolbox(*cast("Any", ("hub", "servers", "doors", "questions")))
            finally:
                self.closed += 1


@pytest.fixture
def tooling(monkeypatch: pytest.MonkeyPatch) -> Tooling:
    made = Tooling()
    monkeypatch.setitem(sys.modules, "runtime.tooling", made)
    return made


async def test_tools_are_opened_once_for_all_who_ask_and_closed_with_their_task(tooling: Tooling) -> None:
    tools = ToolsOnDemand(cast("ToolParts", None))
    found: list[Toolbox] = []

    async def ask() -> None:
        found.append(await tools.get())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tools.run_forever)
            await anyio.lowlevel.checkpoint()
            assert tooling.opened == 0
            async with anyio.create_task_group() as asking:
                for _ in range(5):
                    asking.start_soon(ask)
            found.append(await tools.get())
            tasks.cancel_scope.cancel()

    assert (tooling.opened, tooling.closed, len(found)) == (1, 1, 6)


async def test_a_failure_is_told_to_whoever_asked_and_tried_again(tooling: Tooling) -> None:
    tools = ToolsOnDemand(cast("ToolParts", None))
    tooling.is_damaged = True

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tools.run_forever)
            for _ in range(2):
                with pytest.raises(StoreDamaged, match=r"pins\.json"):
                    await tools.get()
            tooling.is_damaged = False
            assert (await tools.get()).hub == cast("Any", "hub")
            tasks.cancel_scope.cancel()

    assert tooling.opened == tooling.closed == 1
