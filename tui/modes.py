"""The screens by their names, each built when it is first shown: the first frame needs one of them."""

from collections.abc import Callable

from tui.console import Console
from tui.screens.base import LarScreen


def _chat(console: Console) -> LarScreen:
    from tui.screens.chat import ChatScreen

    return ChatScreen(console)


def _home(console: Console) -> LarScreen:
    from tui.screens.home import HomeScreen

    return HomeScreen(console)


def _events(console: Console) -> LarScreen:
    from tui.screens.events import EventsScreen

    return EventsScreen(console)


def _approvals(console: Console) -> LarScreen:
    from tui.screens.approvals import ApprovalsScreen

    return ApprovalsScreen(console)


def _tools(console: Console) -> LarScreen:
    from tui.screens.tools import ToolsScreen

    return ToolsScreen(console)


def _agents(console: Console) -> LarScreen:
    from tui.screens.agents import AgentsScreen

    return AgentsScreen(console)


def _run(console: Console) -> LarScreen:
    from tui.screens.run import RunScreen

    return RunScreen(console)


MODES: dict[str, Callable[[Console], LarScreen]] = {
    "chat": _chat,
    "home": _home,
    "events": _events,
    "approvals": _approvals,
    "tools": _tools,
    "agents": _agents,
    "run": _run,
}
