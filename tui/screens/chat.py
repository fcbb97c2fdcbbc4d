"""The chat: the conversation, what is being installed for it, and the field to write in."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from tui.actions import Need, bindings
from tui.console import Console
from tui.following import RunChosen
from tui.reach import Approval
from tui.revealed import reveal
from tui.screens.base import LarScreen
from tui.state import Chat, Exchange, last_answer
from tui.talk_agents import agent_at_work, asks_of
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
        "Write and press enter. F5 chooses a model or an agent to talk to. While a model answers, more "
        "messages wait in a queue and go in turn; an agent at work hears them before its next turn. esc "
        "stops either; what was said stays. What an agent waits for is shown with its arguments: ^o and ^b "
        "first show how far the answer reaches. A message that could not be answered comes back. Plain "
        "letters are keys once tab has left the field."
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
        if self._run:
            found.add("chat_run")
        if self._ask is not None:
            found.add("chat_ask")
        return found

    @property
    def _run(self) -> str:
        """The newest run of an agent in this conversation; empty: none."""
        exchanges = self.console.view.chat.exchanges
        return next((each.run.id for each in reversed(exchanges) if each.run.id), "")

    @property
    def _ask(self) -> Approval | None:
        """What the agent at work has waited for longest, and nobody has answered."""
        view = self.console.view
        waiting = asks_of(view, agent_at_work(view.chat))
        return next((each for each in waiting if each.id not in view.asks.sending), None)

    def show_body(self) -> None:
        """Draw the conversation."""
        chat = self.console.view.chat
        self._show_empty(is_empty=not chat.exchanges)
        asks = asks_of(self.console.view, agent_at_work(chat))
        has_thoughts = self.has_class("-thoughts")
        self.query_one(Transcript).show(chat.exchanges, has_thoughts=has_thoughts, asks=asks)
        self.query_one(ProgressPanel).show(self.console.view)
        self.query_one(Prompt).placeholder = _invitation(chat)
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
            f"**you**\n\n{each.question}\n\n**{each.agent or each.model}**\n\n{each.answer}".rstrip()
            for each in self.console.view.chat.exchanges
        ]
        self.console.copy("\n\n".join(turns), "chat")

    def do_thoughts(self) -> None:
        """Show or hide what the model thought."""
        self.toggle_class("-thoughts")
        self.show()

    def do_run(self) -> None:
        """Show every step of the newest run of an agent in this conversation."""
        self.console.dispatch(RunChosen(id=self._run))
        self.console.go_to("run")

    def do_approve(self) -> None:
        """Ask how far the yes reaches, then give it."""
        self._answer(is_approved=True)

    def do_deny(self) -> None:
        """Ask for a note, then say no."""
        self._answer(is_approved=False)

    def _answer(self, *, is_approved: bool) -> None:
        ask = self._ask
        if ask is None:
            return

        # Screens are imported when first shown.
        from tui.screens.answer import AnswerScreen

        self.app.push_screen(AnswerScreen(ask, self.console, is_approved=is_approved))

    def do_newest(self) -> None:
        """Go to the newest line."""
        self.query_one(Transcript).go_to_end()


def _invitation(chat: Chat) -> str:
    """Return what stands in the empty field."""
    at_work = chat.open
    if at_work is not None and at_work.agent and at_work.agent == chat.agent and not at_work.is_stopping:
        return f"Say something to {reveal(chat.agent)} while it works…"
    return f"Write to {reveal(chat.agent)}…" if chat.agent else "Write a message…"


def _empty(address: str) -> Content:
    """Return the words of an empty chat; the address is known once the server has told it."""
    return Content("\n").join(
        [
            Content.styled("Ask anything. It stays on this machine.", "$foreground"),
            Content.styled(f"OpenAI API at {address}/v1" if address else " ", "$muted"),
            Content(""),
            Content.assemble(
                ("enter", "$accent"), " send   ", ("F5", "$accent"), " another model, or an agent"
            ),
            Content.assemble(("^p", "$accent"), " commands   ", ("F1", "$accent"), " all keys"),
        ]
    )
