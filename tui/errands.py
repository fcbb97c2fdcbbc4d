"""What the view asks for, as work beside the drawing: listings, runs to be followed, word for agents at work.

Each errand changes the view so that it is asked for but once.
"""

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from tui.agents import OpenRun
from tui.effects_agents import AgentEffects
from tui.effects_reach import ReachEffects
from tui.effects_talk import TalkEffects
from tui.state import ViewState
from tui.talk_agents import AsideSent, StopSent, agent_at_work, due_aside, due_stop
from tui.view import Message

Begin = Callable[[Coroutine[Any, Any, None], str], None]
"""Begins work of a group."""


class Crew(NamedTuple):
    """Who carries errands out."""

    reach: ReachEffects
    agency: AgentEffects
    talk: TalkEffects


class Errands:
    """Begins what is due; `running` names the groups of work under way, `end` cancels those of one."""

    def __init__(
        self,
        crew: Crew,
        look: Callable[[], ViewState],
        take: Callable[[Message], None],
        begin: Begin,
        running: Callable[[], set[str]],
        end: Callable[[str], None],
    ) -> None:
        self._reach, self._agency, self._talk = crew
        self._look = look
        self._take = take
        self._begin = begin
        self._running = running
        self._end = end
        self._followed: dict[str, tuple[str, float]] = {}
        """By group: the run that it follows, and the connection since which it does."""

    def run(self) -> None:
        """Begin what the view wants, while the server is there."""
        if self._look().link.phase != "live":
            return

        self._talk_to_agent()
        self._list_what_is_wanted()
        self._keep_following(self._look().opened, "follow")
        self._keep_following(self._run_at_work(), "listen")

    def _list_what_is_wanted(self) -> None:
        view, running = self._look(), self._running()
        asks, at_work = view.asks, self._run_at_work()
        if (asks.approvals_want.is_open or asks.questions_want.is_open) and "asks" not in running:
            self._begin(self._reach.list_asks(lambda: self._look().asks), "asks")
        if view.tools.want.is_open and "tools" not in running:
            self._begin(self._reach.list_tools(lambda: self._look().tools), "tools")
        if view.agents.want.is_open and "agents" not in running:
            self._begin(self._agency.list_agents(lambda: self._look().agents), "agents")
        if view.opened.want.is_open and "steps" not in running:
            self._begin(self._agency.read_run(lambda: self._look().opened), "steps")
        if at_work.want.is_open and "turns" not in running:
            self._begin(self._agency.read_run(self._run_at_work), "turns")

    def _run_at_work(self) -> OpenRun:
        at_work = agent_at_work(self._look().chat)
        return OpenRun() if at_work is None else at_work.run

    def _keep_following(self, run: OpenRun, group: str) -> None:
        """Follow a run to its end; anew on a new connection, since a starting server may have refused."""
        place = (run.id, self._look().link.since)
        if run.info is None or self._followed.get(group) == place:
            return

        self._followed[group] = place
        self._end(group)
        if not run.info.is_over:
            self._begin(self._agency.follow(run.id), group)

    def _talk_to_agent(self) -> None:
        """Say what was written in between, and stop the agent where the person wants that."""
        chat = self._look().chat
        aside, stop = due_aside(chat), due_stop(chat)
        if stop is not None:
            self._take(StopSent(exchange=stop.id))
            self._begin(self._talk.stop(stop), "halt")
        elif aside is not None:
            exchange, said = aside
            self._take(AsideSent(exchange=exchange.id, aside=said.id))
            self._begin(self._talk.say(exchange, said), "say")
