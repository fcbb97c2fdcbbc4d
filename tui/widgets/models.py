"""The models as a list with a cursor: what each is, how big, and what it does now."""

from rich.segment import Segment
from rich.style import Style

from runtime.core.states import ModelState
from tui.state import ViewState
from tui.theme import Colours
from tui.widgets.rows import Lines, cells
from tui.widgets.status import STAGES, job_text
from tui.words import size, tally


class ModelRows(Lines):
    """The list."""

    def __init__(self) -> None:
        super().__init__()
        self._view: ViewState | None = None

    @property
    def models(self) -> tuple[ModelState, ...]:
        """The models as they are shown."""
        return self._view.models if self._view else ()

    @property
    def count(self) -> int:
        """How many models there are."""
        return len(self.models)

    @property
    def current(self) -> ModelState | None:
        """The model under the cursor."""
        return self.models[self.cursor] if self.models else None

    def show(self, view: ViewState) -> None:
        """Show the models of the view."""
        is_other = len(view.models) != self.count
        self._view = view
        self.styles.height = max(1, len(view.models))
        self.resize_lines()
        if is_other:
            self.refresh(layout=True)

    def draw(self, index: int, width: int, colours: Colours) -> list[Segment]:
        """Return name, stage, size and, where there is room, engine, context and runs."""
        assert self._view is not None
        model = self.models[index]
        tones = {
            "$muted": colours.muted,
            "$warning": colours.warn,
            "$success": colours.good,
            "$error": colours.bad,
        }
        glyph, word, tone = STAGES[model.stage]
        name_width = 34 if width >= 90 else 22
        muted = Style(color=colours.muted)
        pieces = [
            cells(model.id, name_width, Style(color=colours.text, bold=model.id == self._view.chat.model)),
            Segment(" "),
            cells(f"{glyph} {word}", 16, Style(color=tones[tone])),
            cells(size(model.size_bytes) if model.size_bytes else "–", 9, muted),  # noqa: RUF001 - a dash is meant
        ]
        rest = self._about(model)
        room = width - name_width - 26
        return [*pieces, cells(rest, room, muted)] if room > 4 else pieces

    def _about(self, model: ModelState) -> str:
        assert self._view is not None
        job = job_text(self._view, model)
        if job:
            return job

        runs = sum(run.model == model.id for run in self._view.runs)
        facts = [f"{runs} running"] if runs else []
        facts += [model.engine]
        facts += [f"context {tally(model.context_tokens)}"] if model.context_tokens else []
        return " · ".join(facts)
