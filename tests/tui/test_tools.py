from runtime.core.tool_facts import LinkChanged
from tests.kit.fake_source import FakeSource
from tests.tui import asked
from tests.tui.kit import make_app, text_of, until
from tests.tui.scenes import equipped
from tui.ports import Refused
from tui.screens.tools import ToolsScreen
from tui.screens.trust import TrustScreen

SIZE = (120, 30)
APPROVE = "POST /api/mcp/servers/files/approve"


def posts(source: FakeSource) -> list[tuple[str, object]]:
    return [(call.path, call.body) for call in source.calls if call.method == "POST"]


async def test_nothing_of_tools_is_fetched_before_somebody_looks() -> None:
    source = equipped()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.view.asks.approvals_want.had)
        assert not [call.path for call in source.calls if "mcp" in call.path]
        app.go_to("tools")
        await until(pilot, lambda: app.view.tools.servers)


async def test_servers_are_shown_with_what_waits_and_the_difference_of_a_tool_that_changed() -> None:
    app = make_app(equipped())
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("tools")
        await until(pilot, lambda: "changed since it was approved" in text_of(app))
        shown = text_of(app)
        assert "changed, 2 warnings" in shown
        assert '-  "description": "Read a file."' in shown
        assert "Read a file.⟨200B⟩ Before that" in shown
        await pilot.press("down", "down")
        await until(pilot, lambda: "Log in with: lar mcp login github" in text_of(app))
        await pilot.press("home")
        await until(pilot, lambda: "bubblewrap: no network" in text_of(app))


async def test_a_tool_is_approved_as_it_was_seen() -> None:
    source = equipped()
    source.answers[APPROVE] = None
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("tools")
        await until(pilot, lambda: app.view.tools.servers)
        await pilot.press("down", "a")
        await until(pilot, lambda: isinstance(app.screen, TrustScreen))
        source.answers["GET /api/mcp/changes"] = {"changes": [asked.change()]}
        await pilot.press("enter")
        await until(pilot, lambda: len(app.view.tools.changes) == 1)
        told = {"tool": "list_dir", "digest": "digest-list_dir"}
        assert posts(source) == [("/api/mcp/servers/files/approve", told)]


async def test_a_tool_with_warnings_is_not_approved_by_a_stray_enter() -> None:
    source = equipped()
    source.answers[APPROVE] = None
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("tools")
        await until(pilot, lambda: app.view.tools.servers)
        await pilot.press("a", "enter")
        assert posts(source) == []
        await pilot.press("down", "enter")
        await until(pilot, lambda: posts(source))
        assert posts(source)[0][1] == {"tool": "read_file", "digest": "digest-read_file"}


async def test_on_a_server_those_without_warnings_are_approved_together() -> None:
    source = equipped()
    source.answers[APPROVE] = None
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("tools")
        await until(pilot, lambda: app.view.tools.servers)
        await pilot.press("home", "a", "enter")
        await until(pilot, lambda: posts(source))
        assert [body for _, body in posts(source)] == [{"tool": "list_dir", "digest": "digest-list_dir"}]


async def test_a_tool_that_changed_again_meanwhile_is_told() -> None:
    source = equipped()
    source.answers[APPROVE] = Refused("conflict", "It has changed meanwhile.")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("tools")
        await until(pilot, lambda: app.view.tools.servers)
        await pilot.press("down", "a", "enter")
        await until(pilot, lambda: app.view.toasts)
        assert app.view.toasts[-1].text == "approve tools of files: It has changed meanwhile."
        await until(pilot, lambda: not app.view.tools.busy)


async def test_a_server_is_connected_anew_and_what_came_of_it_is_shown() -> None:
    source = equipped()
    source.answers["POST /api/mcp/servers/github/test"] = asked.server("github")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("tools")
        await until(pilot, lambda: app.view.tools.servers)
        source.answers["GET /api/mcp/servers"] = {"servers": [asked.server("github", protocol="2026-07-28")]}
        await pilot.press("down", "down", "c")
        await until(pilot, lambda: "protocol 2026-07-28" in text_of(app))
        assert posts(source) == [("/api/mcp/servers/github/test", None)]


async def test_a_tool_that_changes_is_told_everywhere_and_listed_anew() -> None:
    source = equipped()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("tools")
        await until(pilot, lambda: app.view.tools.servers)
        before = len(source.calls)
        source.happen(LinkChanged(server="files", changed=("read_file",)))
        await until(pilot, lambda: len(source.calls) > before)
        assert app.view.toasts[-1].about == "tools"


async def test_without_servers_the_screen_says_how_to_get_one() -> None:
    app = make_app(FakeSource())
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("tools")
        await until(pilot, lambda: "lar mcp add NAME" in text_of(app))
        assert isinstance(app.screen, ToolsScreen)
