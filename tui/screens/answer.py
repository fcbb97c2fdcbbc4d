"""The answer to an approval: how far it reaches, a note, and for a yes for ever the policy that it writes."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tui.console import Console
from tui.reach import Approval
from tui.revealed import reveal
from tui.screens.base import LiveDialog
from tui.widgets.asks import SCOPES, deed

NOTE_LENGTH = 1000
"""As much as the server takes."""


class AnswerScreen(LiveDialog):
    """The dialog over the list. Enter gives the answer; escape leaves the question waiting."""

    CSS_PATH = "answer.tcss"
    AUTO_FOCUS = "OptionList"
    BINDINGS: ClassVar = [
        Binding("escape", "app.pop_screen", "Close", show=False),
        Binding("up", "scope(-1)", "Scope before", show=False),
        Binding("down", "scope(1)", "Next scope", show=False),
    ]

    def __init__(self, approval: Approval, console: Console, *, is_approved: bool) -> None:
        super().__init__()
        self._approval = approval
        self._is_approved = is_approved
        self._is_sent = False
        self.console = console

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that can be chosen; nobody says no for ever, that is a policy's to say."""
        return tuple(each for each in self._approval.scopes if self._is_approved or each != "forever")

    def compose(self) -> ComposeResult:
        """Build the dialog."""
        verb = "approve" if self._is_approved else "deny"
        with Container(id="frame", classes="-yes" if self._is_approved else "-no") as frame:
            frame.border_title = verb
            frame.border_subtitle = f"enter {verb} · tab note · esc leave it waiting"
            yield Static(Content(deed(self._approval)), id="deed")
            yield Static(Content.styled(f"for {reveal(self._approval.principal)}", "$muted"), id="who")
            yield OptionList(*(Option(_scope(each), id=each) for each in self.scopes))
            note = Input(placeholder="a note, kept with the answer", max_length=NOTE_LENGTH, compact=True)
            note.cursor_blink = False
            yield note
            with VerticalScroll(id="line"):
                yield Static(_line(self._approval), id="policy")
            yield Static(id="over")

    def on_mount(self) -> None:
        """Choose what reaches least."""
        self.query_one(OptionList).highlighted = 0 if self.scopes else None
        self.show()

    def show(self) -> None:
        """Say whether it was answered elsewhere meanwhile, and what `forever` would write."""
        if not self.is_mounted or not self.query("#over"):
            return

        is_forever = self._chosen == "forever"
        self.query_one("#line").display = is_forever
        over = self.query_one("#over", Static)
        asks = self.console.view.asks
        over.display = not any(each.id == self._approval.id for each in asks.approvals)
        if over.display:
            settled = next((each for each in asks.history if each.id == self._approval.id), None)
            by = f" by {reveal(settled.by)}" if settled and settled.by else ""
            status = settled.status if settled else "over"
            over.update(Content.styled(f"✖ It is {status}{by} already. esc closes this.", "bold $error"))

    @property
    def _chosen(self) -> str | None:
        place = self.query_one(OptionList).highlighted
        return None if place is None else self.scopes[place]

    # ---- what happens on it

    def action_scope(self, rows: int) -> None:
        """Choose another scope from within the note."""
        options = self.query_one(OptionList)
        if self.scopes:
            options.highlighted = ((options.highlighted or 0) + rows) % len(self.scopes)

    @on(OptionList.OptionHighlighted)
    def choose(self) -> None:
        """Show what this scope means."""
        self.show()

    @on(OptionList.OptionSelected)
    @on(Input.Submitted)
    def send(self) -> None:
        """Give the answer, once."""
        scope = self._chosen
        if scope is None or self._is_sent or self.query_one("#over").display:
            return

        self._is_sent = True
        note = self.query_one(Input).value.strip()
        work = self.console.reach.answer_approval(
            self._approval, is_approved=self._is_approved, scope=scope, note=note
        )
        self.console.begin(work, "answers")
        self.app.pop_screen()


def _scope(name: str) -> Content:
    return Content.assemble((f"{name:<10}", "$accent"), (SCOPES.get(name, ""), "$foreground"))


def _line(approval: Approval) -> Content:
    return Content("\n").join(
        [
            Content.styled("This policy is added to policies/approved.cedar:", "$muted"),
            Content.styled(reveal(approval.policy_line).rstrip(), "$secondary"),
        ]
    )
