"""What an agent does as parts of the conversation: cards of its calls, its list, what it waits for.

Results are one line until they are unfolded, those of failed calls some more: it is answers that people read.
"""

from collections.abc import Callable, Mapping, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.actions import BY_ID, key_name
from tui.chunks import split_chunks
from tui.deeds import Deed, deeds_of
from tui.reach import Approval
from tui.state import OPEN, Exchange
from tui.theme import Colours
from tui.widgets.blocks import Kind, Part, indented, wrapped
from tui.widgets.rows import cells
from tui.widgets.timeline import marked_segments
from tui.words import counted

_STATES: Mapping[str, tuple[str, str]] = {
    "wanted": ("▸", "muted"),
    "running": ("◐", "warn"),
    "waiting": ("▲", "warn"),
    "done": ("✔", "good"),
    "failed": ("✖", "bad"),
    "stopped": ("‖", "muted"),
}
_PLAIN: Mapping[str, Kind] = {"list": "list", "heard": "question", "change": "change", "end": "note"}
_FAULT_LINES = 8
"""Of a failed call that are shown without being asked for."""
_ASK_LINES = 14
"""Of the arguments of a call that waits for the person."""
_ENDS_EMPTY: frozenset[Kind] = frozenset({"answer", "keys"})
"""What ends in an empty line of its own."""
_SAID: frozenset[Kind] = frozenset({"answer", "aside", "question", "model"})


def deed_parts(exchange: Exchange, asks: Sequence[Approval], *, is_unfolded: bool) -> list[Part]:
    """Return what an agent did in an exchange, and how it stands."""
    parts: list[Part] = []
    for deed in deeds_of(exchange, asks):
        found = _parts(deed, is_unfolded=is_unfolded)
        is_turn = bool(parts) and (parts[-1].kind in _SAID) != (found[0].kind in _SAID)
        if parts and (is_turn or found[0].kind == "ask") and parts[-1].kind not in _ENDS_EMPTY:
            parts.append(Part("gap"))
        parts += found
    if exchange.trouble is not None:
        parts.append(Part("trouble", exchange.trouble.message, exchange.trouble.code))
    elif exchange.status in OPEN:
        parts += _open_parts(exchange, has_asks=bool(asks))
    return parts


def _open_parts(exchange: Exchange, *, has_asks: bool) -> list[Part]:
    run = exchange.run
    if exchange.is_stopping:
        return [Part("waiting", "■ stopping…")]
    if run.lost:
        return [Part("note", f"▲ Not followed at the moment, and nothing of it is lost: {run.lost}")]
    if run.info is not None and run.info.status == "queued":
        return [Part("waiting", "… it waits for a place among the runs")]
    return [] if has_asks or run.growing or run.moves else [Part("waiting", "…")]


def _parts(deed: Deed, *, is_unfolded: bool) -> list[Part]:
    match deed.kind:
        case "said":
            return [Part("answer", chunk) for chunk in split_chunks(deed.text)]
        case "thought":
            word = "thinking" if deed.state == "running" else "thought"
            head = Part("thinking", f"{'▾' if is_unfolded else '▸'} {word}  ^t")
            return [head, *([Part("thoughts", deed.text)] if is_unfolded else [])]
        case "call":
            kind: Kind = "unfolded" if is_unfolded else "result"
            return [
                Part("call", deed.text, deed.state),
                *([Part(kind, deed.body, deed.state)] if deed.body else []),
            ]
        case "ask":
            return [Part("ask", deed.text), Part("asked", deed.body), Part("keys")]
        case "aside":
            said = "it hears this before its next turn" if deed.state == "done" else "on its way"
            return [Part("question", deed.text), Part("aside", f"» {said}")]
        case "list" | "heard" | "change" | "end":
            return [Part(_PLAIN[deed.kind], deed.text)]


def render_deed(part: Part, room: int, colours: Colours) -> list[Strip]:
    """Return the lines of a part."""
    return _RENDERERS[part.kind](part, room, colours)


def _gap(_part: Part, _room: int, _colours: Colours) -> list[Strip]:
    return [Strip([])]


def _call(part: Part, room: int, colours: Colours) -> list[Strip]:
    glyph, colour = _STATES[part.more]
    # A name has no spaces but the dot between server and tool, and the arguments begin with a bracket.
    place = part.text.find(" {")
    name, arguments = (part.text, "") if place < 0 else (part.text[:place], part.text[place:])
    name = name[: max(1, room - 2)]
    pieces = [
        Segment(f"{glyph} ", Style(color=getattr(colours, colour))),
        Segment(name, Style(color=colours.second)),
    ]
    left = room - 2 - len(name)
    if arguments and left > 3:
        pieces += marked_segments(cells(arguments, left).text, Style(color=colours.muted), colours)
    return indented([pieces])


def _result(part: Part, room: int, colours: Colours) -> list[Strip]:
    """Draw the first words of a result, and how much there is; of a failed call some lines."""
    lines = [each for each in part.text.split("\n") if each.strip()]
    if not lines:
        return []
    if part.more == "failed":
        drawn = _marked("\n".join(lines), room - 2, colours.text, colours)
        left = _more(len(drawn) - _FAULT_LINES, colours)
        return _under([*drawn[:_FAULT_LINES], *([[left]] if left.text else [])], colours)

    left = _more(len(lines) - 1, colours)
    first = cells(lines[0], max(1, room - 3 - len(left.text))).text
    style = Style(color=colours.muted)
    return _under([[*marked_segments(first, style, colours), Segment(" "), left]], colours)


def _more(left: int, colours: Colours) -> Segment:
    return Segment(f"+{counted(left, 'line')} ^t" if left > 0 else "", Style(color=colours.muted))


def _unfolded(part: Part, room: int, colours: Colours) -> list[Strip]:
    tone = colours.text if part.more == "failed" else colours.muted
    return _under(_marked(part.text.rstrip(), room - 2, tone, colours), colours)


def _marked(text: str, room: int, tone: str, colours: Colours) -> list[list[Segment]]:
    """Return a revealed text as lines in which the names of what was hidden in it are marked."""
    style = Style(color=tone)
    return [marked_segments(row[0].text, style, colours) for row in wrapped(text, room, style)]


def _under(lines: list[list[Segment]], colours: Colours) -> list[Strip]:
    bar = Segment("│ ", Style(color=colours.faint))
    return indented([[bar, *line] for line in lines])


def _list(part: Part, room: int, colours: Colours) -> list[Strip]:
    tones = {"✔": colours.muted, "◐": colours.warn}
    lines: list[list[Segment]] = []
    for each in part.text.split("\n"):
        tone = Style(color=tones.get(each[:1], colours.text))
        lines += wrapped(each, room, tone)
    return indented(lines)


def _ask(part: Part, room: int, colours: Colours) -> list[Strip]:
    style = Style(color=colours.warn, bold=True)
    return indented(wrapped(f"▲ {part.text}", room, style), _bar(colours))


def _asked(part: Part, room: int, colours: Colours) -> list[Strip]:
    lines = _marked(part.text, room, colours.text, colours)
    left = len(lines) - _ASK_LINES
    more = [[Segment(f"▲ {left} lines more: ^l shows all", Style(color=colours.bad))]] if left > 0 else []
    return indented([*lines[:_ASK_LINES], *more], _bar(colours))


def _keys(_part: Part, room: int, colours: Colours) -> list[Strip]:
    pieces: list[Segment] = []
    for action, word in (
        ("chat.approve", "approve…"),
        ("chat.deny", "deny…"),
        ("go.approvals", "all that waits"),
    ):
        pieces += [
            Segment(key_name(BY_ID[action].keys[0]), Style(color=colours.accent, bold=True)),
            Segment(f" {word}  ", Style(color=colours.muted)),
        ]
    return [Strip([_bar(colours), *pieces]).crop(0, room), Strip([])]


def _bar(colours: Colours) -> Segment:
    return Segment("▌ ", Style(color=colours.warn))


def _aside(part: Part, room: int, colours: Colours) -> list[Strip]:
    return indented(wrapped(part.text, room, Style(color=colours.warn)))


def _change(part: Part, room: int, colours: Colours) -> list[Strip]:
    return indented(wrapped(f"⇒ {part.text}", room, Style(color=colours.warn)))


_RENDERERS: Mapping[Kind, Callable[[Part, int, Colours], list[Strip]]] = {
    "gap": _gap,
    "call": _call,
    "result": _result,
    "unfolded": _unfolded,
    "list": _list,
    "ask": _ask,
    "asked": _asked,
    "keys": _keys,
    "aside": _aside,
    "change": _change,
}
