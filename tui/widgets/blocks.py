"""An exchange as parts, and each part as lines. A part that did not change is laid out once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.chunks import split_chunks
from tui.reach import Approval
from tui.state import Exchange
from tui.theme import Colours
from tui.words import span, tally

MEASURE = 110
"""Cells of a line of prose at most: longer ones are hard to read."""
INDENT = 2

PlainKind = Literal[
    "you", "question", "queued", "model", "thinking", "thoughts", "answer", "waiting", "note", "trouble"
]
AgentKind = Literal["gap", "call", "result", "unfolded", "list", "ask", "asked", "keys", "aside", "change"]
"""What only agents do; `tui.widgets.deeds` draws it."""
Kind = PlainKind | AgentKind


class Part(NamedTuple):
    """A piece of an exchange that is laid out on its own."""

    kind: Kind
    text: str = ""
    more: str = ""


def parts_of(exchange: Exchange, has_thoughts: bool, asks: Sequence[Approval] = ()) -> list[Part]:
    """Return an exchange as parts, from the question to how it ended; `asks` is what its agent waits for."""
    parts = [Part("you", "you"), Part("question", exchange.question)]
    if exchange.status == "queued":
        return [*parts, Part("queued", "» queued: it is sent when its turn comes")]

    parts.append(Part("model", exchange.agent or exchange.model))
    if exchange.agent:
        # Most conversations are with a model, so this comes with the first agent.
        from tui.widgets.deeds import deed_parts

        return parts + deed_parts(exchange, asks, is_unfolded=has_thoughts)

    parts += _thought_parts(exchange, has_thoughts)
    parts += [Part("answer", chunk) for chunk in split_chunks(exchange.answer)]
    if exchange.status == "sent" or (exchange.status == "streaming" and not exchange.answer):
        parts.append(Part("waiting", "…"))
    if exchange.trouble is not None:
        parts.append(Part("trouble", exchange.trouble.message, exchange.trouble.code))
    elif exchange.status in ("done", "stopped"):
        parts.append(Part("note", _note(exchange), exchange.status))
    return parts


def _thought_parts(exchange: Exchange, has_thoughts: bool) -> list[Part]:
    if not exchange.reasoning:
        return []

    took = f" {span(exchange.thought_s)}" if exchange.thought_s is not None else ""
    word = "thinking" if exchange.status == "streaming" and exchange.text_at is None else "thought"
    head = Part("thinking", f"{'▾' if has_thoughts else '▸'} {word}{took}  ^t")
    return [head, *([Part("thoughts", exchange.reasoning)] if has_thoughts else [])]


def _note(exchange: Exchange) -> str:
    facts = []
    if exchange.status == "stopped":
        facts.append("■ stopped")
    elif exchange.finish_reason == "length":
        facts.append("▲ cut: the token limit is reached")
    elif not exchange.answer:
        facts.append("▲ the model said nothing")
    if exchange.usage is not None:
        facts.append(f"{tally(exchange.usage.completion_tokens)} tokens")
    if exchange.rate is not None:
        facts.append(f"{exchange.rate:.0f} tok/s")
    if exchange.first_token_s is not None:
        facts.append(f"first after {span(exchange.first_token_s)}")
    return " · ".join(facts)


def render_part(part: Part, width: int, colours: Colours) -> list[Strip]:
    """Return the lines of a part, each at most `width` cells."""
    room = max(4, min(width - INDENT - 1, MEASURE))
    plain = _RENDERERS.get(part.kind)
    if plain is not None:
        return plain(part, room, colours)

    from tui.widgets.deeds import render_deed

    return render_deed(part, room, colours)


def indented(lines: list[list[Segment]], mark: Segment | None = None) -> list[Strip]:
    """Return lines behind the gutter, or behind a mark in it."""
    gutter = mark or Segment(" " * INDENT)
    return [Strip([gutter, *line]) for line in lines]


def wrapped(text: str, room: int, style: Style) -> list[list[Segment]]:
    """Return a text as lines of at most so many cells."""
    lines: list[list[Segment]] = []
    for paragraph in text.split("\n"):
        lines += [[Segment(line, style)] for line in _wrap(paragraph.expandtabs(4), room)]
    return lines


def _wrap(text: str, room: int) -> list[str]:
    """Break text at spaces, and inside words that are longer than a line."""
    lines: list[str] = []
    while cell_len(text) > room:
        cells, end, space = 0, 0, 0
        for end, character in enumerate(text):
            cells += cell_len(character)
            if cells > room:
                break
            if character == " ":
                space = end + 1
        cut = space or max(1, end)
        lines.append(text[:cut].rstrip(" "))
        text = text[cut:]
    return [*lines, text]


def _you(part: Part, room: int, colours: Colours) -> list[Strip]:
    return [Strip([]), *indented(wrapped(part.text, room, Style(color=colours.accent, bold=True)))]


def _question(part: Part, room: int, colours: Colours) -> list[Strip]:
    bar = Segment("▌ ", Style(color=colours.accent))
    return indented(wrapped(part.text, room, Style(color=colours.text)), bar)


def _queued(part: Part, room: int, colours: Colours) -> list[Strip]:
    return indented(wrapped(part.text, room, Style(color=colours.warn)))


def _model(part: Part, room: int, colours: Colours) -> list[Strip]:
    name = part.text or "model"
    return [Strip([]), *indented(wrapped(name, room, Style(color=colours.second, bold=True)))]


def _thinking(part: Part, room: int, colours: Colours) -> list[Strip]:
    return indented(wrapped(part.text, room, Style(color=colours.muted)))


def _thoughts(part: Part, room: int, colours: Colours) -> list[Strip]:
    bar = Segment("│ ", Style(color=colours.faint))
    return indented(wrapped(part.text.strip(), room, Style(color=colours.muted, italic=True)), bar)


def _answer(part: Part, room: int, colours: Colours) -> list[Strip]:
    # The parser takes longer to import than the first frame may take, so it comes with the first answer.
    from tui.widgets.markdown import markdown_lines

    lines = _trimmed(markdown_lines(part.text, room, colours))
    return [*indented(lines), Strip([])] if lines else []


def _trimmed(lines: list[list[Segment]]) -> list[list[Segment]]:
    """Return lines without the empty ones at both ends: the gap between parts is ours."""
    said = [index for index, line in enumerate(lines) if any(segment.text.strip() for segment in line)]
    return lines[said[0] : said[-1] + 1] if said else []


def _ended(part: Part, room: int, colours: Colours) -> list[Strip]:
    style = Style(color=colours.warn if part.text.startswith(("■", "▲")) else colours.muted)
    return indented(wrapped(part.text, room, style)) if part.text else []


def _trouble(part: Part, room: int, colours: Colours) -> list[Strip]:
    bar = Segment("▌ ", Style(color=colours.bad))
    head = [[Segment(f"✖ {part.more}", Style(color=colours.bad, bold=True))]]
    cause = wrapped(part.text, room, Style(color=colours.text))
    again = wrapped("Your question is back in the field below.", room, Style(color=colours.muted))
    return indented([*head, *cause, *again], bar)


_RENDERERS: Mapping[Kind, Callable[[Part, int, Colours], list[Strip]]] = {
    "you": _you,
    "question": _question,
    "queued": _queued,
    "model": _model,
    "thinking": _thinking,
    "thoughts": _thoughts,
    "answer": _answer,
    "waiting": _thinking,
    "note": _ended,
    "trouble": _trouble,
}
