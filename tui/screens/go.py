"""The Go strip: one letter goes to a screen. It shows at once and has no time limit."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.actions import letters
from tui.console import Console


class GoStrip(ModalScreen[None]):
    """The strip at the bottom."""

    CSS_PATH = "go.tcss"
    BINDINGS: ClassVar = [Binding("escape", "app.pop_screen", "Close", show=False)]

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def compose(self) -> ComposeResult:
        """Build the strip."""
        yield Static(_strip(""), id="strip")

    def on_key(self, event: events.Key) -> None:
        """Go where the letter says; an unknown one leaves the strip open and says so."""
        if event.key == "escape":
            return

        event.stop()
        action = letters().get(event.character or "")
        if action is None:
            self.query_one("#strip", Static).update(_strip(f"no screen has the key {event.key}"))
            return

        self.app.pop_screen()
        self.console.act(action.id)


def _strip(said: str) -> Content:
    pieces: list[Content] = [Content.styled("go  ", "bold $accent")]
    for letter, action in letters().items():
        pieces += [
            Content.styled(letter, "bold $accent"),
            Content.styled(f" {action.title.lower()}   ", "$foreground"),
        ]
    pieces += [Content.styled("esc", "$accent"), Content.styled(" close", "$muted")]
    pieces += [Content.styled(f"\n{said}", "$warning")] if said else []
    return Content("").join(pieces)
