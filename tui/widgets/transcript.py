"""The conversation as lines: laid out part by part, kept, and drawn from the line that is scrolled to.

One widget however long the talk is. It follows the newest line only while it stands at the end; else it
stays where it is and counts what came.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import is_
from typing import NamedTuple

from rich.cells import cell_len
from rich.style import Style
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from tui.reach import Approval
from tui.state import OPEN, Exchange
from tui.theme import Colours, colours_of
from tui.widgets.blocks import Part, parts_of, render_part


class _Block(NamedTuple):
    """An exchange that was laid out."""

    exchange: Exchange
    asks: tuple[Approval, ...]
    parts: list[Part]
    drawn: list[list[Strip]]
    lines: list[Strip]


class Transcript(ScrollView, can_focus=True):
    """The widget."""

    class Unread(Message):
        """The number of lines that came below what is shown has changed."""

        def __init__(self, lines: int) -> None:
            super().__init__()
            self.lines = lines

    def __init__(self) -> None:
        super().__init__()
        self._exchanges: Sequence[Exchange] = ()
        self._has_thoughts = False
        self._asks: tuple[Approval, ...] = ()
        self._blocks: list[_Block] = []
        self._ends: list[int] = []
        self._layout_key: tuple[int, Colours, bool] | None = None
        self._is_following = True
        self._read = 0
        self._unread = 0
        self._base = Style()

    # ---- what is shown

    def show(
        self,
        exchanges: Sequence[Exchange],
        *,
        has_thoughts: bool = False,
        asks: tuple[Approval, ...] = (),
    ) -> None:
        """Show these exchanges, and what the agent at work waits for; lays out only what changed."""
        self._exchanges = exchanges
        self._has_thoughts = has_thoughts
        self._asks = asks
        self._lay_out()

    @property
    def line_count(self) -> int:
        """How many lines there are."""
        return self._ends[-1] if self._ends else 0

    def go_to_end(self) -> None:
        """Show the newest line and follow from now on."""
        self._is_following = True
        self._scroll_to_end()
        self._count_unread()

    def _scroll_to_end(self) -> None:
        if self._is_following:
            self.scroll_end(animate=False, immediate=True)

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        if width <= 0:
            return

        key = (width, colours_of(self.app.theme_variables), self._has_thoughts)
        if key != self._layout_key:
            self._layout_key = key
            self._blocks = []

        blocks = [self._block(index, exchange, key) for index, exchange in enumerate(self._exchanges)]
        if len(blocks) == len(self._blocks) and all(map(is_, blocks, self._blocks)):
            return

        before, first = self.line_count, self._first_difference(blocks)
        self._blocks = blocks
        self._ends = list(accumulate(len(block.lines) for block in blocks))
        self.virtual_size = Size(width, self.line_count)
        self._scroll_to_end()
        if self.line_count != before:
            # A screen that comes back is laid out after this: only then is the end where it belongs.
            self.call_after_refresh(self._scroll_to_end)
        self._count_unread()
        if self.line_count == before:
            self.refresh_lines(first, before - first)
        else:
            self.refresh()

    def _first_difference(self, blocks: list[_Block]) -> int:
        """Return the number of the first line that these blocks draw anew."""
        line = 0
        for old, new in zip(self._blocks, blocks, strict=False):
            for was, drawn in zip(old.drawn, new.drawn, strict=False):
                if was is not drawn:
                    return line
                line += len(drawn)
        return line

    def _block(self, index: int, exchange: Exchange, key: tuple[int, Colours, bool]) -> _Block:
        old = self._blocks[index] if index < len(self._blocks) else None
        asks = self._asks if exchange.agent and exchange.status in OPEN else ()
        if old is not None and old.exchange is exchange and old.asks == asks:
            return old

        width, colours, has_thoughts = key
        parts = parts_of(exchange, has_thoughts, asks)
        drawn = []
        for place, part in enumerate(parts):
            if old is not None and place < len(old.parts) and old.parts[place] == part:
                drawn.append(old.drawn[place])
            else:
                drawn.append(render_part(part, width, colours))
        return _Block(exchange, asks, parts, drawn, [line for lines in drawn for line in lines])

    def _count_unread(self) -> None:
        if self._is_following:
            self._read = self.line_count
        unread = max(0, self.line_count - self._read)
        if unread != self._unread:
            self._unread = unread
            self.post_message(self.Unread(unread))

    # ---- scrolling

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow if and only if the end is in sight."""
        super().watch_scroll_y(old_value, new_value)
        self._is_following = round(new_value) >= self.max_scroll_y
        self._count_unread()

    def on_resize(self) -> None:
        """Lay out for the new width; what was at the end stays there."""
        self._lay_out()
        self._scroll_to_end()

    def notify_style_update(self) -> None:
        """Lay out in the new theme's colours."""
        super().notify_style_update()
        self._lay_out()

    # ---- lines

    def line_at(self, index: int) -> Strip | None:
        """Return a line by its number; None beyond the end."""
        place = bisect_right(self._ends, index)
        if index < 0 or place >= len(self._blocks):
            return None
        begin = self._ends[place - 1] if place else 0
        return self._blocks[place].lines[index - begin]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of a part of the screen; the style under them is looked up once."""
        self._base = self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return the line at a row of the screen."""
        scroll_x, scroll_y = self.scroll_offset
        index = scroll_y + y
        width = self.size.width
        line = self.line_at(index)
        if line is None:
            return Strip.blank(width, self._base)

        selection = self.text_selection
        if selection is not None:
            line = self._selected(line, selection, index)
        line = line.crop_extend(scroll_x, scroll_x + width, self._base).apply_style(self._base)
        return line.apply_offsets(scroll_x, index)

    def _selected(self, line: Strip, selection: Selection, index: int) -> Strip:
        selected = selection.get_span(index)
        if selected is None:
            return line

        # A selection counts characters, a strip is cut by cells.
        text = line.text
        start, end = (
            cell_len(text[: selected[0]]),
            cell_len(text if selected[1] == -1 else text[: selected[1]]),
        )
        if start >= end:
            return line

        style = Style(bgcolor=self.screen.get_component_rich_style("screen--selection").bgcolor)
        inside = [
            segment._replace(style=(segment.style or Style()) + style) for segment in line.crop(start, end)
        ]
        return Strip.join([line.crop(0, start), Strip(inside), line.crop(end)])

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected text."""
        text = "\n".join(line.text for block in self._blocks for line in block.lines)
        lines = selection.extract(text).split("\n")
        return "\n".join(line.rstrip() for line in lines), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 - Textual's signature
        """Draw the new selection."""
        self.refresh()
