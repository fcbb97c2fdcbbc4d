"""MCP servers with the tools that wait below each, and everything about one of them."""

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.message import Message

from tui.reach import ToolChange, Tools, ToolServer
from tui.revealed import LineKind, differences, reveal, shown
from tui.theme import Colours
from tui.widgets.foreign import fact, marked
from tui.widgets.rows import Lines, cells

Item = ToolServer | ToolChange
_STATES = {
    "ready": ("●", "$success"),
    "idle": ("○", "$muted"),
    "connecting": ("◐", "$warning"),
    "failed": ("✖", "$error"),
    "disabled": ("‖", "$muted"),
}
_MARKS: dict[LineKind, str] = {"same": "$muted", "gone": "$error", "new": "$success", "place": "$secondary"}
_NAME_WIDTH = 16
_STATE_WIDTH = 13


def items_of(tools: Tools) -> tuple[Item, ...]:
    """Return each server with its waiting tools after it."""
    found: list[Item] = []
    for server in tools.servers:
        found.append(server)
        found += [each for each in tools.changes if each.tool.server == server.name]
    return tuple(found)


def id_of(item: Item) -> tuple[str, str]:
    """Return what names a row: its server, and its tool or nothing."""
    return (item.name, "") if isinstance(item, ToolServer) else (item.tool.server, item.tool.name)


class ToolRows(Lines):
    """The list. The cursor stays on what it is on."""

    class Moved(Message):
        """The person has put the cursor on something else."""

    def __init__(self) -> None:
        super().__init__()
        self._tools = Tools()
        self._items: Sequence[Item] = ()

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._items)

    @property
    def current(self) -> Item | None:
        """What the cursor is on."""
        return self._items[self.cursor] if self._items else None

    def moved(self) -> None:
        """Tell the screen."""
        self.post_message(self.Moved())

    def show(self, tools: Tools) -> None:
        """Show the servers."""
        was = self.current
        self._tools, self._items = tools, items_of(tools)
        if was is not None:
            places = {id_of(each): place for place, each in enumerate(self._items)}
            self.cursor = places.get(id_of(was), self.cursor)
        elif any(isinstance(each, ToolChange) for each in self._items):
            self.cursor = next(
                place for place, each in enumerate(self._items) if isinstance(each, ToolChange)
            )
        self.resize_lines()

    def draw(self, index: int, width: int, colours: Colours) -> list[Segment]:
        """Return a server with its state and its tools, or a tool that waits."""
        item = self._items[index]
        muted = Style(color=colours.muted)
        if isinstance(item, ToolChange):
            tone = Style(color=colours.bad if item.warnings or item.before else colours.warn)
            said = "changed" if item.before else "new"
            said += f", {len(item.warnings)} warnings" if item.warnings else ""
            name = cells(reveal(item.tool.name), max(1, min(28, width - 5)), Style(color=colours.text))
            return [Segment("  ▲ ", tone), name, Segment(" "), cells(said, max(1, width - 33), tone)]

        word, style = state_of(item, self._tools)
        tones = {"$success": colours.good, "$error": colours.bad, "$warning": colours.warn}
        name = cells(reveal(item.name), _NAME_WIDTH, Style(color=colours.text, bold=True))
        state = cells(word, _STATE_WIDTH, Style(color=tones.get(style, colours.muted)))
        pieces = [name, Segment(" "), state]
        room = width - _NAME_WIDTH - 1 - _STATE_WIDTH
        waiting = f", {item.waiting_tools} wait" if item.waiting_tools else ""
        about = f"{item.transport} · {item.tools} tools{waiting}"
        about += f" · {' '.join(reveal(item.fault).split())}" if item.fault else ""
        return [*pieces, cells(about, room, muted)] if room > 3 else pieces


def state_of(server: ToolServer, tools: Tools) -> tuple[str, str]:
    """Return how a server is, with its colour."""
    if server.name in tools.busy:
        return "◐ at work…", "$warning"
    glyph, style = _STATES.get(server.status, ("○", "$muted"))
    return f"{glyph} {server.status}", style


def about(item: Item, tools: Tools) -> list[Content]:
    """Return everything about a server, or what a person must see before a tool may be called."""
    return _server(item, tools) if isinstance(item, ToolServer) else _change(item)


def source_of(item: Item) -> str:
    """Return what to copy: a tool's definition as it is now, or where a server is."""
    return reveal(item.now) if isinstance(item, ToolChange) else reveal(item.target or item.name)


def _server(item: ToolServer, tools: Tools) -> list[Content]:
    word, style = state_of(item, tools)
    lines = [Content.assemble((reveal(item.name), "bold $foreground"), (f"  {word}", style))]
    if item.fault:
        lines += [Content.styled(reveal(item.fault), "$error")]
    facts = [
        ("by", item.transport + (f", protocol {reveal(item.protocol)}" if item.protocol else "")),
        ("where", reveal(item.target)),
        ("from", reveal(item.origin)),
        ("sandbox", reveal(item.sandbox)),
        (
            "calls",
            f"{item.calls}, connected anew {item.restarts} times" if item.restarts else str(item.calls),
        ),
        ("tools", str(item.tools)),
    ]
    lines += [fact(name, text) for name, text in facts if text]
    waiting = [each for each in tools.changes if each.tool.server == item.name]
    if waiting:
        clear = sum(not each.warnings for each in waiting)
        text = f"{len(waiting)} wait for your approval; nobody can call them until then."
        lines += [Content(""), Content.styled(f"▲ {text}", "$warning")]
        lines.append(
            Content.styled(
                f"Go down to look at each, or press a to approve the {clear} without warnings.", "$muted"
            )
        )
    elif item.waiting_tools:
        lines += [
            Content(""),
            Content.styled("▲ Tools wait. c connects the server, to show them.", "$warning"),
        ]
    return lines


def _change(item: ToolChange) -> list[Content]:
    said = "changed since it was approved: out of use" if item.before else "new: nobody has approved it"
    lines = [
        Content.assemble(
            (f"{reveal(item.tool.server)} · {reveal(item.tool.name)}", "bold $foreground"),
            (f"  {said}", "$warning"),
        )
    ]
    lines += [Content.styled(f"✖ {reveal(each)}", "$error") for each in item.warnings]
    lines.append(Content(""))
    if not item.before:
        lines += [Content.styled("the whole definition, as the server gives it", "bold $accent")]
        told = shown(item.now)
        more = (
            [Content.styled(f"▲ {told.more} letters more are not shown", "bold $error")] if told.more else []
        )
        return [*lines, *more, marked(told.text)]

    lines.append(Content.styled("- as it was approved   + as it is now", "bold $accent"))
    return [*lines, *(_line(each.kind, each.text) for each in differences(item.before, item.now))]


def _line(kind: LineKind, text: str) -> Content:
    return marked(text, "$foreground" if kind == "same" else _MARKS[kind])
