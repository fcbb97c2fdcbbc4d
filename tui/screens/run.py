"""One run as it goes on: its steps as a timeline, and what a person may do with it."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from tui.actions import Need, bindings
from tui.agents import OpenRun
from tui.console import Console
from tui.following import RunWanted
from tui.revealed import reveal
from tui.screens.base import LarScreen
from tui.screens.say import SayScreen
from tui.timeline import LIVE
from tui.widgets.agents import STATUSES
from tui.widgets.hints import Hints
from tui.widgets.line import Word, content
from tui.widgets.status import Banner, Status
from tui.widgets.timeline import Timeline
from tui.words import counted, span, tally

_TONES = {"muted": "$muted", "warn": "$warning", "good": "$success", "bad": "$error"}


class RunScreen(LarScreen):
    """The screen. Its cursor and what is folded are its own; all else is the view's."""

    NAME = "run"
    TITLE_WORD = "run"
    CSS_PATH = "run.tcss"
    BINDINGS: ClassVar = bindings("run")
    AUTO_FOCUS = "Timeline"
    HELP_TEXT = (
        "Everything that a run was asked, thought, said, called and was answered, as it is kept. Numbers are "
        "steps: f takes over all up to the one under the cursor and goes another way from there. R lives the "
        "run again on what was recorded and says where it differs. Characters that cannot be seen are shown "
        "as ⟨200B⟩. esc goes back to the agents."
    )

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._shown_difference: tuple[str, int] | None = None

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield Status()
        yield Banner()
        yield Static(id="said")
        yield Static(id="replayed")
        yield Timeline(self.console.clock.zone())
        yield Static(id="none")
        yield Hints()

    def needs(self) -> set[Need]:
        """Return what there is."""
        found, run = super().needs(), self.console.view.opened
        if run.info is None:
            return found

        found.add("run")
        if not run.info.is_over:
            found.add("live_run")
        if run.info.status == "waiting":
            found.add("asked")
        timeline = self.query(Timeline)
        current = timeline.first().current if self.is_mounted and timeline else None
        if current is not None and current.step != LIVE:
            found.add("step")
        return found

    def show_body(self) -> None:
        """Draw the run."""
        run = self.console.view.opened
        self.query_one("#said", Static).update(_said(run, self.console.clock.now(), self.size.width - 2))
        self._show_replayed(run)
        timeline = self.query_one(Timeline)
        is_empty = not run.steps
        timeline.display = not is_empty
        nothing = self.query_one("#none", Static)
        nothing.display = is_empty
        if is_empty:
            nothing.update(_nothing(run))
        timeline.show(run)

    def _show_replayed(self, run: OpenRun) -> None:
        line, told = self.query_one("#replayed", Static), run.replayed
        line.display = told is not None
        if told is None:
            self._shown_difference = None
            return
        if told.is_same:
            line.update(Content.styled(f"✔ lived again: the same {told.steps} steps", "$success"))
            return

        place = told.first_difference or 0
        line.update(
            Content.styled(f"✖ lived again: different at step {place + 1}: {reveal(told.told)}", "$error")
        )
        if self._shown_difference != (run.id, place):
            self._shown_difference = (run.id, place)
            self.query_one(Timeline).go_to_step(place)

    def on_timeline_moved(self) -> None:
        """Say what can be done where the cursor is."""
        self.query_one(Hints).show(self.context())

    # ---- actions

    def do_up(self) -> None:
        """Go back to the agents."""
        self.console.go_to("agents")

    def do_look(self) -> None:
        """Fetch the run as it is now."""
        self.console.dispatch(RunWanted())

    def do_fold(self) -> None:
        """Show or hide what lies below the head."""
        self.query_one(Timeline).toggle()

    def do_newest(self) -> None:
        """Go to the newest line and stay with it."""
        self.query_one(Timeline).follow()

    def do_answer(self) -> None:
        """Go where it can be answered."""
        self.console.go_to("approvals")

    def do_copy(self) -> None:
        """Copy the run's id."""
        self.console.copy(self.console.view.opened.id, "the run's id")

    def do_cancel(self) -> None:
        """Ask why, then stop the run."""
        run = self.console.view.opened.id

        def send(reason: str | None) -> None:
            if reason is not None:
                self.console.begin(self.console.agency.cancel(run, reason), "cancel")

        what = "enter stops it, with a reason if you write one; esc lets it go on."
        self.app.push_screen(SayScreen("cancel the run", what, may_be_empty=True), send)

    def do_replay(self) -> None:
        """Live the run again."""
        self.console.begin(self.console.agency.replay(self.console.view.opened.id), "replay")

    def do_steer(self) -> None:
        """Ask what is added to what the run was asked."""
        run = self.console.view.opened.id

        def send(text: str | None) -> None:
            if text:
                self.console.begin(self.console.agency.steer(run, text), "steer")

        self.app.push_screen(SayScreen("say something to it", "It hears it before its next turn."), send)

    def do_fork(self) -> None:
        """Ask what is said after the step under the cursor, then go another way there."""
        run, entry = self.console.view.opened.id, self.query_one(Timeline).current
        if entry is None or entry.step == LIVE:
            return
        after = entry.step + 1

        def send(text: str | None) -> None:
            if text is not None:
                self.console.begin(self.console.agency.fork(run, after, text), "fork")

        what = "Said to the model then; empty: it is asked again."
        title = f"another way after step {after}"
        self.app.push_screen(SayScreen(title, what, may_be_empty=True), send)


def _said(run: OpenRun, now: float, width: int) -> Content:
    info = run.info
    if info is None:
        return content(
            [Word(run.id, "$muted"), Word(f"✖ {run.trouble}" if run.trouble else "", "$error", 1)], width
        )

    glyph, colour, word = STATUSES.get(info.status, ("·", "muted", info.status))
    why = info.fault.message if info.fault else info.reason
    took = span(max(0.0, (info.ended_at or now) - info.created_at))
    return content(
        [
            Word(f"{glyph} {word}", f"bold {_TONES[colour]}"),
            Word(reveal(info.agent or ""), "$foreground", 1),
            Word(" ".join(reveal(why).split()), _TONES[colour], 2),
            Word(f"✖ {reveal(run.lost)}" if run.lost and not info.is_over else "", "$error", 1),
            Word(f"✖ {reveal(run.trouble)}" if run.trouble else "", "$error", 1),
            Word(took, "$muted", 4),
            Word(f"{counted(info.turns, 'turn')}, {counted(info.calls, 'call')}", "$muted", 5),
            Word(f"{tally(info.usage.total_tokens)} tokens", "$muted", 6),
            Word(reveal(info.model), "$secondary", 7),
            Word(info.id, "$muted", 8),
        ],
        width,
    )


def _nothing(run: OpenRun) -> Content:
    if run.trouble:
        return Content("The run cannot be read. r looks again, esc goes to the agents.")
    if run.id:
        return Content("Reading the run…")
    return Content("No run is open. 6 shows the agents; enter on one of their runs opens it.")
