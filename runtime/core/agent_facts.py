"""The facts of agents' runs. Nothing that was asked, said or called is in any of them."""

from runtime.core.fact import Fact
from runtime.core.ids import ApprovalId, ModelId, PrincipalId, RunId
from runtime.core.messages import Usage


class AgentFact(Fact, frozen=True, kw_only=True):
    """Base of them all; the envelope names the run."""

    agent: str | None = None
    """None: a run without an agent's definition, such as one of the Responses API."""


class AgentStarted(AgentFact, frozen=True, kw_only=True, tag="agent.started"):
    """A run has begun its work."""

    model: ModelId
    principal: PrincipalId
    trigger: str = ""
    session: str | None = None
    parent: RunId | None = None


class AgentWaiting(AgentFact, frozen=True, kw_only=True, tag="agent.waiting"):
    """Nothing goes on until a person has answered."""

    approvals: tuple[ApprovalId, ...] = ()


class AgentResumed(AgentFact, frozen=True, kw_only=True, tag="agent.resumed"):
    """The run goes on."""

    reason: str
    """`answered` or `restart`."""


class AgentEnded(AgentFact, frozen=True, kw_only=True):
    """Base of the four ends, of which a run has exactly one."""

    turns: int = 0
    calls: int = 0
    usage: Usage = Usage()
    trigger: str = ""
    session: str | None = None
    parent: RunId | None = None


class AgentFinished(AgentEnded, frozen=True, kw_only=True, tag="agent.finished"):
    """Terminal: the run has come to its end."""


class AgentIncomplete(AgentEnded, frozen=True, kw_only=True, tag="agent.incomplete"):
    """Terminal: a limit has ended the run."""

    reason: str


class AgentFailed(AgentEnded, frozen=True, kw_only=True, tag="agent.failed"):
    """Terminal: something broke."""

    code: str
    message: str


class AgentCancelled(AgentEnded, frozen=True, kw_only=True, tag="agent.cancelled"):
    """Terminal: somebody stopped the run, or its client left."""

    reason: str


class TriggerFired(AgentFact, frozen=True, kw_only=True, tag="trigger.fired"):
    """Something other than a person has started an agent; the envelope names the run."""

    trigger: str
    """cron, every, webhook, files, collection or after."""


class TriggerFailed(AgentFact, frozen=True, kw_only=True, tag="trigger.failed"):
    """A trigger could not start its agent."""

    trigger: str
    message: str


AnyAgentFact = (
    AgentStarted
    | AgentWaiting
    | AgentResumed
    | AgentFinished
    | AgentIncomplete
    | AgentFailed
    | AgentCancelled
    | TriggerFired
    | TriggerFailed
)
