"""Which model the chat talks to: the known ones with their stage."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from runtime.core.ids import ModelId
from runtime.core.states import ModelState
from tui.console import Console
from tui.state import ViewState, can_chat
from tui.view import ModelChosen
from tui.widgets.rows import cells
from tui.widgets.status import stage_word
from tui.words import size


class ModelPicker(ModalScreen[None]):
    """The list over the screen."""

    CSS_PATH = "models.tcss"
    BINDINGS: ClassVar = [Binding("escape,q", "app.pop_screen", "Close", show=False)]

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def compose(self) -> ComposeResult:
        """Build the list."""
        view = self.console.view
        with Container(id="frame") as frame:
            frame.border_title = "talk to"
            frame.border_subtitle = "enter choose · esc close"
            speakers = [each for each in view.models if can_chat(each)]
            if speakers:
                yield OptionList(*(Option(_about(view, each), id=each.id) for each in speakers))
            else:
                yield Static("The server has not said yet which models it knows.")

    @on(OptionList.OptionSelected)
    def choose(self, message: OptionList.OptionSelected) -> None:
        """Talk to the chosen model."""
        self.app.pop_screen()
        if message.option_id is not None:
            self.console.dispatch(ModelChosen(model=ModelId(message.option_id)))
            self.console.go_to("chat")


def _about(view: ViewState, model: ModelState) -> Content:
    stage = stage_word(view, model)
    return Content.assemble(
        ("▸ " if model.id == view.chat.model else "  ", "$accent"),
        (cells(model.id, 32).text, "$foreground"),
        (f" {size(model.size_bytes) if model.size_bytes else '':>8}  ", "$muted"),
        (stage.text, stage.style),
    )
