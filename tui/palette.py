"""The command palette: the actions that make sense now, the models, and the themes."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from runtime.core.ids import ModelId
from tui.actions import ACTIONS, GROUPS, is_enabled, key_name
from tui.app import LarApp
from tui.revealed import reveal
from tui.state import can_chat
from tui.talk_agents import AgentChosen
from tui.theme import THEMES
from tui.view import ModelChosen

_TITLE_WIDTH = 48
_POINTLESS = ("lar.palette", "lar.up", "lar.interrupt")
"""Actions that are about the key itself."""


class _Command(NamedTuple):
    title: str
    more: str
    run: Callable[[], None]


class LarCommands(Provider):
    """What the palette offers."""

    async def discover(self) -> Hits:
        """Offer everything that makes sense now."""
        for command in self._commands():
            yield DiscoveryHit(_line(Content(command.title), command), command.run, text=command.title)

    async def search(self, query: str) -> Hits:
        """Offer what matches."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = matcher.match(command.title)
            if score > 0:
                display = _line(matcher.highlight(command.title), command)
                yield Hit(score, display, command.run, text=command.title)

    def _commands(self) -> list[_Command]:
        app = self.app
        assert isinstance(app, LarApp)
        screen = app.lar_screen
        if screen is None:
            return []

        context = screen.context()
        commands = [
            _Command(
                f"{GROUPS[action.group].lower()}: {action.title}",
                "  ".join(key_name(key) for key in action.keys),
                partial(app.act, action.id),
            )
            for action in ACTIONS
            if is_enabled(action, context) and not action.is_field_key and action.id not in _POINTLESS
        ]
        commands += [
            _Command(f"model: Talk to {model.id}", model.stage, partial(_talk_to, app, model.id))
            for model in app.view.models
            if can_chat(model)
        ]
        commands += [
            _Command(f"agent: Talk to {reveal(agent.name)}", "", partial(_talk_to_agent, app, agent.name))
            for agent in app.view.agents.agents
        ]
        commands += [
            _Command(f"theme: {theme.name}", "", partial(setattr, app, "theme", theme.name))
            for theme in THEMES
        ]
        return commands


def _line(title: Content, command: _Command) -> Content:
    """Return a command in one line: what it does, then its key."""
    gap = " " * max(2, _TITLE_WIDTH - title.cell_length)
    return Content.assemble(title, gap, (command.more, "$secondary"))


def _talk_to_agent(app: LarApp, name: str) -> None:
    app.dispatch(AgentChosen(name=name))
    app.go_to("chat")


def _talk_to(app: LarApp, model: ModelId) -> None:
    app.dispatch(ModelChosen(model=model))
    app.go_to("chat")
