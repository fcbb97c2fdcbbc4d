"""The console against a real server: a conversation with an agent, with an approval answered in it."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from textual.pilot import Pilot

from tests.kit.server import RunningServer, running_server
from tests.tui.kit import text_of, until
from tui.app import LarApp
from tui.late import LateSource
from tui.screens.answer import AnswerScreen
from tui.screens.models import ModelPicker
from tui.screens.run import RunScreen
from tui.state import Exchange
from tui.widgets.prompt import Prompt

MINE = """name: mine
description: Writes what it is told.
model: scripted
instructions: Be brief.
planning: true
tools: [{server: files, only: [write]}]
helpers: [{agent: other, how: handover}]
"""
OTHER = "name: other\nmodel: scripted\ninstructions: Go on.\n"
WRITE = '[[call: mcp__files__write {"path": "a.txt", "text": "hello"}]] [[then]] [[say: It is **written**.]]'
LIST = (
    '[[call: todo_write {"todos": [{"content": "look", "status": "completed"}, '
    '{"content": "tell", "status": "in_progress"}]}]] [[then]] [[say: Two entries.]]'
)
SLOW = '[[call: mcp__files__write {"path": "b.txt", "text": "x"}]] [[then]] [[say: Never.]]'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    home = tmp_path / "home"
    (home / "agents").mkdir(parents=True)
    (home / "agents" / "mine.yaml").write_text(MINE)
    (home / "agents" / "other.yaml").write_text(OTHER)
    (home / "lar.toml").write_text('[models]\ndefault = "scripted"\n')
    with running_server(home) as running:
        yield running


def newest(app: LarApp) -> Exchange:
    return app.view.chat.exchanges[-1]


async def send(app: LarApp, pilot: Pilot[int], text: str) -> None:
    app.screen.query_one(Prompt).insert(text)
    await pilot.press("enter")


async def choose(app: LarApp, pilot: Pilot[int], name: str) -> None:
    await pilot.press("f5")
    await until(pilot, lambda: isinstance(app.screen, ModelPicker) and name in text_of(app))
    options = app.screen.query_one("OptionList")
    options.highlighted = options.get_option_index(f"agent:{name}")  # type: ignore[attr-defined]  # an OptionList
    await pilot.press("enter")
    await until(pilot, lambda: app.view.chat.agent == name)


async def test_an_agent_is_talked_to_approved_steered_and_stopped_in_the_chat(server: RunningServer) -> None:
    app = LarApp(LateSource(server.address, None), "", frame_s=0)
    app.animation_level = "none"
    app._disable_notifications = True
    with anyio.fail_after(120):
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: app.view.link.phase == "live")
            await send(app, pilot, "The word is blue.")
            await until(pilot, lambda: newest(app).status == "done")

            await choose(app, pilot, "mine")
            await send(app, pilot, WRITE)
            await until(pilot, lambda: "files · write waits for you" in text_of(app))
            first = newest(app).run.id
            await send(app, pilot, "[[say: I have heard.]]")
            await until(pilot, lambda: "[[say: I have heard.]]" in text_of(app) and not newest(app).asides)
            await pilot.press("ctrl+o")
            await until(pilot, lambda: isinstance(app.screen, AnswerScreen))
            await pilot.press("enter")
            await until(pilot, lambda: newest(app).status == "done")
            assert "✔ files · write" in text_of(app)
            assert app.view.asks.count == 0

            await send(app, pilot, LIST)
            await until(pilot, lambda: newest(app).status == "done" and newest(app).answer == "Two entries.")
            assert "✔ look" in text_of(app)
            assert "◐ tell" in text_of(app)
            assert newest(app).run.id != first

            await send(app, pilot, SLOW)
            await until(pilot, lambda: "waits for you" in text_of(app))
            await pilot.press("escape")
            await until(pilot, lambda: newest(app).status == "stopped")
            assert "■ stopped" in text_of(app)

            await pilot.press("f8")
            await until(pilot, lambda: isinstance(app.screen, RunScreen) and "cancelled" in text_of(app))
            session = app.view.chat.session
    told = server.get(f"/v1/conversations/{session}/items?order=asc&limit=50").json()["data"]
    said = [part["text"] for each in told if each["type"] == "message" for part in each["content"]]
    assert said[0] == "The word is blue."
    assert {"[[say: I have heard.]]", LIST, "Two entries."} <= set(said)
