"""A server's question: its words, a form of what it wants to know, and yes, no, or neither."""

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tui.console import Console
from tui.form import Field, Wrong, hint, read_answer, read_form
from tui.reach import OpenQuestion, QuestionAction
from tui.revealed import reveal
from tui.screens.base import LiveDialog
from tui.widgets.chooser import Chooser

_ACTIONS: tuple[tuple[QuestionAction, str], ...] = (
    ("accept", "send this answer"),
    ("decline", "say no to the question"),
    ("cancel", "neither: end it without an answer"),
)


class QuestionScreen(LiveDialog):
    """The form over the list. Enter goes to the next field; escape leaves the question waiting."""

    CSS_PATH = "question.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar = [
        Binding("escape", "app.pop_screen", "Close", show=False),
        Binding("ctrl+s", "accept", "Send", show=False, priority=True),
    ]

    def __init__(self, asked: OpenQuestion, console: Console) -> None:
        super().__init__()
        self._asked = asked
        self._fields = read_form(asked.question.form)
        self._is_sent = False
        self.console = console

    def compose(self) -> ComposeResult:
        """Build the form."""
        question = self._asked.question
        with Container(id="frame") as frame:
            frame.border_title = f"{reveal(question.server)} asks you"
            frame.border_subtitle = "tab next · ^s send · esc leave it waiting"
            with VerticalScroll(id="form", can_focus=False):
                yield Static(Content(reveal(question.message)), id="message")
                if question.url:
                    yield Static(_page(question.url), id="page")
                for field in self._fields:
                    yield Static(_label(field), classes="label")
                    yield _entry(field)
            yield Static(id="wrong")
            yield OptionList(*(Option(_action(name, text), id=name) for name, text in _ACTIONS))
            yield Static(id="over")

    def on_mount(self) -> None:
        """Begin in the first field; without one nothing is chosen, so that a second enter sends nothing."""
        options = self.query_one(OptionList)
        entries = self.query(".entry")
        if entries:
            options.highlighted = 0
            entries.first().focus()
        else:
            options.highlighted = None
            options.focus()
        self.show()

    def show(self) -> None:
        """Say whether the question is over meanwhile."""
        if not self.is_mounted or not self.query("#over"):
            return

        over = self.query_one("#over", Static)
        over.display = not any(each.id == self._asked.id for each in self.console.view.asks.questions)
        over.update(
            Content.styled("✖ Nobody waits for this answer any more. esc closes this.", "bold $error")
        )

    # ---- what happens on it

    @on(Input.Submitted)
    def go_on(self) -> None:
        """Go to the next field."""
        self.focus_next()

    @on(OptionList.OptionSelected)
    def choose(self, message: OptionList.OptionSelected) -> None:
        """Give the chosen answer."""
        self._send(_ACTIONS[message.option_index][0])

    def action_accept(self) -> None:
        """Send the form from wherever the cursor is."""
        self._send("accept")

    def _send(self, action: QuestionAction) -> None:
        if self._is_sent or self.query_one("#over").display:
            return

        content: dict[str, Any] | None = None
        if action == "accept" and self._asked.question.form is not None:
            read = read_answer(self._fields, self._written())
            if isinstance(read, Wrong):
                self._complain(read)
                return
            content = read

        self._is_sent = True
        self.console.begin(self.console.reach.answer_question(self._asked, action, content), "answers")
        self.app.pop_screen()

    def _written(self) -> dict[str, str]:
        entries = list(self.query(".entry"))
        values = [each.value for each in entries if isinstance(each, Input | Chooser)]
        return {field.name: value for field, value in zip(self._fields, values, strict=True)}

    def _complain(self, wrong: Wrong) -> None:
        said = self.query_one("#wrong", Static)
        said.update(Content.styled(f"▲ {reveal(wrong.words)}", "bold $warning"))
        said.display = True
        place = [each.name for each in self._fields].index(wrong.field)
        list(self.query(".entry"))[place].focus()


def _entry(field: Field) -> Input | Chooser:
    if field.kind == "choice":
        return Chooser([name for _, name in field.choices], field.start, classes="entry")
    entry = Input(field.start, placeholder=reveal(hint(field)), compact=True, classes="entry")
    entry.cursor_blink = False
    return entry


def _label(field: Field) -> Content:
    needed = " · needed" if field.is_required else ""
    about = f"  {reveal(field.about)}" if field.about else ""
    return Content.assemble(
        (reveal(field.title), "bold $foreground"), (needed, "$warning"), (about, "$muted")
    )


def _page(url: str) -> Content:
    return Content("\n").join(
        [
            Content.styled("It wants you to visit this page. It is never opened by itself:", "$muted"),
            Content.styled(reveal(url), "$secondary"),
        ]
    )


def _action(name: str, text: str) -> Content:
    return Content.assemble((f"{name:<9}", "$accent"), (text, "$foreground"))
