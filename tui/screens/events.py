"""The events: every fact as it comes, to be filtered, held still, and read whole."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Input, Static

from tui.actions import Need, bindings
from tui.console import Console
from tui.screens.base import LarScreen
from tui.state import Row
from tui.widgets.hints import Hints
from tui.widgets.line import Word, content
from tui.widgets.pick import picker
from tui.widgets.rows import EventRows
from tui.widgets.status import Banner, Status


class EventsScreen(LarScreen):
    """The screen. Its filter and its pause are its own; the rows are the view's."""

    NAME = "events"
    TITLE_WORD = "events"
    CSS_PATH = "events.tcss"
    BINDINGS: ClassVar = bindings("events")
    AUTO_FOCUS = "EventRows"
    HELP_TEXT = (
        "Every fact of the server, newest last. The filter takes words, kinds with a star (model.*), "
        "level:bad, and -word for what must not be there. Facts that only move a job on share a row (×n)."  # noqa: RUF001 - the sign is meant
    )

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._query = ""
        self._held: tuple[Row, ...] | None = None
        """What was there when the person pressed pause; None while rows flow."""

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield Status()
        yield Banner()
        yield Static(id="said")
        query = Input(placeholder="kind.*  words  -not  level:bad", id="query", compact=True)
        query.cursor_blink = False
        yield query
        yield EventRows(self.console.clock.zone())
        yield Static(id="none")
        yield Hints()

    def needs(self) -> set[Need]:
        """Return what there is."""
        found = super().needs()
        if self.is_mounted and self.query_one(EventRows).count and not self._is_filtering:
            found.add("rows")
        return found

    def show_body(self) -> None:
        """Draw the rows that the filter lets through."""
        known = self.console.view.rows
        rows = known if self._held is None else self._held
        picked = tuple(filter(picker(self._query), rows))
        listing = self.query_one(EventRows)
        listing.show(picked)
        listing.display = bool(picked)
        empty = self.query_one("#none", Static)
        empty.display = not picked
        if not picked:
            empty.update(_nothing(bool(rows)))
        self.query_one("#said", Static).update(self._said(len(picked), len(rows)))

    def _said(self, picked: int, count: int) -> Content:
        missed = len(self.console.view.rows) - count if self._held is not None else 0
        flow = Word("▶ following", "$success", 1)
        if self._held is not None:
            flow = Word(f"‖ paused, {missed} new" if missed else "‖ paused", "bold $warning", 1)
        elif not self.query_one(EventRows).is_following:
            flow = Word("‖ held by the cursor", "$warning", 1)
        bad = sum(row.level == "bad" for row in self.console.view.rows)
        return content(
            [
                Word(f"{picked} of {count} facts" if self._query else f"{count} facts", "$muted"),
                flow,
                Word(f"✖ {bad} bad" if bad else "", "$error", 2),
                Word(f"filter {self._query}" if self._query and not self._is_filtering else "", "$accent", 1),
            ],
            self.size.width - 2,
        )

    # ---- what happens on it

    @on(Input.Changed)
    def narrow(self, message: Input.Changed) -> None:
        """Filter while the person writes."""
        self._query = message.value
        self.show()

    @on(Input.Submitted)
    def keep(self) -> None:
        """Keep the filter and go to the rows."""
        self._close_field()

    @property
    def _is_filtering(self) -> bool:
        return self.has_class("-filtering")

    def _close_field(self) -> None:
        self.remove_class("-filtering")
        self.query_one(EventRows).focus()
        self.show()

    # ---- actions

    def do_filter(self) -> None:
        """Open the filter."""
        self.add_class("-filtering")
        self.query_one(Input).focus()
        self.show()

    def do_pause(self) -> None:
        """Hold the rows still, or let them flow again."""
        self._held = self.console.view.rows if self._held is None else None
        self.show()

    def do_follow(self) -> None:
        """Let the rows flow and go to the newest."""
        self._held = None
        self.query_one(EventRows).follow()
        self.show()

    def do_open_row(self) -> None:
        """Show the fact under the cursor as JSON."""
        row = self.query_one(EventRows).current
        if row is None:
            return

        # Screens are imported when first shown.
        from tui.screens.fact import FactScreen

        self.app.push_screen(FactScreen(row.envelope, self.console))

    def do_up(self) -> None:
        """Close the filter, empty it, let the rows flow again; else go to the chat."""
        if self._is_filtering:
            self._close_field()
        elif self._query:
            self.query_one(Input).value = ""
        elif self._held is not None or not self.query_one(EventRows).is_following:
            self.do_follow()
        else:
            self.console.go_to("chat")


def _nothing(has_rows: bool) -> Content:
    if has_rows:
        return Content("No fact matches the filter. esc empties it.")
    return Content("Nothing has happened yet. Ask something in the chat (2).")
