"""Help: what this screen is, and every key, from the action registry."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.actions import ACTIONS, GROUPS, Action, key_name
from tui.screens.base import LarScreen

_KEYS_WIDTH = 18


class HelpScreen(ModalScreen[None]):
    """The keys over the screen from which help was asked."""

    CSS_PATH = "help.tcss"
    AUTO_FOCUS = "VerticalScroll"
    BINDINGS: ClassVar = [Binding("escape,q,f1,question_mark", "app.pop_screen", "Close", show=False)]

    def __init__(self, screen: LarScreen | None) -> None:
        super().__init__()
        self._about = screen

    def compose(self) -> ComposeResult:
        """Build the screen."""
        with Container(id="frame") as frame:
            frame.border_title = f"help · {self._about.TITLE_WORD}" if self._about else "help"
            frame.border_subtitle = "esc close"
            with VerticalScroll(id="scroll"):
                yield Static(help_text(self._about), id="keys")


def help_text(screen: LarScreen | None) -> Content:
    """Return the prose of a screen and the keys, those of the screen first."""
    lines: list[Content] = []
    if screen is not None and screen.HELP_TEXT:
        lines += [Content.styled(screen.HELP_TEXT, "$foreground"), Content("")]

    here = [each for each in ACTIONS if screen is not None and screen.NAME in each.screens]
    if here and screen is not None:
        lines += [
            Content.styled(f"On this screen ({screen.TITLE_WORD})", "bold $accent"),
            *(_line(each, "") for each in here),
            Content(""),
        ]
    for group, title in GROUPS.items():
        actions = [each for each in ACTIONS if each.group == group and each not in here]
        if actions:
            lines += [Content.styled(title, "bold $accent"), *(_line(each) for each in actions), Content("")]
    return Content("\n").join(lines[:-1])


def _line(action: Action, where: str | None = None) -> Content:
    keys = "  ".join(key_name(key) for key in action.keys) or "by its name in ^p"
    if where is None:
        where = f"  in {action.screens[0]}" if action.screens else ""
    return Content.assemble(
        (f"  {keys:<{_KEYS_WIDTH}}", "$secondary"), (action.title, "$foreground"), (where, "$muted")
    )
