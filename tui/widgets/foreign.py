"""Foreign text and facts about it as lines: what was hidden in it is in the colour of what is wrong."""

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

_NAME_WIDTH = 10


def marked(text: str, style: str = "$foreground") -> Content:
    """Return a revealed text with the names of what was hidden in it marked."""
    pieces: list[Content] = []
    rest = text
    while "⟨" in rest:
        before, _, behind = rest.partition("⟨")
        name, closed, rest = behind.partition("⟩")
        pieces += [Content.styled(before, style), Content.styled(f"⟨{name}{closed}", "bold reverse $error")]
    return Content("").join([*pieces, Content.styled(rest, style)])


def fact(name: str, text: str) -> Content:
    """Return a name and what is known under it."""
    return Content.assemble((f"{name:<{_NAME_WIDTH}}", "$muted"), marked(text))


class Facts(Widget):
    """Lines and facts in a pane, laid out for the width that it has when it is drawn."""

    def __init__(self) -> None:
        super().__init__(id="about")
        self._lines: Sequence[Content] = ()
        self._whole = Content("")

    def show(self, lines: Sequence[Content]) -> None:
        """Show these lines; draws only what is new."""
        whole = Content("\n").join(lines)
        if not whole.is_same(self._whole):
            self._lines, self._whole = lines, whole
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        """Return the lines that a width takes."""
        return hung(self._lines, width).get_height({}, width)

    def render(self) -> Content:
        """Return the lines for the width that there is."""
        return hung(self._lines, self.content_size.width)


def hung(lines: Sequence[Content], width: int) -> Content:
    """Return lines as one text; what goes on of a fact stands under what is known, not under its name."""
    return Content("\n").join(_hung(each, width) if _is_fact(each) else each for each in lines)


def _is_fact(line: Content) -> bool:
    return bool(line.spans) and (line.spans[0].end, line.spans[0].style) == (_NAME_WIDTH, "$muted")


def _hung(line: Content, width: int) -> Content:
    room = width - _NAME_WIDTH
    if room < _NAME_WIDTH or line.cell_length <= width or "\n" in line.plain:
        return line

    cuts, used, space = [], 0, 0
    for place, letter in enumerate(line.plain[_NAME_WIDTH:], _NAME_WIDTH):
        used += cell_len(letter)
        if used > room:
            cut = space or place
            cuts.append(cut)
            used, space = cell_len(line.plain[cut : place + 1]), 0
        if letter == " ":
            space = place + 1
    return Content("\n" + " " * _NAME_WIDTH).join(each.rstrip() for each in line.divide(cuts))
