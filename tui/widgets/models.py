"""The models as a list with a cursor: what each is, how big, and what it does now."""

from rich.segment import Segment
from rich.style import Style

from runtime.core.states import ModelState
from tui.state import ViewState, job_of
from tui.theme import Colours
from tui.widgets.rows import Lines, cells
from tui.widgets.status import stage_word
from tui.words import clean, context_size, progress_facts, size

_STAGE_WIDTH = 19
_SIZE_WIDTH = 9


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
        if self._view is None or not self.count:
            places = [place for place, model in enumerate(view.models) if model.id == view.chat.model]
            self.cursor = places[0] if places else 0
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
        stage = stage_word(self._view, model)
        name_width = 34 if width >= 90 else 20 if width >= 60 else max(8, width - _STAGE_WIDTH - 1)
        muted = Style(color=colours.muted)
        pieces = [
            cells(model.id, name_width, Style(color=colours.text, bold=model.id == self._view.chat.model)),
            Segment(" "),
            cells(stage.text, _STAGE_WIDTH, Style(color=tones[stage.style])),
        ]
        room = width - name_width - 1 - _STAGE_WIDTH - _SIZE_WIDTH
        if room <= 0:
            return pieces

        weight = f"{size(model.size_bytes):>7}" if model.size_bytes else ""
        return [*pieces, cells(weight, _SIZE_WIDTH, muted), cells(self._about(model), room, muted)]

    def _about(self, model: ModelState) -> str:
        assert self._view is not None
        job = job_of(self._view, model)
        if job is not None:
            facts = [fact for fact in progress_facts(job) if not fact.endswith(" %")]  # stands with the stage
            return " · ".join((*facts, clean(job.phase)))
        if model.fault is not None:
            return clean(model.fault.message)

        runs = sum(run.model == model.id for run in self._view.runs)
        facts = [f"{runs} running"] if runs else []
        facts += [f"context {context_size(model.context_tokens)}"] if model.context_tokens else []
        return " · ".join((*facts, model.engine))
