"""How a trigger starts its agent: once for each event, even where the server is killed in between.

    mark "pending" ── run stored, with the start's key among its labels ── mark "done"
After a restart a pending start is looked for among the runs; where it is not there, it is made up.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime

import msgspec

from runtime.core.agent_facts import AgentFact, TriggerFailed, TriggerFired
from runtime.core.agents.definition import Agent, Trigger
from runtime.core.agents.instructions import fill, values_of
from runtime.core.agents.items import Said, Text
from runtime.core.agents.plans import Plan
from runtime.core.agents.ports import AgentRuns, Records, RunQuery, Session, Sessions
from runtime.core.agents.starting import Starter, Wish
from runtime.core.agents.triggers.naming import key_of, kind_of, session_key
from runtime.core.clock import Clock
from runtime.core.errors import LarError, NotFound
from runtime.core.gate.principals import OWNER
from runtime.core.ids import RunId, TenantId
from runtime.core.minting import new_id

START_LABEL = "trigger_start"
DEPTH_LABEL = "trigger_depth"
"""How many runs, each started by the end of the one before, led here."""
_MARK = "trigger"
_SESSION = "trigger_session"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a trigger has come."""

    last: float
    """Up to when its times are decided."""
    pending: str = ""
    """The key of a start that was begun; empty: none."""
    event: str = ""
    """What the pending start is about."""
    depth: int = 1
    """Of the pending start."""
    last_run: RunId | None = None
    starts: int = 0
    fault: str = ""
    """Why the last start failed."""


class Starts:
    """Starts agents for triggers, and remembers how far each has come."""

    def __init__(
        self,
        starter: Starter,
        runs: AgentRuns,
        records: Records,
        sessions: Sessions,
        clock: Clock,
        publish: Callable[[AgentFact, TenantId, RunId | None], None],
    ) -> None:
        self._starter = starter
        self._runs = runs
        self._records = records
        self._sessions = sessions
        self._clock = clock
        self._publish = publish

    def local(self, at: float) -> datetime:
        """Return a time as it is where the machine stands."""
        return datetime.fromtimestamp(at, self._starter.now().tzinfo)

    async def mark(self, tenant: TenantId, agent: Agent, trigger: Trigger) -> Mark:
        """Return how far a trigger has come; one that is new begins now."""
        stored = await self._records.get(tenant, _MARK, key_of(agent, trigger))
        if stored is not None:
            return msgspec.json.decode(stored, type=Mark)
        mark = Mark(last=self._clock.now())
        await self._keep(tenant, agent, trigger, mark)
        return mark

    async def begin(self, tenant: TenantId, agent: Agent, trigger: Trigger) -> None:
        """Take a trigger up whose agent may be started from now on: what it waits for counts from here."""
        mark = await self.mark(tenant, agent, trigger)
        if trigger.after is not None:
            await self._keep(tenant, agent, trigger, msgspec.structs.replace(mark, last=self._clock.now()))

    async def move(self, tenant: TenantId, agent: Agent, trigger: Trigger, last: float) -> None:
        """Note that all times up to this one are decided."""
        mark = await self.mark(tenant, agent, trigger)
        if last != mark.last:
            await self._keep(tenant, agent, trigger, msgspec.structs.replace(mark, last=last))

    async def finish_pending(self, tenant: TenantId, agent: Agent, trigger: Trigger) -> None:
        """Make up for a start that a crash cut off."""
        mark = await self.mark(tenant, agent, trigger)
        if mark.pending:
            await self.start(tenant, agent, trigger, mark.event, mark.pending, mark.last, mark.depth)

    async def start(
        self,
        tenant: TenantId,
        agent: Agent,
        trigger: Trigger,
        event: str,
        key: str,
        last: float | None = None,
        depth: int = 1,
    ) -> RunId | None:
        """Start the agent for one event, whose key is the same however often this is called for it.

        Returns the run, None where it could not be started; then the mark and a fact say why.
        """
        mark = await self.mark(tenant, agent, trigger)
        reached = mark.last if last is None else max(mark.last, last)
        begun = msgspec.structs.replace(mark, pending=key, event=event, last=reached, depth=depth)
        await self._keep(tenant, agent, trigger, begun)
        known = await self._runs.list_runs(
            tenant, RunQuery(agent=agent.name, labels={START_LABEL: key}, limit=1)
        )
        labels = {START_LABEL: key, DEPTH_LABEL: str(depth)}
        run, fault = (known[0].id, "") if known else await self._begin(tenant, agent, trigger, event, labels)
        done = msgspec.structs.replace(
            begun,
            pending="",
            event="",
            depth=1,
            last_run=run or begun.last_run,
            starts=begun.starts + 1,
            fault=fault,
        )
        await self._keep(tenant, agent, trigger, done)
        return run

    async def _begin(
        self, tenant: TenantId, agent: Agent, trigger: Trigger, event: str, labels: Mapping[str, str]
    ) -> tuple[RunId | None, str]:
        kind = kind_of(trigger)

        def labelled(plan: Plan) -> Plan:
            return msgspec.structs.replace(plan, labels={**plan.labels, **labels})

        try:
            said = Said(id=new_id("msg_"), role="user", parts=(Text(text=self._text(agent, trigger, event)),))
            follower = await self._starter.start(
                Wish(
                    agent=agent.name,
                    principal=msgspec.structs.replace(OWNER, tenant=tenant),
                    input=(said,),
                    trigger=kind,
                    session=await self._session(tenant, agent, trigger),
                    variables={"event": event},
                    shape=labelled,
                )
            )
        except LarError as problem:
            self._publish(
                TriggerFailed(agent=agent.name, trigger=kind, message=problem.fault.message), tenant, None
            )
            return None, problem.fault.message
        follower.aclose()
        self._publish(TriggerFired(agent=agent.name, trigger=kind), tenant, follower.run)
        return follower.run, ""

    def _text(self, agent: Agent, trigger: Trigger, event: str) -> str:
        values = values_of(agent, self._starter.now(), {"event": event})
        text = fill(trigger.message, values, "message").strip()
        return text or event or "Do your work."

    async def _session(self, tenant: TenantId, agent: Agent, trigger: Trigger) -> str | None:
        """Return the conversation that all runs of the trigger share; made at the first one."""
        if trigger.session is None:
            return None
        key = session_key(agent, trigger.session)
        stored = await self._records.get(tenant, _SESSION, key)
        if stored is not None:
            with suppress(NotFound):  # somebody has removed it: the trigger begins another one
                return (await self._sessions.find(tenant, stored.decode())).id
        session = Session(
            id=new_id("conv_"),
            tenant=tenant,
            created_at=self._clock.now(),
            agent=agent.name,
            title=trigger.session,
        )
        await self._sessions.create(session)
        await self._records.put(tenant, _SESSION, key, session.id.encode())
        return session.id

    async def _keep(self, tenant: TenantId, agent: Agent, trigger: Trigger, mark: Mark) -> None:
        await self._records.put(tenant, _MARK, key_of(agent, trigger), msgspec.json.encode(mark))
