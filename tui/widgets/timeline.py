"""A run's timeline as lines: heads with what lies below them folded or open. Only what is in sight is drawn.

Steps only ever come to it, so their lines are laid out once; what is coming about is laid out anew below.
"""

import textwrap
from datetime import tzinfo
from typing import NamedTuple

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from textual.message import Message

from tui.agents import OpenRun, RunStep
from tui.state import Level
from tui.theme import Colours
from tui.timeline import LIVE, Entry, answered_calls, entries_of, live_entries, names_of
from tui.widgets.rows import Lines, cells
from tui.words import moment

_INDENT = 9
_WIDE = 90
"""From this width on a head has its time."""


class _Line(NamedTuple):
    entry: Entry
    at: float
    text: str
    is_head: bool


class Timeline(Lines):
    """The widget. It follows the newest line only while the cursor is on it."""

    class Moved(Message):
        """The person has put the cursor on something else."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__()
        self._zone = zone
        self._run = OpenRun()
        self._names: dict[str, str] = {}
        self._asks: frozenset[str] = frozenset()
        self._steps: list[list[Entry]] = []
        self._lines: list[_Line] = []
        self._stable = 0
        self._toggled: set[tuple[int, int]] = set()
        self._laid_width = 0
        self._is_following = True

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._lines)

    @property
    def current(self) -> Entry | None:
        """What the cursor is on."""
        return self._lines[self.cursor].entry if self._lines else None

    def show(self, run: OpenRun) -> None:
        """Show a run; lays out only what came."""
        if run.id != self._run.id:
            self._forget()
        self._run = run
        asks = _open_asks(run)
        width = self.scrollable_content_region.width
        if asks != self._asks or width != self._laid_width:
            self._asks, self._laid_width = asks, width
            self._names = {}
            self._steps = []
            self._lay_out()
        else:
            self._append()
        self.resize_lines()
        if self._is_following:
            self.follow()

    def follow(self) -> None:
        """Go to the newest line and stay with it."""
        self._is_following = True
        self.cursor = max(0, self.count - 1)
        self._scroll_to_end()
        # A screen that comes back is laid out after this: only then is the end where it belongs.
        self.call_after_refresh(self._scroll_to_end)

    def toggle(self) -> None:
        """Show or hide what lies below the head on which, or below which, the cursor is."""
        entry = self.current
        if entry is None or not entry.body or entry.step == LIVE:
            return
        self._toggled ^= {(entry.step, entry.part)}
        self._lay_out()
        place = next(i for i, each in enumerate(self._lines) if each.is_head and each.entry == entry)
        self.resize_lines()
        self._is_following = False
        self.move_to(place)

    def go_to_step(self, step: int) -> None:
        """Put the cursor on a step."""
        found = (i for i, each in enumerate(self._lines) if each.is_head and each.entry.step == step)
        self._is_following = False
        self.move_to(next(found, self.cursor))
        self.moved()

    def on_resize(self) -> None:
        """Lay out for the new width."""
        self.show(self._run)

    def moved(self) -> None:
        """Follow if and only if the cursor is on the newest line."""
        self._is_following = self.cursor >= self.count - 1
        self.post_message(self.Moved())

    def _scroll_to_end(self) -> None:
        if self._is_following:
            self.scroll_end(animate=False, immediate=True)

    # ---- lines

    def _forget(self) -> None:
        self._names, self._steps, self._lines, self._toggled = {}, [], [], set()
        self._stable = self.cursor = 0
        self._is_following = True

    def _lay_out(self) -> None:
        self._lines, self._stable = [], 0
        for entries in self._steps:
            self._add(entries)
        self._stable = len(self._lines)
        self._append()

    def _append(self) -> None:
        del self._lines[self._stable :]
        for place in range(len(self._steps), len(self._run.steps)):
            step: RunStep = self._run.steps[place]
            self._names |= names_of(step)
            self._steps.append(entries_of(step, place, self._names, self._asks))
            self._add(self._steps[-1])
        self._stable = len(self._lines)
        self._add(live_entries(self._run, self._names))

    def _add(self, entries: list[Entry]) -> None:
        for entry in entries:
            at = self._run.steps[entry.step].at if entry.step != LIVE else 0.0
            self._lines.append(_Line(entry, at, entry.head, is_head=True))
            if self._is_open(entry):
                room = max(10, self._laid_width - 2 - _INDENT)
                self._lines += [_Line(entry, at, each, is_head=False) for each in wrapped(entry.body, room)]

    def _is_open(self, entry: Entry) -> bool:
        return bool(entry.body) and entry.is_open != ((entry.step, entry.part) in self._toggled)

    def draw(self, index: int, width: int, colours: Colours) -> list[Segment]:
        """Return a head with its number, or a line below it."""
        line = self._lines[index]
        entry = line.entry
        if not line.is_head:
            text = Style(color=colours.text if entry.is_open else colours.muted)
            return [Segment(" " * _INDENT), *marked_segments(line.text, text, colours)]

        muted = Style(color=colours.muted)
        tone = Style(color=_tone(entry.level, colours))
        number = "" if entry.step == LIVE or entry.part else str(entry.step + 1)
        is_open = self._is_open(entry)
        fold = ("▾" if is_open else "▸") if entry.body else " "
        pieces = [
            Segment(f"{number:>4} ", muted),
            Segment(f"{fold} ", muted),
            Segment(f"{entry.glyph} ", tone),
        ]
        has_time = width >= _WIDE and line.at
        room = max(1, width - _INDENT - (9 if has_time else 0))
        said = f"{entry.head}: {entry.lead}" if entry.lead and not is_open else entry.head
        head = cells(said, room)
        style = tone if entry.level != "info" else Style(color=colours.text)
        pieces += marked_segments(head.text, style, colours)
        return [*pieces, Segment(f" {moment(line.at, self._zone)}", muted)] if has_time else pieces


def wrapped(text: str, width: int) -> list[str]:
    """Return a text as lines of at most so many cells."""
    found: list[str] = []
    for line in text.rstrip("\n").split("\n"):
        spaced = line.expandtabs(4)
        if cell_len(spaced) <= width:
            found.append(spaced)
        elif spaced.isascii():
            found += textwrap.wrap(
                spaced, width, drop_whitespace=True, replace_whitespace=False, break_on_hyphens=False
            ) or [""]
        else:
            found += chop_cells(spaced, width)
    return found


def _open_asks(run: OpenRun) -> frozenset[str]:
    if run.info is None or run.info.status != "waiting":
        return frozenset()
    answered = answered_calls(run.steps)
    waiting = {
        each.approval for each in run.steps if each.step == "call.asked" and each.call_id not in answered
    }
    told = set(run.info.waits_for)
    return frozenset(each for each in waiting if each is not None and (not told or each in told))


def _tone(level: Level, colours: Colours) -> str:
    return {"info": colours.muted, "good": colours.good, "warn": colours.warn, "bad": colours.bad}[level]


def marked_segments(text: str, style: Style, colours: Colours) -> list[Segment]:
    """Return a revealed text with the names of what was hidden in it marked."""
    pieces: list[Segment] = []
    while "⟨" in text:
        before, _, behind = text.partition("⟨")
        name, closed, text = behind.partition("⟩")
        pieces += [
            Segment(before, style),
            Segment(f"⟨{name}{closed}", Style(color=colours.bad, bold=True, reverse=True)),
        ]
    return [*pieces, Segment(text, style)]
