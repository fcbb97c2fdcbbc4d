"""The agents with how they stand, and their runs as they go on."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from tui.actions import Need, bindings
from tui.agency import AgentsWanted
from tui.agents import AgentInfo, Agents, RunInfo
from tui.console import Console
from tui.following import RunChosen
from tui.revealed import reveal
from tui.screens.base import LarScreen
from tui.screens.say import SayScreen
from tui.talk_agents import AgentChosen
from tui.widgets.agents import AgentRows, RunRows, about_agent
from tui.widgets.hints import Hints
from tui.widgets.line import Word, content
from tui.widgets.status import Banner, Status


class AgentsScreen(LarScreen):
    """The screen. Its cursors are its own; all else is the view's."""

    NAME = "agents"
    TITLE_WORD = "agents"
    CSS_PATH = "agents.tcss"
    BINDINGS: ClassVar = bindings("agents")
    AUTO_FOCUS = "AgentRows"
    HELP_TEXT = (
        "Agents above, the runs of the one under the cursor below; the first row stands for all of them, "
        "those of programs too. enter gives an agent a task, and opens a run; c chats with it. tab goes "
        "from one list to the other. A run goes on when the console is gone."
    )

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._told = Content("")

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield Status()
        yield Banner()
        yield Static(id="said")
        with Container(id="panes"):
            with Container(id="above"):
                yield AgentRows()
                yield Static(id="about")
            with Container(id="below"):
                yield Static(id="whose")
                yield RunRows(self.console.clock.zone())
                yield Static(id="noruns")
        yield Static(id="none")
        yield Hints()

    def on_mount(self) -> None:
        """Draw what is known, and look."""
        super().on_mount()
        self.do_look()

    @property
    def agent(self) -> AgentInfo | None:
        """The agent under the cursor."""
        found = self.query(AgentRows)
        return found.first().current if self.is_mounted and found else None

    @property
    def chosen_run(self) -> RunInfo | None:
        """The run under the cursor, where the runs have the keys."""
        found = self.query(RunRows)
        is_theirs = self.is_mounted and found and self.focused is found.first()
        return found.first().current if is_theirs else None

    @property
    def _has_runs(self) -> bool:
        found = self.query(RunRows)
        return bool(self.is_mounted and found and found.first().count)

    def needs(self) -> set[Need]:
        """Return what there is."""
        found, agent = super().needs(), self.agent
        if agent is not None and agent.name not in self.console.view.agents.busy:
            found |= {"agent", "listed"}
        if self.chosen_run is not None or (agent is None and self._has_runs):
            found.add("listed")
        return found

    def show_body(self) -> None:
        """Draw agents and runs."""
        agents = self.console.view.agents
        self.query_one("#said", Static).update(_said(agents, self.size.width - 2))
        is_empty = not agents.agents and not agents.runs
        self.query_one("#panes").display = not is_empty
        nothing = self.query_one("#none", Static)
        nothing.display = is_empty
        if is_empty:
            nothing.update(_nothing(agents))
            return

        self.query_one(AgentRows).show(agents)
        agent = self.agent
        runs = [each for each in agents.runs if agent is None or each.agent == agent.name]
        rows = self.query_one(RunRows)
        rows.show(runs, self.console.clock.now())
        rows.display = bool(runs)
        self.query_one("#noruns").display = not runs
        whose = "runs of all" if agent is None else f"runs of {reveal(agent.name)}"
        self.query_one("#whose", Static).update(Content.styled(whose, "bold $accent"))
        task = "enter gives it a task." if agent is not None else "Choose an agent and press enter."
        self.query_one("#noruns", Static).update(Content.styled(f"No run yet. {task}", "$muted"))
        told = about_agent(agent) if agent is not None else Content("")
        about = self.query_one("#about", Static)
        about.display = agent is not None
        if not told.is_same(self._told):
            self._told = told
            about.update(told)

    def on_agent_rows_moved(self) -> None:
        """Show the runs of another agent."""
        self.show()

    def on_run_rows_moved(self) -> None:
        """Say what can be done with this run."""
        self.show()

    def on_descendant_focus(self) -> None:
        """Say what can be done in the list that has the keys now."""
        self.show()

    # ---- actions

    def do_look(self) -> None:
        """Fetch agents and runs as they are now."""
        self.console.dispatch(AgentsWanted())

    def do_open(self) -> None:
        """Open the run, or give the agent a task."""
        run = self.chosen_run
        if run is None and self.agent is None:
            self.query_one(RunRows).focus()
            return
        if run is None:
            self.do_task()
            return
        self.console.dispatch(RunChosen(id=run.id))
        self.console.go_to("run")

    def do_task(self) -> None:
        """Ask what the agent is to do."""
        agent = self.agent
        if agent is None:
            return

        def begin(task: str | None) -> None:
            if task:
                self.console.begin(self._start(agent.name, task), "start")

        what = " ".join(reveal(agent.agent.description).split()) or "What is it to do?"
        self.app.push_screen(SayScreen(f"a task for {reveal(agent.name)}", what), begin)

    async def _start(self, name: str, task: str) -> None:
        if await self.console.agency.start(name, task) and self.app.screen is self:
            self.console.go_to("run")

    def do_chat(self) -> None:
        """Chat with the agent under the cursor."""
        agent = self.agent
        if agent is not None:
            self.console.dispatch(AgentChosen(name=agent.name))
            self.console.go_to("chat")

    def do_pause(self) -> None:
        """Pause the agent, or take it up again."""
        agent = self.agent
        if agent is not None:
            work = self.console.agency.pause(agent.name, is_paused=not agent.is_paused)
            self.console.begin(work, "pause")


def _said(agents: Agents, width: int) -> Content:
    bad = sum(bool(each.faults) for each in agents.agents)
    busy = sum(each.status in ("queued", "in_progress") for each in agents.runs)
    waiting = sum(each.status == "waiting" for each in agents.runs)
    return content(
        [
            Word(f"{len(agents.agents)} agents", "$muted"),
            Word(f"● {busy} at work" if busy else "", "$warning", 2),
            Word(f"▲ {waiting} wait for you, ^l" if waiting else "", "bold $warning", 1),
            Word(f"✖ {bad} faulty" if bad else "", "$error", 2),
            Word(f"✖ {agents.trouble}" if agents.trouble else "", "$error", 1),
        ],
        width,
    )


def _nothing(agents: Agents) -> Content:
    if agents.trouble:
        return Content("The agents cannot be listed. r looks again.")
    if not agents.is_known:
        return Content("Looking which agents there are…")
    return Content("\n").join(
        [
            Content("There is no agent yet."),
            Content.styled("lar agents create NAME     makes one and opens its file", "$muted"),
            Content.styled("lar agents import FILE     takes one in", "$muted"),
        ]
    )
