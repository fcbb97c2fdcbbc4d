"""What every screen has: a status row above, the footer below, and one way to be drawn."""

from abc import abstractmethod
from typing import ClassVar

from textual.screen import ModalScreen, Screen

from tui import actions
from tui.actions import Context, Need
from tui.console import Console
from tui.state import chat_model
from tui.widgets.hints import Hints
from tui.widgets.status import Banner, Status


class LiveDialog(ModalScreen[None]):
    """Something open over a screen that is drawn again when the view changes."""

    @abstractmethod
    def show(self) -> None:
        """Draw the view as it is now."""


class LarScreen(Screen[None]):
    """A screen of the console. Subclasses say their name, what they hold, and how it is drawn."""

    NAME: ClassVar[actions.Screen]
    TITLE_WORD: ClassVar[str]
    HELP_TEXT: ClassVar[str] = ""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def on_mount(self) -> None:
        """Draw what is known."""
        self.show()

    def on_screen_resume(self) -> None:
        """Draw what came while another screen was shown."""
        self.show()

    def on_resize(self) -> None:
        """Draw for the new size, once all that is on the screen has it."""
        self.call_after_refresh(self.show)

    def context(self) -> Context:
        """Return where the person is and what there is."""
        return Context(self.NAME, frozenset(self.needs()))

    def needs(self) -> set[Need]:
        """Return what there is, for the actions that need it."""
        view = self.console.view
        model = chat_model(view)
        found: set[Need] = set()
        if view.chat.exchanges:
            found.add("conversation")
        if any(each.answer for each in view.chat.exchanges):
            found.add("answer")
        if model is not None and model.stage == "broken":
            found.add("fault")
        return found

    def show(self) -> None:
        """Draw the view as it is now."""
        if not self.is_mounted or not self.query(Status):
            return  # not there yet, or on its way out: what is on the screen goes before the screen

        view, now = self.console.view, self.console.clock.monotonic()
        self.query_one(Status).show(view, self.TITLE_WORD, now)
        self.query_one(Banner).show(view, now)
        self.show_body()
        self.query_one(Hints).show(self.context())  # what makes sense hangs on what is drawn

    @abstractmethod
    def show_body(self) -> None:
        """Draw what lies between status and footer."""
