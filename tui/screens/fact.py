"""One fact, whole, as the JSON that the API gives."""

from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from runtime.core.events import Envelope
from tui.console import Console
from tui.words import clean


class FactScreen(ModalScreen[None]):
    """The JSON over the list."""

    CSS_PATH = "fact.tcss"
    AUTO_FOCUS = "VerticalScroll"
    BINDINGS: ClassVar = [
        Binding("escape,enter,q", "app.pop_screen", "Close", show=False),
        Binding("y", "copy", "Copy", show=False),
    ]

    def __init__(self, envelope: Envelope, console: Console) -> None:
        super().__init__()
        self._envelope = envelope
        self.console = console

    @property
    def json(self) -> str:
        """The fact as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self._envelope), indent=2).decode()

    def compose(self) -> ComposeResult:
        """Build the screen."""
        with Container(id="frame") as frame:
            frame.border_title = f"{self._envelope.kind} · {self._envelope.seq}"
            frame.border_subtitle = "esc close · y copy"
            with VerticalScroll(id="scroll"):
                yield Static(Content(clean(self.json)), id="json")

    def action_copy(self) -> None:
        """Copy the JSON."""
        self.console.copy(self.json, "fact")
