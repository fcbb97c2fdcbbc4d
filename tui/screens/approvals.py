"""What waits for the person: calls that policies want agreed to, questions of servers; and what is over."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui.actions import Need, bindings
from tui.asking import AsksWanted
from tui.reach import Approval, Asks, OpenQuestion
from tui.screens.base import LarScreen
from tui.widgets.asks import AskRows, Item, about, source_of
from tui.widgets.foreign import Facts
from tui.widgets.hints import Hints
from tui.widgets.line import Word, content
from tui.widgets.status import Banner, Status


class ApprovalsScreen(LarScreen):
    """The screen. Its cursor is its own; all else is the view's."""

    NAME = "approvals"
    TITLE_WORD = "approvals"
    CSS_PATH = "approvals.tcss"
    BINDINGS: ClassVar = bindings("approvals")
    AUTO_FOCUS = "AskRows"
    HELP_TEXT = (
        "What policies want a person to agree to, and what MCP servers ask in the middle of a call. Whoever "
        "asked waits; no answer is a no. Nothing is answered by one key: a and d first show how far the "
        "answer reaches. tab goes to the details, to scroll them. What cannot be seen is shown as ⟨200B⟩."
    )

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield Status()
        yield Banner()
        yield Static(id="said")
        with Container(id="panes"):
            yield AskRows(self.console.clock.zone())
            with VerticalScroll(id="details"):
                yield Facts()
        yield Static(id="none")
        yield Hints()

    def on_mount(self) -> None:
        """Draw what is known, and look."""
        super().on_mount()
        self.do_look()

    @property
    def chosen(self) -> Item | None:
        """What is under the cursor."""
        found = self.query(AskRows)
        return found.first().current if self.is_mounted and found else None

    def needs(self) -> set[Need]:
        """Return what there is."""
        found, chosen, sending = super().needs(), self.chosen, self.console.view.asks.sending
        if chosen is None:
            return found

        found.add("ask")
        if chosen.id not in sending:
            found |= {"approval"} if isinstance(chosen, Approval) else set()
            found |= {"question"} if isinstance(chosen, OpenQuestion) else set()
        return found

    def show_body(self) -> None:
        """Draw what waits."""
        asks, clock = self.console.view.asks, self.console.clock
        self.query_one("#said", Static).update(_said(asks, self.size.width - 2))
        rows = self.query_one(AskRows)
        rows.show(asks, clock.now())
        is_empty = not rows.count
        self.query_one("#panes").display = not is_empty
        nothing = self.query_one("#none", Static)
        nothing.display = is_empty
        if is_empty:
            nothing.update(_nothing(asks))
        self._show_details()

    def _show_details(self) -> None:
        chosen, clock = self.chosen, self.console.clock
        if chosen is None:
            return
        is_sending = chosen.id in self.console.view.asks.sending
        told = about(chosen, clock.now(), clock.zone(), is_sending=is_sending)
        self.query_one(Facts).show(told)

    def on_ask_rows_moved(self) -> None:
        """Show the details of what the cursor is on now."""
        self.query_one("#details", VerticalScroll).scroll_home(animate=False)
        self.show()

    # ---- actions

    def do_look(self) -> None:
        """Fetch what waits as it is now."""
        self.console.dispatch(AsksWanted())

    def do_approve(self) -> None:
        """Ask how far the yes reaches, then give it."""
        self._open_answer(is_approved=True)

    def do_deny(self) -> None:
        """Ask for a note, then say no."""
        self._open_answer(is_approved=False)

    def _open_answer(self, *, is_approved: bool) -> None:
        chosen = self.chosen
        if not isinstance(chosen, Approval):
            return

        # Screens are imported when first shown.
        from tui.screens.answer import AnswerScreen

        self.app.push_screen(AnswerScreen(chosen, self.console, is_approved=is_approved))

    def do_answer(self) -> None:
        """Open the form of a server's question."""
        chosen = self.chosen
        if not isinstance(chosen, OpenQuestion):
            return

        from tui.screens.question import QuestionScreen

        self.app.push_screen(QuestionScreen(chosen, self.console))

    def do_copy(self) -> None:
        """Copy the arguments of a call, or what a server says."""
        if self.chosen is not None:
            self.console.copy(source_of(self.chosen), "what is asked")


def _said(asks: Asks, width: int) -> Content:
    return content(
        [
            Word(
                f"▲ {asks.count} wait" if asks.count else "nothing waits",
                "bold $warning" if asks.count else "$muted",
            ),
            Word(f"{len(asks.history)} answered" if asks.history else "", "$muted", 2),
            Word(f"✖ {asks.trouble}" if asks.trouble else "", "$error", 1),
        ],
        width,
    )


def _nothing(asks: Asks) -> Content:
    if asks.trouble:
        return Content("It cannot be told what waits. r looks again.")
    return Content("\n").join(
        [
            Content("Nothing waits for you."),
            Content.styled(
                "When a policy wants a person to agree, or an MCP server asks something,", "$muted"
            ),
            Content.styled("it comes here by itself, and every screen says so.", "$muted"),
            Content.styled("lar policy list shows what is asked; 5 shows the tools.", "$muted"),
        ]
    )
