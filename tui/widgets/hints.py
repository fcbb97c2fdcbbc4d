"""The last row: the keys that do something here and now. Each can be clicked."""

from textual.content import Content
from textual.widget import Widget

from tui.actions import Context, hints, key_name
from tui.widgets.line import Word, fit


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

    def render(self) -> Content:
        """Return the hints that fit, the most useful first."""
        if self._place is None:
            return Content("")

        found = hints(self._place)
        words = [
            Word(f"{key_name(action.keys[0])} {action.hint}", rank=rank, action=action.id)
            for rank, action in enumerate(found)
        ]
        pieces: list[Content | str] = []
        for word in fit(words, self.size.width):
            key, _, hint = word.text.partition(" ")
            click = f" @click=app.act('{word.action}')"
            pieces += ["  "] if pieces else []
            pieces += [Content.styled(key, f"$accent{click}"), Content.styled(f" {hint}", f"$muted{click}")]
        return Content("").join(pieces)
