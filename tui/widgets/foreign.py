"""Foreign text and facts about it as lines: what was hidden in it is in the colour of what is wrong."""

from textual.content import Content

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
