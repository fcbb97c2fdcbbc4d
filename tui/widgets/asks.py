"""What waits for the person as a list, those that are over below, and everything about one of them."""

from collections.abc import Sequence
from datetime import tzinfo

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.message import Message

from tui.form import hint, read_form
from tui.reach import Approval, Asks, OpenQuestion, Settled
from tui.revealed import pretty, reveal, shown
from tui.theme import Colours
from tui.widgets.foreign import fact, marked
from tui.widgets.rows import Lines, cells
from tui.words import moment, span

Item = Approval | OpenQuestion | Settled
SCOPES = {
    "call": "this call, or the same once more within an hour",
    "arguments": "the same with the same arguments, for an hour",
    "tool": "the same tool with any arguments, until the server stops",
    "session": "all that it asks in this session, for a day",
    "forever": "for ever: writes a policy",
}
"""How far an answer reaches, in words."""
_ENDS = {
    "approved": ("✔", "$success"),
    "accept": ("✔", "$success"),
    "denied": ("✖", "$error"),
    "decline": ("✖", "$error"),
}
_OVER = ("○", "$muted")
_NAME_WIDTH = 12


def items_of(asks: Asks) -> tuple[Item, ...]:
    """Return what waits, the oldest first, then what is over, the newest first."""
    asked: tuple[Approval | OpenQuestion, ...] = (*asks.approvals, *asks.questions)
    waiting = sorted(asked, key=_asked_at)
    return (*waiting, *asks.history)


def deed(item: Item) -> str:
    """Return what is asked on one line."""
    if isinstance(item, Settled):
        inside = item.approval or item.question
        return item.id if inside is None else deed(inside)
    if isinstance(item, OpenQuestion):
        return f"{item.question.server} asks: {' '.join(reveal(item.question.message).split())}"
    return f"{_resource(item)} {item.action}" if item.action != "call_tool" else _resource(item)


class AskRows(Lines):
    """The list. The cursor stays on what it is on, and goes to the next one when that is answered."""

    class Moved(Message):
        """The person has put the cursor on something else."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__()
        self._zone = zone
        self._items: Sequence[Item] = ()
        self._now = 0.0

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

    def show(self, asks: Asks, now: float) -> None:
        """Show what waits and what is over."""
        was = self.current
        self._items, self._now = items_of(asks), now
        if was is not None:
            places = {each.id: place for place, each in enumerate(self._items) if type(each) is type(was)}
            # Answered: what waited below it has moved up to where it was.
            self.cursor = places.get(was.id, min(self.cursor, max(0, asks.count - 1)))
        self.resize_lines()

    def draw(self, index: int, width: int, colours: Colours) -> list[Segment]:
        """Return the time, what is asked, and by whom where there is room."""
        item = self._items[index]
        muted = Style(color=colours.muted)
        if isinstance(item, Settled):
            glyph, style = _ENDS.get(item.status, _OVER)
            tone = {"$success": colours.good, "$error": colours.bad}.get(style, colours.muted)
            when = moment(item.at, self._zone)[:5]
            pieces = [Segment(f"{glyph} ", Style(color=tone)), cells(when, 6, muted)]
            return [*pieces, cells(deed(item), max(1, width - 8), muted)]

        left = cells(span(max(0.0, item.expires_at - self._now)), 6, Style(color=colours.warn))
        pieces = [Segment("▲ ", Style(color=colours.warn, bold=True)), left]
        who = item.principal if isinstance(item, Approval) else ""
        room = width - 8 - (_NAME_WIDTH + 1 if width >= 60 and who else 0)
        pieces.append(cells(deed(item), max(1, room), Style(color=colours.text)))
        if room < width - 8:
            pieces += [Segment(" "), cells(reveal(_short(who)), _NAME_WIDTH, muted)]
        return pieces


def about(item: Item, now: float, zone: tzinfo, *, is_sending: bool = False) -> list[Content]:
    """Return everything about one of them."""
    match item:
        case Approval():
            return _approval(item, now, zone, is_sending=is_sending)
        case OpenQuestion():
            return _question(item, now, zone, is_sending=is_sending)
        case Settled():
            return _settled(item, now, zone)


def source_of(item: Item) -> str:
    """Return what to copy: the arguments of a call, the address or the words of a question."""
    match item:
        case Approval():
            return pretty(item.arguments)
        case OpenQuestion():
            return reveal(item.question.url or item.question.message)
        case Settled():
            inside = item.approval or item.question
            return source_of(inside) if inside is not None else item.id


def _approval(item: Approval, now: float, zone: tzinfo, *, is_sending: bool) -> list[Content]:
    way = f" by way of {reveal(item.door)}" if item.door else ""
    lines = [
        Content.styled(_resource(item), "bold $foreground"),
        fact("who", f"{reveal(item.principal)}{way} wants to {item.action}"),
        fact("why", reveal(item.reason)),
    ]
    if item.status == "pending":
        lines.append(_waits(item.expires_at, now, zone, is_sending=is_sending))
    lines += [Content(""), *_arguments(item)]
    more = [
        ("what", f"{item.resource.kind} {reveal(item.resource.id)}"),
        ("tool", _hints(item) if item.resource.kind == "Tool" else ""),
        ("policies", reveal(", ".join(item.policies))),
        ("session", reveal(item.session or "")),
        ("run", item.run or ""),
    ]
    return [*lines, Content(""), *(fact(name, text) for name, text in more if text)]


def _arguments(item: Approval) -> list[Content]:
    if not item.arguments:
        return [Content.styled("no arguments", "bold $accent")]

    told = shown(msgspec.json.format(msgspec.json.encode(item.arguments), indent=2).decode())
    more = f"  ▲ {told.more} letters more are not shown: y copies all" if told.more else ""
    return [Content.assemble(("arguments", "bold $accent"), (more, "bold $error")), marked(told.text)]


def _question(item: OpenQuestion, now: float, zone: tzinfo, *, is_sending: bool) -> list[Content]:
    asked = item.question
    lines = [
        Content.styled(f"{reveal(asked.server)} asks you", "bold $foreground"),
        marked(reveal(asked.message)),
        Content(""),
        _waits(item.expires_at, now, zone, is_sending=is_sending),
    ]
    if asked.url:
        lines += [
            Content(""),
            Content.styled(
                "It wants you to visit this page. It is never opened by itself: y copies it.", "$muted"
            ),
            Content.styled(reveal(asked.url), "$secondary"),
        ]
    fields = read_form(asked.form)
    lines += [Content(""), Content.styled("it wants to know", "bold $accent")] if fields else []
    for each in fields:
        mark = " (needed)" if each.is_required else ""
        lines.append(
            Content.assemble(
                (reveal(each.title), "$foreground"), (mark, "$warning"), (f"  {reveal(hint(each))}", "$muted")
            )
        )
    return lines


def _settled(item: Settled, now: float, zone: tzinfo) -> list[Content]:
    glyph, style = _ENDS.get(item.status, _OVER)
    by = f" by {reveal(item.by)}" if item.by else ""
    scope = item.approval.scope if item.approval else None
    reach = f", {SCOPES.get(scope, scope)}" if scope else ""
    head = [Content.styled(f"{glyph} {item.status}{by} at {moment(item.at, zone)}{reach}", f"bold {style}")]
    if item.approval and item.approval.note:
        head.append(fact("note", reveal(item.approval.note)))
    inside = item.approval or item.question
    if isinstance(inside, Approval):
        return [*head, Content(""), *_approval(inside, now, zone, is_sending=False)]
    if isinstance(inside, OpenQuestion):
        return [
            *head,
            Content(""),
            fact("server", reveal(inside.question.server)),
            marked(reveal(inside.question.message)),
        ]
    return head


def _short(principal: str) -> str:
    """Return the name in `Agent::"clerk" in Person::"owner"`; any other words as they are."""
    kind, sign, rest = principal.partition('::"')
    return rest.partition('"')[0] if sign and kind.isalpha() else principal


def _resource(item: Approval) -> str:
    told = item.resource.attributes
    if item.resource.kind == "Tool" and told.get("server") and told.get("name"):
        return f"{reveal(str(told['server']))} · {reveal(str(told['name']))}"
    return reveal(item.resource.id)


def _hints(item: Approval) -> str:
    told = item.resource.attributes
    words = [
        "only reads" if told.get("is_read_only") else "changes things",
        "may destroy" if told.get("is_destructive") and not told.get("is_read_only") else "",
        "reaches beyond this machine" if told.get("is_open_world") else "stays on this machine",
    ]
    source = "of Lar's own" if told.get("is_internal") else "as its server says"
    return f"{', '.join(each for each in words if each)} ({source})"


def _waits(until: float, now: float, zone: tzinfo, *, is_sending: bool) -> Content:
    if is_sending:
        return fact("waits", "your answer is on its way…")
    return fact("waits", f"{span(max(0.0, until - now))} yet, until {moment(until, zone)}; then it is a no")


def _asked_at(item: Approval | OpenQuestion) -> float:
    return item.created_at if isinstance(item, Approval) else item.asked_at
