"""The console against a real server: a task whose call is approved on screen, a replay, and a fork."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.kit.server import RunningServer, running_server
from tests.tui.kit import text_of, until
from tui.app import LarApp
from tui.late import LateSource
from tui.screens.answer import AnswerScreen
from tui.screens.approvals import ApprovalsScreen
from tui.screens.run import RunScreen
from tui.screens.say import SayScreen
from tui.widgets.agents import AgentRows
from tui.widgets.timeline import Timeline

AGENT = "name: mine\nmodel: scripted\ninstructions: Be brief.\ntools: [{server: files, only: [write]}]\n"
TASK = '[[call: mcp__files__write {"path": "a.txt", "text": "hello"}]] [[then]] [[say: It is written.]]'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    home = tmp_path / "home"
    (home / "agents").mkdir(parents=True)
    (home / "agents" / "mine.yaml").write_text(AGENT)
    (home / "lar.toml").write_text('[models]\ndefault = "scripted"\n')
    with running_server(home) as running:
        yield running


def choose(app: LarApp, name: str) -> None:
    rows = app.screen.query_one(AgentRows)
    names = [each.name for each in app.view.agents.agents]
    rows.action_move(names.index(name) + 1)


async def test_a_task_is_followed_approved_replayed_and_forked_on_the_screens(server: RunningServer) -> None:
    app = LarApp(LateSource(server.address, None), "", frame_s=0)
    app.animation_level = "none"
    app._disable_notifications = True
    with anyio.fail_after(120):
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: app.view.link.phase == "live")
            app.go_to("agents")
            await until(pilot, lambda: any(each.name == "mine" for each in app.view.agents.agents))
            choose(app, "mine")
            await pilot.press("t")
            await until(pilot, lambda: isinstance(app.screen, SayScreen))
            app.screen.query_one("Input").value = TASK  # type: ignore[attr-defined]  # an Input
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, RunScreen))
            await until(pilot, lambda: "files · write waits for you" in text_of(app))
            first = app.view.opened.id
            await pilot.press("w")
            await until(pilot, lambda: isinstance(app.screen, ApprovalsScreen) and app.view.asks.count == 1)
            await pilot.press("a")
            await until(pilot, lambda: isinstance(app.screen, AnswerScreen))
            await pilot.press("enter")
            await until(pilot, lambda: app.view.asks.count == 0)
            await pilot.press("7")
            await until(pilot, lambda: "mine says: It is written." in text_of(app))
            await until(pilot, lambda: "✔ done" in text_of(app))
            assert not app.view.opened.growing
            assert not app.view.opened.lost

            await pilot.press("R")
            await until(pilot, lambda: "lived again: the same" in text_of(app))

            timeline = app.screen.query_one(Timeline)
            result = next(i for i, each in enumerate(app.view.opened.steps) if each.step == "call.ended")
            timeline.go_to_step(result)
            await pilot.press("f")
            await until(pilot, lambda: isinstance(app.screen, SayScreen))
            app.screen.query_one("Input").value = "[[say: Another way.]]"  # type: ignore[attr-defined]  # an Input
            await pilot.press("enter")
            await until(pilot, lambda: app.view.opened.id != first and app.view.opened.info is not None)
            await until(pilot, lambda: "mine says: Another way." in text_of(app))
            assert f"forked from {first} at {result + 1}" in text_of(app)

            await pilot.press("escape")
            await until(pilot, lambda: len([each for each in app.view.agents.runs if each.is_over]) == 2)
            assert {each.agent for each in app.view.agents.runs} == {"mine"}
    done = server.get(f"/api/runs/{first}").json()
    assert done["status"] == "completed"
