"""A field with a few values: space and the arrows go from one to the next. One line high."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget


class Chooser(Widget, can_focus=True):
    """The field. Its value is one of the names, or empty where nothing need be chosen."""

    BINDINGS: ClassVar = [
        Binding("right,space", "turn(1)", "Next", show=False),
        Binding("left", "turn(-1)", "Before", show=False),
    ]

    def __init__(self, names: Sequence[str], value: str, *, classes: str = "") -> None:
        super().__init__(classes=classes)
        self._names = ("", *names)
        self.value = value if value in self._names else ""

    def action_turn(self, steps: int) -> None:
        """Take another value."""
        place = (self._names.index(self.value) + steps) % len(self._names)
        self.value = self._names[place]
        self.refresh()

    def on_click(self) -> None:
        """Take the next value."""
        self.action_turn(1)

    def on_focus(self) -> None:
        """Draw the arrows."""
        self.refresh()

    def on_blur(self) -> None:
        """Draw without them."""
        self.refresh()

    def render(self) -> Content:
        """Return the value between its arrows."""
        said = (self.value, "$foreground") if self.value else ("not chosen", "$muted")
        arrow = "bold $accent" if self.has_focus else "$faint"
        return Content.assemble(("◂ ", arrow), said, (" ▸", arrow))
