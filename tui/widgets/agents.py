"""Agents with how they stand, and runs with what they took, as two lists."""

from collections.abc import Sequence
from datetime import tzinfo

from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.message import Message

from tui.agents import AgentInfo, Agents, RunInfo
from tui.revealed import reveal
from tui.theme import Colours
from tui.widgets.foreign import marked
from tui.widgets.rows import Lines, cells
from tui.words import counted, moment, span, tally

STATUSES = {
    "queued": ("○", "muted", "queued"),
    "in_progress": ("●", "warn", "at work"),
    "waiting": ("▲", "warn", "waits"),
    "completed": ("✔", "good", "done"),
    "incomplete": ("▲", "warn", "cut short"),
    "failed": ("✖", "bad", "failed"),
    "cancelled": ("‖", "muted", "cancelled"),
}
"""Of a run: its glyph, its colour, its word."""
_NAME, _NAME_WIDE, _NAME_WIDEST = 14, 22, 34
_WIDE, _WIDEST = 110, 170
"""From these widths on a name has more room."""
_STATE = 10
_MODEL = 20
_TOOK, _TOOK_WIDE = 14, 35


def state_of(agent: AgentInfo) -> tuple[str, str, str]:
    """Return how an agent stands: a glyph, a colour, a word."""
    if agent.faults:
        return ("✖", "bad", "faulty")
    return ("‖", "muted", "paused") if agent.is_paused else ("●", "good", "ready")


def starts_of(agent: AgentInfo) -> str:
    """Return what starts an agent by itself."""
    found: list[str] = []
    for each in agent.agent.triggers:
        told = (
            ("at", each.cron),
            ("every", each.every),
            ("webhook", each.webhook),
            ("files of", each.files),
            ("collection", each.collection),
            ("after", each.after),
        )
        found += [f"{word} {reveal(value)}" for word, value in told if value]
    return ", ".join(found)


def models_of(agent: AgentInfo) -> str:
    """Return the models of an agent in their order."""
    return ", ".join(reveal(each) for each in agent.agent.models) or "default model"


def name_width(width: int) -> int:
    """Return the cells of an agent's name in a row of a width."""
    return _NAME_WIDEST if width >= _WIDEST else _NAME_WIDE if width >= _WIDE else _NAME


class AgentRows(Lines):
    """All agents, after a first row that stands for the runs of all."""

    class Moved(Message):
        """The person has put the cursor on something else."""

    def __init__(self) -> None:
        super().__init__()
        self._agents = Agents()
        self._last: dict[str, RunInfo] = {}

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._agents.agents) + 1

    @property
    def current(self) -> AgentInfo | None:
        """The agent that the cursor is on; None: all."""
        return self._agents.agents[self.cursor - 1] if self.cursor and self._agents.agents else None

    def moved(self) -> None:
        """Tell the screen."""
        self.post_message(self.Moved())

    def show(self, agents: Agents) -> None:
        """Show the agents; the cursor stays on its own."""
        was = self.current
        self._agents = agents
        self._last = {}
        for run in reversed(agents.runs):
            if run.agent is not None:
                self._last[run.agent] = run
        if was is not None:
            names = [each.name for each in agents.agents]
            self.cursor = names.index(was.name) + 1 if was.name in names else 0
        self.resize_lines()

    def draw(self, index: int, width: int, colours: Colours) -> list[Segment]:
        """Return name, state, model, last run, and what starts it."""
        muted = Style(color=colours.muted)
        if not index:
            return [cells(f"all runs ({len(self._agents.runs)} newest)", width, muted)]

        agent = self._agents.agents[index - 1]
        glyph, colour, word = state_of(agent)
        if agent.name in self._agents.busy:
            glyph, colour, word = "◐", "warn", "changing"
        tone = Style(color=getattr(colours, colour))
        text = Style(color=colours.text)
        name = name_width(width)
        pieces = [Segment(f"{glyph} ", tone), cells(reveal(agent.name), name, text), Segment(" ")]
        pieces += [cells(word, _STATE, tone), Segment(" ")]
        left = width - 2 - name - 1 - _STATE - 1
        last = self._last.get(agent.name)
        said = STATUSES.get(last.status, ("·", "muted", last.status)) if last else ("", "muted", "no run")
        pieces += [
            cells(f"{said[0]} {said[2]}".strip(), min(12, left), Style(color=getattr(colours, said[1])))
        ]
        left -= 13
        if left > 6:
            model = min(_MODEL, left)
            pieces += [Segment(" "), cells(models_of(agent), model, Style(color=colours.second))]
            left -= model + 1
        if left > 6:
            pieces += [Segment(" "), cells(starts_of(agent), left, muted)]
        return pieces


class RunRows(Lines):
    """Runs, the newest first."""

    class Moved(Message):
        """The person has put the cursor on something else."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__()
        self._zone = zone
        self._runs: Sequence[RunInfo] = ()
        self._now = 0.0

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._runs)

    @property
    def current(self) -> RunInfo | None:
        """The run that the cursor is on."""
        return self._runs[self.cursor] if self._runs else None

    def moved(self) -> None:
        """Tell the screen."""
        self.post_message(self.Moved())

    def show(self, runs: Sequence[RunInfo], now: float) -> None:
        """Show these runs. The cursor stays on its run; on the newest it stays on the newest."""
        was = self.current
        self._runs, self._now = runs, now
        if was is not None and self.cursor:
            ids = [each.id for each in runs]
            self.cursor = ids.index(was.id) if was.id in ids else 0
        self.resize_lines()

    def draw(self, index: int, width: int, colours: Colours) -> list[Segment]:
        """Return status, beginning, agent, what it took, and the first words of its task."""
        run = self._runs[index]
        glyph, colour, word = STATUSES.get(run.status, ("·", "muted", run.status))
        tone, muted = Style(color=getattr(colours, colour)), Style(color=colours.muted)
        pieces = [
            Segment(f"{glyph} ", tone),
            cells(word, 10, tone),
            Segment(moment(run.created_at, self._zone)[:5]),
        ]
        left = width - 2 - 10 - 5
        name = name_width(width)
        pieces += [Segment(" "), cells(reveal(run.agent or "-"), name, Style(color=colours.second))]
        left -= name + 1
        if left > 30:
            is_wide = left > _TOOK_WIDE + 30
            room = _TOOK_WIDE if is_wide else _TOOK
            pieces += [Segment(" "), cells(_took(run, self._now, is_wide=is_wide), room, muted)]
            left -= room + 1
        title = " ".join(reveal(run.title or run.id).split())
        return [*pieces, Segment(" "), cells(title, max(1, left - 1), Style(color=colours.text))]


def _took(run: RunInfo, now: float, *, is_wide: bool) -> str:
    tokens = run.usage.total_tokens
    took = span(max(0.0, (run.ended_at or now) - run.created_at))
    if not is_wide:
        return f"{took:>5} {tally(tokens):>4} tok"
    turns, calls = counted(run.turns, "turn"), counted(run.calls, "call")
    return f"{took:>6} {turns:<9} {calls:<8} {tally(tokens):>4} tok"


def about_agent(agent: AgentInfo) -> Content:
    """Return what an agent is for, what stands against it, and what starts it."""
    lines = [Content.styled(f"✖ {reveal(each)}", "$error") for each in agent.faults]
    if agent.agent.description:
        lines.append(marked(reveal(" ".join(agent.agent.description.split()))))
    starts = starts_of(agent)
    told = f"starts by itself {starts}" if starts else "starts when people or programs ask"
    said = f"asks {models_of(agent)} · {told}"
    lines.append(Content.styled(said + ("; paused" if agent.is_paused else ""), "$muted"))
    return Content("\n").join(lines)
