"""The last question before tools may be called: which, and what is suspicious of them."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui.console import Console
from tui.reach import ToolChange
from tui.revealed import reveal

_SHOWN = 8
"""Names and warnings shown; the screen below has all."""


class TrustScreen(ModalScreen[None]):
    """The dialog. What raises suspicion is not chosen beforehand, so that a stray enter approves nothing."""

    CSS_PATH = "trust.tcss"
    AUTO_FOCUS = "OptionList"
    BINDINGS: ClassVar = [Binding("escape,q", "app.pop_screen", "Close", show=False)]

    def __init__(self, changes: Sequence[ToolChange], console: Console) -> None:
        super().__init__()
        self._changes = changes
        self.console = console

    def compose(self) -> ComposeResult:
        """Build the dialog."""
        with Container(id="frame") as frame:
            frame.border_title = f"approve tools of {reveal(self._changes[0].tool.server)}"
            frame.border_subtitle = "enter choose · esc close"
            yield Static(_about(self._changes), id="about")
            yield OptionList(
                Option(Content("approve as shown; models may call it from now on"), id="approve"),
                Option(Content("leave it out of use"), id="leave"),
            )

    def on_mount(self) -> None:
        """Choose yes only where nothing is suspicious."""
        is_suspicious = any(each.warnings for each in self._changes)
        self.query_one(OptionList).highlighted = None if is_suspicious else 0

    @on(OptionList.OptionSelected)
    def choose(self, message: OptionList.OptionSelected) -> None:
        """Approve, or not."""
        self.app.pop_screen()
        if message.option_id == "approve":
            self.console.begin(self.console.reach.approve_tools(self._changes), "trust")


def _about(changes: Sequence[ToolChange]) -> Content:
    lines = [
        Content.assemble(
            (f"{reveal(each.tool.name)}", "bold $foreground"),
            (f"  {'changed' if each.before else 'new'}", "$warning"),
        )
        for each in changes[:_SHOWN]
    ]
    more = len(changes) - _SHOWN
    lines += [Content.styled(f"and {more} more", "$muted")] if more > 0 else []
    warnings = [warning for each in changes for warning in each.warnings][:_SHOWN]
    lines += [Content.styled(f"✖ {reveal(each)}", "$error") for each in warnings]
    return Content("\n").join(lines)
