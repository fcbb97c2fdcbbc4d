"""One line that a person writes: a task, a word in between, what is said on another way."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class SayScreen(ModalScreen[str]):
    """The dialog. Enter gives the line, escape nothing."""

    CSS_PATH = "say.tcss"
    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar = [Binding("escape", "dismiss", "Close", show=False)]

    def __init__(self, title: str, what: str, *, may_be_empty: bool = False) -> None:
        super().__init__()
        self._title = title
        self._what = what
        self._may_be_empty = may_be_empty

    def compose(self) -> ComposeResult:
        """Build the dialog."""
        with Container(id="frame") as frame:
            frame.border_title = self._title
            frame.border_subtitle = "enter sends · esc closes"
            yield Static(self._what, id="what", markup=False)
            line = Input(compact=True)
            line.cursor_blink = False
            yield line

    @on(Input.Submitted)
    def send(self, message: Input.Submitted) -> None:
        """Give the line; an empty one only where that means something."""
        text = message.value.strip()
        if text or self._may_be_empty:
            self.dismiss(text)
