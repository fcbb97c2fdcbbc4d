"""The command palette: the actions that make sense now, the models, and the themes."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider

from runtime.core.ids import ModelId
from tui.actions import ACTIONS, GROUPS, is_enabled, key_name
from tui.app import LarApp
from tui.theme import THEMES
from tui.view import ModelChosen


class _Command(NamedTuple):
    title: str
    help: str
    run: Callable[[], None]


class LarCommands(Provider):
    """What the palette offers."""

    async def discover(self) -> Hits:
        """Offer everything that makes sense now."""
        for command in self._commands():
            yield DiscoveryHit(command.title, command.run, help=command.help)

    async def search(self, query: str) -> Hits:
        """Offer what matches."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = matcher.match(command.title)
            if score > 0:
                yield Hit(score, matcher.highlight(command.title), command.run, help=command.help)

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
            if is_enabled(action, context)
            and not action.is_field_key
            and action.id not in ("lar.palette", "lar.up")
        ]
        commands += [
            _Command(f"model: Talk to {model.id}", model.stage, partial(_talk_to, app, model.id))
            for model in app.view.models
        ]
        commands += [
            _Command(f"theme: {theme.name}", "", partial(setattr, app, "theme", theme.name))
            for theme in THEMES
        ]
        return commands


def _talk_to(app: LarApp, model: ModelId) -> None:
    app.dispatch(ModelChosen(model=model))
    app.go_to("chat")
