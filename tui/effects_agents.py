"""The calls about agents and runs, each reporting to `dispatch`. Decides nothing."""

from collections.abc import Callable
from contextlib import aclosing

from tui import calls_agents as calls
from tui.agency import AgentBusy, AgentDone, AgentsCame, AgentsRefused, AgentsWanted
from tui.agents import Agents, OpenRun, RunInfo
from tui.calls import Call
from tui.clock import Clock
from tui.following import FollowLost, Happened, RunChosen, RunRefused, RunReplayed, RunWanted, StepsCame
from tui.ports import LinkLost, Refused, Source
from tui.state import Trouble
from tui.view import ActionFailed, Message


class AgentEffects:
    """Lists agents and runs, starts, follows, steers, stops, replays and forks runs."""

    def __init__(self, source: Source, clock: Clock, dispatch: Callable[[Message], None]) -> None:
        self._source = source
        self._clock = clock
        self._dispatch = dispatch

    async def list_agents(self, look: Callable[[], Agents]) -> None:
        """Fetch the agents and their newest runs, until the view wants no more."""
        try:
            while look().want.is_open:
                asked = look().want.asked
                agents = await self._source.ask(calls.list_agents())
                runs = await self._source.ask(calls.list_runs())
                self._dispatch(AgentsCame(agents=agents.agents, runs=runs.runs, asked=asked))
        except Refused as refused:
            self._dispatch(AgentsRefused(trouble=_trouble(refused)))

    async def pause(self, name: str, *, is_paused: bool) -> None:
        """Pause an agent, or take it up again."""
        self._dispatch(AgentBusy(name=name))
        try:
            await self._source.ask(calls.pause_agent(name, is_paused=is_paused))
        except Refused as refused:
            self._fail(f"{'pause' if is_paused else 'resume'} {name}", refused)
        finally:
            self._dispatch(AgentDone(name=name))

    async def start(self, name: str, task: str) -> bool:
        """Give an agent a task and look at its run; False where it was refused."""
        self._dispatch(AgentBusy(name=name))
        try:
            run = await self._source.ask(calls.start_run(name, task))
            self._dispatch(RunChosen(id=run.id))
            return True
        except Refused as refused:
            self._fail(f"give {name} a task", refused)
            return False
        finally:
            self._dispatch(AgentDone(name=name))

    async def read_run(self, look: Callable[[], OpenRun]) -> None:
        """Fetch a run's record and the steps that are not known, until the view wants no more."""
        while look().id and look().want.is_open:
            identity, asked, first = look().id, look().want.asked, len(look().steps)
            try:
                # The record first: one that is over has all its steps by then.
                info = await self._source.ask(calls.show_run(identity))
                steps = (await self._source.ask(calls.list_steps(identity, first))).steps
                self._dispatch(StepsCame(info=info, steps=steps, first=first, asked=asked))
            except Refused as refused:
                self._dispatch(RunRefused(id=identity, trouble=_trouble(refused)))

    async def follow(self, run: str) -> None:
        """Report what happens in a run to its end, across lost connections."""
        try:
            async with aclosing(self._source.follow(run)) as happenings:
                async for each in happenings:
                    if isinstance(each, LinkLost):
                        self._dispatch(FollowLost(id=run, reason=each.reason))
                    else:
                        number, happening = each
                        self._dispatch(Happened(id=run, number=number, happening=happening))
        except Refused as refused:
            self._dispatch(FollowLost(id=run, reason=refused.message))

    async def cancel(self, run: str, reason: str) -> None:
        """Stop a run."""
        await self._do("cancel the run", calls.cancel_run(run, reason))

    async def steer(self, run: str, text: str) -> None:
        """Add to what a run was asked."""
        await self._do("steer the run", calls.steer_run(run, text))

    async def fork(self, run: str, after_step: int, text: str) -> None:
        """Go another way after so many steps, and look at the fork."""
        forked = await self._do("fork the run", calls.fork_run(run, after_step, text))
        if forked is not None:
            self._dispatch(RunChosen(id=forked.id))
            self._dispatch(AgentsWanted())

    async def replay(self, run: str) -> None:
        """Live a run again on what was recorded."""
        try:
            self._dispatch(RunReplayed(id=run, replayed=await self._source.ask(calls.replay_run(run))))
        except Refused as refused:
            self._fail("replay the run", refused)

    async def _do(self, wanted: str, call: Call[RunInfo]) -> RunInfo | None:
        try:
            info = await self._source.ask(call)
        except Refused as refused:
            self._fail(wanted, refused)
            return None
        self._dispatch(RunWanted())
        return info

    def _fail(self, wanted: str, refused: Refused) -> None:
        self._dispatch(ActionFailed(wanted=wanted, trouble=_trouble(refused), at=self._clock.now()))


def _trouble(refused: Refused) -> Trouble:
    return Trouble(code=refused.code, message=refused.message)
