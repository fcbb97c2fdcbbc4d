"""The last row: the keys that do something here and now. Each can be clicked."""

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widget import Widget

from tui.actions import Context, hints, key_name
from tui.widgets.line import GAP, Word, fit


class Hints(Widget):
    """The footer, drawn from the action registry."""

    def __init__(self) -> None:
        super().__init__()
        self._place: Context | None = None

    def show(self, context: Context) -> None:
        """Draw the actions of a place."""
        if context != self._place:
            self._place = context
            self.refresh()

    def _shown(self) -> list[Word]:
        """Return the hints that fit; the style of each is the id of its action."""
        found = hints(self._place) if self._place else []
        words = [
            Word(f"{key_name(action.keys[0])} {action.hint}", action.id, rank)
            for rank, action in enumerate(found)
        ]
        return fit(words, self.content_size.width)

    def render(self) -> Content:
        """Return the hints that fit, the most useful first."""
        chips = []
        for word in self._shown():
            key, _, hint = word.text.partition(" ")
            chips.append(Content.assemble((key, "bold $accent"), (f" {hint}", "$muted")))
        return Content(GAP).join(chips)

    async def on_click(self, event: events.Click) -> None:
        """Do the action under the mouse."""
        left = self.styles.padding.left
        for word in self._shown():
            if left <= event.x < left + cell_len(word.text):
                await self.run_action(f"app.act('{word.style}')")
            left += cell_len(word.text) + len(GAP)
