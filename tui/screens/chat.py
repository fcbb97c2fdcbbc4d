"""The chat: the conversation, what is being installed for it, and the field to write in."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from tui.actions import Need, bindings
from tui.console import Console
from tui.screens.base import LarScreen
from tui.state import Exchange, last_answer
from tui.view import Asked, Withdrawn
from tui.widgets.hints import Hints
from tui.widgets.progress import ProgressPanel
from tui.widgets.prompt import Prompt
from tui.widgets.status import Banner, Status
from tui.widgets.transcript import Transcript


class Pill(Static):
    """Says that there is more below; a click goes there."""

    def on_click(self) -> None:
        """Go to the newest line."""
        self.screen.query_one(Transcript).go_to_end()


class ChatScreen(LarScreen):
    """The screen. Its draft and its place in the conversation are its own; all else is the view's."""

    NAME = "chat"
    TITLE_WORD = "chat"
    CSS_PATH = "chat.tcss"
    BINDINGS: ClassVar = bindings("chat")
    AUTO_FOCUS = "Prompt"
    HELP_TEXT = (
        "Write and press enter. While an answer comes, more messages wait in a queue and go in turn. "
        "esc stops the answer; what was said stays. A message that could not be answered comes back. "
        "Plain letters are keys once tab has left the field."
    )

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._given_back = 0
        self._told_address = ""

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield Status()
        yield Banner()
        with Container(id="body"):
            yield Transcript()
            yield Static(_empty(""), id="empty")
            yield Pill()
        yield ProgressPanel()
        yield Prompt()
        yield Hints()

    def needs(self) -> set[Need]:
        """Return what there is."""
        found = super().needs()
        chat = self.console.view.chat
        if chat.open is not None:
            found.add("answering")
        elif chat.queued:
            found.add("queued")
        return found

    def show_body(self) -> None:
        """Draw the conversation."""
        chat = self.console.view.chat
        self._show_empty(is_empty=not chat.exchanges)
        self.query_one(Transcript).show(chat.exchanges, has_thoughts=self.has_class("-thoughts"))
        self.query_one(ProgressPanel).show(self.console.view)
        self._give_back(chat.exchanges)

    def _show_empty(self, is_empty: bool) -> None:
        """Say what one can do while nothing was said: here, and from a program."""
        empty = self.query_one("#empty", Static)
        empty.display = is_empty
        server = self.console.view.server
        if server is not None and server.address != self._told_address:
            self._told_address = server.address
            empty.update(_empty(server.address))

    def _give_back(self, exchanges: tuple[Exchange, ...]) -> None:
        """Bring the question of a failed answer back into the field, once."""
        last = exchanges[-1] if exchanges else None
        if last is not None and last.status == "failed" and last.id != self._given_back:
            self._given_back = last.id
            self.query_one(Prompt).restore(last.question)

    # ---- what happens on it

    @on(Prompt.Submitted)
    def ask(self, message: Prompt.Submitted) -> None:
        """Queue the question; the app sends it when nothing stands in its way."""
        self.console.dispatch(Asked(text=message.text))
        self.query_one(Transcript).go_to_end()

    @on(Prompt.Scrolled)
    def scroll_transcript(self, message: Prompt.Scrolled) -> None:
        """Show older or newer lines while the field keeps the keys."""
        transcript = self.query_one(Transcript)
        transcript.scroll_relative(y=message.pages * max(1, transcript.size.height - 2), animate=False)

    @on(Transcript.Unread)
    def tell_unread(self, message: Transcript.Unread) -> None:
        """Show how much came below."""
        pill = self.query_one(Pill)
        pill.display = message.lines > 0
        pill.update(f"↓ {message.lines} new")

    # ---- actions

    def do_up(self) -> None:
        """Stop the answer; else take back what waits; else go back to the field."""
        chat = self.console.view.chat
        if chat.open is not None:
            self.console.stop_answer()
        elif chat.queued:
            waiting = chat.queued[-1]
            self.console.dispatch(Withdrawn(id=waiting.id))
            self.query_one(Prompt).restore(waiting.question)
        else:
            self.query_one(Transcript).go_to_end()
            self.query_one(Prompt).focus()

    def do_copy_answer(self) -> None:
        """Copy the newest answer as it was written."""
        self.console.copy(last_answer(self.console.view.chat), "answer")

    def do_copy_chat(self) -> None:
        """Copy the conversation as Markdown."""
        turns = [
            f"**you**\n\n{each.question}\n\n**{each.model}**\n\n{each.answer}".rstrip()
            for each in self.console.view.chat.exchanges
        ]
        self.console.copy("\n\n".join(turns), "chat")

    def do_thoughts(self) -> None:
        """Show or hide what the model thought."""
        self.toggle_class("-thoughts")
        self.show()

    def do_newest(self) -> None:
        """Go to the newest line."""
        self.query_one(Transcript).go_to_end()


def _empty(address: str) -> Content:
    """Return the words of an empty chat; the address is known once the server has told it."""
    return Content("\n").join(
        [
            Content.styled("Ask anything. It stays on this machine.", "$foreground"),
            Content.styled(f"OpenAI API at {address}/v1" if address else " ", "$muted"),
            Content(""),
            Content.assemble(("enter", "$accent"), " send   ", ("^j", "$accent"), " new line"),
            Content.assemble(("^p", "$accent"), " commands   ", ("F1", "$accent"), " all keys"),
        ]
    )
