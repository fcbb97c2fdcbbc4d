"""Home: is it healthy, what is there, what runs, what went wrong. Models are installed and freed here."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from runtime.core.states import ModelState
from tui.actions import BY_ID, Need, bindings, key_name
from tui.agents import RunInfo
from tui.revealed import reveal
from tui.screens.base import LarScreen
from tui.state import Run, ViewState, chat_model
from tui.summary import short_run
from tui.view import ModelChosen
from tui.widgets.agents import STATUSES
from tui.widgets.asks import deed
from tui.widgets.hints import Hints
from tui.widgets.line import Word, content
from tui.widgets.models import ModelRows
from tui.widgets.progress import ProgressPanel
from tui.widgets.rows import cells
from tui.widgets.status import Banner, Status, run_phase
from tui.words import clean, moment, span

_GLYPHS = {
    "info": ("●", "$foreground"),
    "good": ("✔", "$success"),
    "warn": ("▲", "$warning"),
    "bad": ("✖", "$error"),
}
_TONES = {"muted": "$muted", "warn": "$warning", "good": "$success", "bad": "$error"}
_BESIDE = 50
"""Cells beside what an agent was asked."""
_SHOWN = 6
"""Runs and notices shown; the events screen has all."""


class HomeScreen(LarScreen):
    """The screen. Its cursor on a model is its own; all else is the view's."""

    NAME = "home"
    TITLE_WORD = "home"
    CSS_PATH = "home.tcss"
    BINDINGS: ClassVar = bindings("home")
    AUTO_FOCUS = "ModelRows"
    HELP_TEXT = (
        "The server, its models and what they do now. Installs are the server's: they go on when you leave. "
        "Choose a model with the arrows; enter chats with it."
    )

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield Status()
        yield Banner()
        with VerticalScroll(id="body"):
            yield Static(id="head")
            yield Static(id="waiting")
            yield Static("models", classes="title")
            yield ModelRows()
            yield ProgressPanel()
            yield Static("running", classes="title")
            yield Static(id="runs")
            yield Static("notices", classes="title")
            yield Static(id="notices")
        yield Hints()

    @property
    def chosen(self) -> ModelState | None:
        """The model under the cursor."""
        return self.query_one(ModelRows).current if self.is_mounted else None

    def needs(self) -> set[Need]:
        """Return what there is."""
        found = super().needs()
        model = self.chosen
        if model is not None and model.stage in ("available", "broken"):
            found.add("installable")
        if model is not None and model.stage == "loaded":
            found.add("loaded")
        return found

    def show_body(self) -> None:
        """Draw the view."""
        view, clock = self.console.view, self.console.clock
        self.query_one("#head", Static).update(_head(view, clock.now()))
        waiting = self.query_one("#waiting", Static)
        waiting.display = bool(view.asks.count)
        waiting.update(_waiting(view, self.size.width - 3))
        self.query_one(ModelRows).show(view)
        self.query_one(ProgressPanel).show(view)
        self.query_one("#runs", Static).update(_runs(view, clock.now(), self.size.width - 3))
        notices = [
            _notice(moment(toast.at, clock.zone()), toast.level, toast.text)
            for toast in view.toasts[-_SHOWN:]
        ]
        nothing = Content.styled("  none", "$muted")
        self.query_one("#notices", Static).update(Content("\n").join(notices[::-1]) if notices else nothing)

    # ---- actions

    def do_install(self) -> None:
        """Install the model under the cursor."""
        if self.chosen is not None:
            self.console.install(self.chosen.id)

    def do_unload(self) -> None:
        """Free the model under the cursor."""
        if self.chosen is not None:
            self.console.unload(self.chosen.id)

    def do_talk(self) -> None:
        """Chat with the model under the cursor."""
        if self.chosen is not None:
            self.console.dispatch(ModelChosen(model=self.chosen.id))
            self.console.go_to("chat")


def _head(view: ViewState, now: float) -> Content:
    if view.server is None:
        return Content.styled("Waiting for the server…", "$muted")

    about = Content.assemble(
        (f"Lar {view.server.version}", "bold $foreground"),
        (f"   {view.server.address}   ", "$secondary"),
        (f"up {span(max(0.0, now - view.server.started_at))}", "$muted"),
    )
    model = chat_model(view)
    steps = [
        ("server", True),
        ("model", model is not None and model.stage not in ("available", "installing", "broken")),
    ]
    if all(done for _, done in steps):
        return Content("\n").join(
            [about, Content.styled(f"OpenAI API at {view.server.address}/v1", "$muted")]
        )

    checks = [
        Content.styled(f"{'✔' if done else '◐'} {name}   ", "$success" if done else "$warning")
        for name, done in (*steps, ("chat", False))
    ]
    return Content("\n").join([about, Content("").join(checks)])


def _waiting(view: ViewState, width: int) -> Content:
    """Say how much waits for the person, what comes first, and the way there."""
    asks = view.asks
    first = deed(asks.approvals[0]) if asks.approvals else ""
    first = first or (f"{asks.questions[0].question.server} asks something" if asks.questions else "")
    return content(
        [
            Word(f"▲ {asks.count} to answer", "bold $warning"),
            Word(clean(first), "$foreground", 2),
            Word(f"{key_name(BY_ID['go.approvals'].keys[0])} shows them", "$muted", 1),
        ],
        width,
    )


def _runs(view: ViewState, now: float, width: int) -> Content:
    agents = [each for each in view.agents.runs if not each.is_over]
    words = [
        *(_agent_words(each, now, width - _BESIDE) for each in agents),
        *(_run_words(run, now) for run in view.runs),
    ]
    if not words:
        return Content.styled("  nothing", "$muted")

    lines = [content(each, width) for each in words[:_SHOWN]]
    more = len(words) - _SHOWN
    lines += [Content.styled(f"  and {more} more", "$muted")] if more > 0 else []
    return Content("\n").join(lines)


def _run_words(run: Run, now: float) -> list[Word]:
    is_answering = run.phase == "answering"
    return [
        Word(
            f"{'●' if is_answering else '◐'} {short_run(run.id)}", "$success" if is_answering else "$warning"
        ),
        Word(clean(run.model), "$foreground", 3),
        Word(run_phase(run), "$accent", 1),
        Word(f"{run.rate:.0f} tok/s" if run.rate is not None else "", "$foreground", 2),
        Word(span(max(0.0, now - run.at)), "$muted", 4),
        Word(clean(run.route), "$muted", 5),
    ]


def _agent_words(run: RunInfo, now: float, room: int) -> list[Word]:
    glyph, colour, word = STATUSES.get(run.status, ("·", "muted", run.status))
    return [
        Word(f"{glyph} {reveal(run.agent or run.model)}", _TONES[colour]),
        Word("waits for you" if run.status == "waiting" else word, "$accent", 1),
        Word(span(max(0.0, now - run.created_at)), "$muted", 3),
        Word(cells(" ".join(reveal(run.title).split()), room).text.rstrip() if room > 0 else "", "$muted", 4),
    ]


def _notice(at: str, level: str, text: str) -> Content:
    glyph, style = _GLYPHS[level]
    return Content.assemble((f"{glyph} ", style), (f"{at}  ", "$muted"), (text, "$foreground"))
