"""Who the chat talks to: the known models with their stage, and the agents with how they stand."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from runtime.core.ids import ModelId
from runtime.core.states import ModelState
from tui.agency import AgentsWanted
from tui.agents import AgentInfo, Agents
from tui.console import Console
from tui.revealed import reveal
from tui.screens.base import LiveDialog
from tui.state import ViewState, can_chat
from tui.talk_agents import AgentChosen
from tui.view import ModelChosen
from tui.widgets.agents import state_of
from tui.widgets.rows import cells
from tui.widgets.status import stage_word
from tui.words import size

_NAME, _AGENT = 32, 20
_NAME_NARROW, _AGENT_NARROW = 18, 14
_NARROW, _WITH_WORDS = 60, 12
"""Below this width names have less room; with less than these cells an agent's line has no description."""
_STATE = 10
_TONES = {"muted": "$muted", "warn": "$warning", "good": "$success", "bad": "$error"}
_MODEL_ID, _AGENT_ID = "model:", "agent:"


class ModelPicker(LiveDialog):
    """The list over the screen. What the server says while it is open is shown; the cursor stays."""

    CSS_PATH = "models.tcss"
    AUTO_FOCUS = "OptionList"
    BINDINGS: ClassVar = [Binding("escape,q", "app.pop_screen", "Close", show=False)]

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self._shown: list[Option] = []
        self._told: list[tuple[str | None, str, bool]] = []

    def compose(self) -> ComposeResult:
        """Build the list."""
        with Container(id="frame") as frame:
            frame.border_title = "talk to"
            frame.border_subtitle = "enter choose · esc close"
            # Without any it would be laid out with no height, and stay so.
            yield OptionList(_word(""))
            yield Static(id="about")

    def on_mount(self) -> None:
        """Show what is known, and ask which agents there are."""
        self.show()
        self.console.dispatch(AgentsWanted())

    def on_resize(self) -> None:
        """Cut the lines for the new width."""
        self.show()

    def show(self) -> None:
        """List models and agents as they are now."""
        if not self.is_mounted or not self.query(OptionList):
            return

        view, options = self.console.view, self.query_one(OptionList)
        width = max(30, min(100, int(self.app.size.width * 0.96)) - 6)
        found = [*_models(view, width), *_agents(view, width)]
        told = [(each.id, str(each.prompt), each.disabled) for each in found]
        if told == self._told:
            return

        place = options.highlighted
        was = options.get_option_at_index(place).id if place is not None and self._told else _current(view)
        self._told = told
        options.clear_options()
        options.add_options(found)
        options.refresh(layout=True)
        places = {each.id: index for index, each in enumerate(found) if not each.disabled}
        options.highlighted = places.get(was, next(iter(places.values()), None))

    @on(OptionList.OptionHighlighted)
    def tell(self, message: OptionList.OptionHighlighted) -> None:
        """Say what the one under the cursor is for, and what stands against it."""
        about = self.query_one("#about", Static)
        identity = message.option_id or ""
        agents = self.console.view.agents.agents
        agent = next((each for each in agents if f"{_AGENT_ID}{each.name}" == identity), None)
        about.display = agent is not None
        if agent is not None:
            about.update(_about_agent(agent))

    @on(OptionList.OptionSelected)
    def choose(self, message: OptionList.OptionSelected) -> None:
        """Talk to the chosen one."""
        identity = message.option_id
        if identity is None:
            return

        self.app.pop_screen()
        if identity.startswith(_AGENT_ID):
            self.console.dispatch(AgentChosen(name=identity.removeprefix(_AGENT_ID)))
        else:
            self.console.dispatch(ModelChosen(model=ModelId(identity.removeprefix(_MODEL_ID))))
        self.console.go_to("chat")


def _current(view: ViewState) -> str:
    return f"{_AGENT_ID}{view.chat.agent}" if view.chat.agent else f"{_MODEL_ID}{view.chat.model}"


def _models(view: ViewState, width: int) -> list[Option]:
    speakers = [each for each in view.models if can_chat(each)]
    if not speakers:
        return [_word("The server has not said yet which models it knows.")]
    listed = [Option(_about(view, each, width), id=f"{_MODEL_ID}{each.id}") for each in speakers]
    return [_heading("models"), *listed]


def _agents(view: ViewState, width: int) -> list[Option]:
    agents = view.agents
    listed = [Option(_line(view, each, width), id=f"{_AGENT_ID}{each.name}") for each in agents.agents] or [
        _word(_none(agents))
    ]
    return [_word(""), _heading("agents"), *listed]


def _none(agents: Agents) -> str:
    if agents.trouble:
        return f"  ✖ they cannot be listed: {agents.trouble}"
    if not agents.is_known:
        return "  looking which there are…"
    return "  none yet: lar agents create NAME makes one"


def _heading(text: str) -> Option:
    return Option(Content.styled(text, "bold $accent"), disabled=True)


def _word(text: str) -> Option:
    return Option(Content.styled(text, "$muted"), disabled=True)


def _about(view: ViewState, model: ModelState, width: int) -> Content:
    stage = stage_word(view, model)
    name = _NAME if width >= _NARROW else _NAME_NARROW
    is_current = model.id == view.chat.model and not view.chat.agent
    return Content.assemble(
        ("▸ " if is_current else "  ", "$accent"),
        (cells(model.id, name).text, "$foreground"),
        (f" {size(model.size_bytes) if model.size_bytes else '':>8}  ", "$muted"),
        (stage.text, stage.style),
    )


def _line(view: ViewState, agent: AgentInfo, width: int) -> Content:
    glyph, tone, word = state_of(agent)
    said = " ".join(reveal(agent.faults[0] if agent.faults else agent.agent.description).split())
    name = _AGENT if width >= _NARROW else _AGENT_NARROW
    room = width - 2 - name - 1 - _STATE - 3
    return Content.assemble(
        ("▸ " if agent.name == view.chat.agent else "  ", "$accent"),
        (cells(reveal(agent.name), name).text, "$foreground"),
        (f" {cells(f'{glyph} {word}', _STATE).text} ", _TONES[tone]),
        (cells(said, room).text if room >= _WITH_WORDS else "", "$error" if agent.faults else "$muted"),
    )


def _about_agent(agent: AgentInfo) -> Content:
    lines = [Content.styled(f"✖ {reveal(each)}", "$error") for each in agent.faults]
    if agent.is_paused:
        lines.append(Content.styled("‖ paused: nothing starts it by itself, you can talk to it", "$muted"))
    if agent.agent.description:
        lines.append(Content.styled(" ".join(reveal(agent.agent.description).split()), "$foreground"))
    return Content("\n").join(lines)
