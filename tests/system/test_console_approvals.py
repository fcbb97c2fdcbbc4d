"""The console against a real server: a tool is trusted and a call approved on its screens, and goes on."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from textual.pilot import Pilot

from tests.kit.link_stage import RAW_SERVER
from tests.kit.server import RunningServer, running_server
from tests.tui.kit import text_of, until
from tui.app import LarApp
from tui.late import LateSource
from tui.reach import ToolChange
from tui.screens.answer import AnswerScreen
from tui.widgets.tools import ToolRows

SETTINGS = f"""
[mcp]
offer = "all"
approval_wait_s = 20.0

[mcp.servers.raw]
command = {sys.executable!r}
args = [{RAW_SERVER!r}]

[mcp.servers.raw.sandbox]
enabled = false
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "lar.toml").write_text(SETTINGS)
    with running_server(home) as running:
        yield running


async def trust_echo(pilot: Pilot[int], app: LarApp) -> None:
    """Connect the server on the screen of tools, look at its tool `echo` there, and approve it."""

    def is_on(name: str) -> bool:
        current = app.screen.query_one(ToolRows).current
        return isinstance(current, ToolChange) and current.tool.name == name

    app.go_to("tools")
    await until(pilot, lambda: any(each.name == "raw" for each in app.view.tools.servers))
    names = [each.name for each in app.view.tools.servers]
    app.screen.query_one(ToolRows).action_move(names.index("raw"))
    await pilot.press("c")
    await until(pilot, lambda: any(each.tool.name == "echo" for each in app.view.tools.changes))
    await until(pilot, lambda: not app.view.tools.busy)
    for _ in range(30):
        if is_on("echo"):
            break
        await pilot.press("down")
    assert is_on("echo")
    await pilot.press("a", "enter")
    await until(pilot, lambda: not any(each.tool.name == "echo" for each in app.view.tools.changes))


async def test_a_tool_is_trusted_and_its_call_approved_on_the_screens(server: RunningServer) -> None:
    results: list[Any] = []

    async def call() -> None:
        async with Client(f"{server.address}/mcp") as client:
            results.append(await client.call_tool("raw_echo", {"text": "bread\u200b and tea"}))

    app = LarApp(LateSource(server.address, None), "", frame_s=0)
    app.animation_level = "none"
    app._disable_notifications = True
    with anyio.fail_after(90):
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: app.view.link.phase == "live")
            await trust_echo(pilot, app)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await until(pilot, lambda: "▲ 1 to answer" in text_of(app))
                await pilot.press("ctrl+l")
                await until(pilot, lambda: "bread⟨200B⟩ and tea" in text_of(app))
                await pilot.press("a")
                await until(pilot, lambda: isinstance(app.screen, AnswerScreen))
                await pilot.press("enter")
                await until(pilot, lambda: results)
            await until(pilot, lambda: app.view.asks.count == 0)
            assert app.view.asks.history[0].status == "approved"
    assert not results[0].is_error
    assert results[0].content[0].text == "bread\u200b and tea"
