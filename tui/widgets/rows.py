"""Lists drawn line by line: a cursor and the rows in sight. Long ones cost no more than short ones."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import tzinfo
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.state import Level, Row
from tui.theme import Colours, colours_of
from tui.words import moment

_GLYPHS: dict[Level, str] = {"info": "·", "good": "✔", "warn": "▲", "bad": "✖"}
_WITH_SUBJECT, _WIDE = 70, 130
"""From these widths on an event has its subject, and room for all of it."""
_SUBJECT, _SUBJECT_WIDE = 14, 34


class Lines(ScrollView, can_focus=True):
    """A list of rows with a cursor. Subclasses say how a row is drawn."""

    BINDINGS: ClassVar = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.cursor = 0
        self._base = Style()

    @property
    @abstractmethod
    def count(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def draw(self, index: int, width: int, colours: Colours) -> list[Segment]:
        """Return a row as segments; what is too long is cut."""

    def moved(self) -> None:
        """Take note that the person moved the cursor."""

    def resize_lines(self) -> None:
        """Adapt to another number of rows."""
        self.cursor = max(0, min(self.cursor, self.count - 1))
        self.virtual_size = Size(self.scrollable_content_region.width, self.count)
        self.refresh()

    def action_move(self, rows: int) -> None:
        """Move the cursor by rows."""
        self.move_to(self.cursor + rows)
        self.moved()

    def action_page(self, pages: int) -> None:
        """Move the cursor by what is in sight."""
        self.action_move(pages * max(1, self.size.height - 1))

    def move_to(self, index: int) -> None:
        """Put the cursor on a row and bring it into sight."""
        self.cursor = max(0, min(index, self.count - 1))
        top, height = self.scroll_offset.y, self.size.height
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is."""
        index = self.scroll_offset.y + event.y
        if index < self.count:
            self.move_to(index)
            self.moved()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of a part of the screen; the style under them is looked up once."""
        self._base = self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return the row at a line of the screen."""
        index = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        if index >= self.count:
            return Strip.blank(width, self._base)

        colours = colours_of(self.app.theme_variables)
        is_current = index == self.cursor and self.has_focus
        mark = Segment("▸ " if index == self.cursor else "  ", Style(color=colours.accent, bold=True))
        strip = Strip([mark, *self.draw(index, max(1, width - 2), colours)])
        style = self._base
        if is_current:
            style += Style(bgcolor=self.app.theme_variables["panel"])
        return strip.crop_extend(0, width, style).apply_style(style)


def cells(text: str, width: int, style: Style | None = None) -> Segment:
    """Return text in exactly this many cells, with an ellipsis where it is cut."""
    if cell_len(text) > width:
        text = set_cell_size(text, max(0, width - 1)) + "…"
    return Segment(set_cell_size(text, width), style)


class EventRows(Lines):
    """The events, newest last."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__()
        self._rows: Sequence[Row] = ()
        self._zone = zone
        self.is_following = True

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if self._rows else None

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows. The cursor stays on its fact, or goes with the newest."""
        current = self.current
        top = self._rows[self.scroll_offset.y].seq if self.scroll_offset.y < len(self._rows) else None
        self._rows = rows
        self.resize_lines()
        if self.is_following:
            self.follow()
            return

        if current is not None:
            self.cursor = self._index_of(current.seq)
        if top is not None:
            self.scroll_to(y=self._index_of(top), animate=False)

    def on_resize(self) -> None:
        """Keep in sight what was: the first size comes after the first rows."""
        self.show(self._rows)

    def follow(self) -> None:
        """Go to the newest row and stay with it."""
        self.is_following = True
        self.cursor = max(0, self.count - 1)
        self._scroll_to_end()
        # A screen that comes back is laid out after this: only then is the end where it belongs.
        self.call_after_refresh(self._scroll_to_end)
        self.refresh()

    def _scroll_to_end(self) -> None:
        if self.is_following:
            self.scroll_end(animate=False, immediate=True)

    def moved(self) -> None:
        """Follow if and only if the cursor is on the newest row."""
        self.is_following = self.cursor >= self.count - 1

    def draw(self, index: int, width: int, colours: Colours) -> list[Segment]:
        """Return time, kind, subject and text; narrow ones leave out what says least."""
        row = self._rows[index]
        muted = Style(color=colours.muted)
        level: dict[Level, str] = {
            "info": colours.text,
            "good": colours.good,
            "warn": colours.warn,
            "bad": colours.bad,
        }
        tone = Style(color=level[row.level])
        gap = Segment(" ")
        pieces = [Segment(moment(row.at, self._zone), muted), gap, Segment(_GLYPHS[row.level], tone), gap]
        pieces += [cells(row.kind, 18, Style(color=colours.second)), gap]
        used = 8 + 1 + 1 + 1 + 18 + 1
        if width >= _WITH_SUBJECT:
            subject = _SUBJECT_WIDE if width >= _WIDE else _SUBJECT
            pieces += [cells(row.subject, subject, muted), gap]
            used += subject + 1
        times = f" ×{row.count}" if row.count > 1 else ""  # noqa: RUF001 - the sign is meant
        room = max(1, width - used - len(times))
        return [*pieces, cells(row.text, room, tone), Segment(times, muted)]

    def _index_of(self, seq: int) -> int:
        low, high = 0, len(self._rows)
        while low < high:
            middle = (low + high) // 2
            if self._rows[middle].seq < seq:
                low = middle + 1
            else:
                high = middle
        return min(low, max(0, len(self._rows) - 1))
