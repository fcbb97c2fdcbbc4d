"""What screens may use of the app that shows them."""

from collections.abc import Coroutine
from typing import Any, Protocol

from tui.clock import Clock
from tui.effects_agents import AgentEffects
from tui.effects_reach import ReachEffects
from tui.ports import Source
from tui.state import ViewState
from tui.view import Message


class Console(Protocol):
    """The app as a screen sees it."""

    view: ViewState
    clock: Clock
    source: Source
    reach: ReachEffects
    agency: AgentEffects

    def dispatch(self, message: Message) -> None:
        """Tell the reducer; what follows from it is done and drawn."""

    def act(self, action: str) -> None:
        """Do an action by its id, where it makes sense now."""

    def install(self, model: str) -> None:
        """Ask the server to install a model."""

    def unload(self, model: str) -> None:
        """Ask the server to free a model."""

    def copy(self, text: str, what: str) -> None:
        """Put text on the clipboard and say so."""

    def stop_answer(self) -> bool:
        """Stop the answer that is coming; False when there is none."""

    def begin(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Do something that takes a while, beside the drawing."""

    def go_to(self, mode: str) -> None:
        """Show a screen."""
