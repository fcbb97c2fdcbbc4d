"""Everything that happens, as frozen facts in past tense.

A fact is published once on the bus inside an `Envelope` and kept in the journal. `kind` is the tag on
the wire. Prompts are in no fact; the finished text of a generation is in `SeqFinished`.
"""

from typing import Literal

import msgspec

from runtime.core.agent_facts import AnyAgentFact
from runtime.core.errors import FaultCode
from runtime.core.fact import Fact
from runtime.core.ids import LOCAL_TENANT, ModelId, PrincipalId, RunId, TenantId, WorkerId
from runtime.core.messages import FinishReason, Usage
from runtime.core.recall_facts import RecallFact
from runtime.core.tool_facts import ToolFact


class ServerStarted(Fact, frozen=True, kw_only=True, tag="server.started"):
    """The server answers on its address."""

    version: str
    address: str


class ServerStopped(Fact, frozen=True, kw_only=True, tag="server.stopped"):
    """The server ended on purpose; after a crash this fact is missing."""

    reason: str


class RunRequested(Fact, frozen=True, kw_only=True, tag="run.requested"):
    """A request was understood and named."""

    model: ModelId
    route: str
    principal: PrincipalId
    choices: int
    is_stream: bool


class RunQueued(Fact, frozen=True, kw_only=True, tag="run.queued"):
    """The run waits for a place; `position` counts from 1."""

    position: int


class RunAdmitted(Fact, frozen=True, kw_only=True, tag="run.admitted"):
    """The run has a place."""

    waited_s: float


class RunStarted(Fact, frozen=True, kw_only=True, tag="run.started"):
    """The model is resident and the generations were handed to its worker."""

    worker: WorkerId


class RunRejected(Fact, frozen=True, kw_only=True, tag="run.rejected"):
    """Terminal: the run was refused before any output."""

    code: FaultCode
    message: str


class RunFinished(Fact, frozen=True, kw_only=True, tag="run.finished"):
    """Terminal: every generation of the run ended."""

    usage: Usage


class RunFailed(Fact, frozen=True, kw_only=True, tag="run.failed"):
    """Terminal: something broke after the run had started."""

    code: FaultCode
    message: str


class RunCancelled(Fact, frozen=True, kw_only=True, tag="run.cancelled"):
    """Terminal: somebody stopped the run, or its client left."""

    reason: str


class TurnStarted(Fact, frozen=True, kw_only=True, tag="turn.started"):
    """One generation (with its tool calls, once agents run them) began."""

    turn: int


class TurnFinished(Fact, frozen=True, kw_only=True, tag="turn.finished"):
    """The turn is over."""

    turn: int


class SeqSubmitted(Fact, frozen=True, kw_only=True, tag="seq.submitted"):
    """A generation was sent to a worker; `index` is its choice within the run."""

    index: int


class SeqStarted(Fact, frozen=True, kw_only=True, tag="seq.started"):
    """The worker accepted the prompt."""

    index: int
    prompt_tokens: int


class SeqDelta(Fact, frozen=True, kw_only=True, tag="seq.delta"):
    """Text since the last such fact, merged to a few per second."""

    index: int
    text: str
    tokens: int


class SeqFinished(Fact, frozen=True, kw_only=True, tag="seq.finished"):
    """A generation ended; `text` is its whole answer, `tool_calls` the names it called."""

    index: int
    reason: FinishReason
    usage: Usage
    text: str
    tool_calls: tuple[str, ...]
    first_token_s: float | None
    """Seconds from submission to the first delta; None when there was none."""
    duration_s: float


class SeqFailed(Fact, frozen=True, kw_only=True, tag="seq.failed"):
    """A generation broke."""

    index: int
    code: FaultCode
    message: str


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a long job is. Every number is None where it cannot be known."""

    phase: str
    """What is being done now, for people: `building llama.cpp`."""
    done: float | None = None
    total: float | None = None
    unit: Literal["bytes", "steps"] = "steps"
    rate_per_s: float | None = None
    left_s: float | None = None


class BackendInstalling(Fact, frozen=True, kw_only=True, tag="backend.installing"):
    """An engine's environment is being made."""

    backend: str
    progress: Progress


class BackendInstalled(Fact, frozen=True, kw_only=True, tag="backend.installed"):
    """An engine's environment is ready."""

    backend: str
    version: str
    duration_s: float


class BackendFailed(Fact, frozen=True, kw_only=True, tag="backend.failed"):
    """An engine's environment could not be made; `log` is the file with the whole story."""

    backend: str
    message: str
    log: str


class BackendRemoved(Fact, frozen=True, kw_only=True, tag="backend.removed"):
    """An engine's environment is gone."""

    backend: str


class ModelInstalling(Fact, frozen=True, kw_only=True, tag="model.installing"):
    """A model's weights are being fetched, checked or put in place."""

    model: ModelId
    progress: Progress


class ModelInstalled(Fact, frozen=True, kw_only=True, tag="model.installed"):
    """A model's weights are in place and its backend is there."""

    model: ModelId
    duration_s: float


class ModelFailed(Fact, frozen=True, kw_only=True, tag="model.failed"):
    """A model could not be installed or loaded."""

    model: ModelId
    stage: Literal["install", "load"]
    code: FaultCode
    message: str


class ModelLoading(Fact, frozen=True, kw_only=True, tag="model.loading"):
    """A worker is reading the model; `fraction` from 0 to 1."""

    model: ModelId
    worker: WorkerId
    fraction: float


class ModelLoaded(Fact, frozen=True, kw_only=True, tag="model.loaded"):
    """The model is resident."""

    model: ModelId
    worker: WorkerId
    context_tokens: int
    duration_s: float


EvictionReason = Literal["idle", "room", "asked", "shutdown"]


class ModelEvicted(Fact, frozen=True, kw_only=True, tag="model.evicted"):
    """The model left memory on purpose."""

    model: ModelId
    reason: EvictionReason


class WorkerSpawned(Fact, frozen=True, kw_only=True, tag="worker.spawned"):
    """A child process was started."""

    worker: WorkerId
    model: ModelId
    engine: str
    pid: int


class WorkerReady(Fact, frozen=True, kw_only=True, tag="worker.ready"):
    """The child shook hands and speaks our protocol."""

    worker: WorkerId
    engine_version: str


class WorkerSilent(Fact, frozen=True, kw_only=True, tag="worker.silent"):
    """The child missed its heartbeat and is being killed."""

    worker: WorkerId
    silent_s: float


class WorkerExited(Fact, frozen=True, kw_only=True, tag="worker.exited"):
    """The child is gone and reaped."""

    worker: WorkerId
    model: ModelId
    returncode: int
    """As the platform reports it: negative is the signal's number."""
    is_expected: bool
    last_words: str
    """The last lines on its stderr."""


class WorkerRestarted(Fact, frozen=True, kw_only=True, tag="worker.restarted"):
    """A new child takes the place of one that died."""

    model: ModelId
    attempt: int
    delay_s: float


class WorkerAbandoned(Fact, frozen=True, kw_only=True, tag="worker.abandoned"):
    """The child died too often; the model is marked broken until somebody asks to load it again."""

    model: ModelId
    attempts: int


class BusLagged(Fact, frozen=True, kw_only=True, tag="bus.lagged"):
    """A subscriber was too slow: facts between the two numbers (inclusive) did not reach it."""

    subscriber: str
    first_seq: int
    last_seq: int
    dropped: int


Event = (
    ServerStarted
    | ServerStopped
    | RunRequested
    | RunQueued
    | RunAdmitted
    | RunStarted
    | RunRejected
    | RunFinished
    | RunFailed
    | RunCancelled
    | TurnStarted
    | TurnFinished
    | SeqSubmitted
    | SeqStarted
    | SeqDelta
    | SeqFinished
    | SeqFailed
    | BackendInstalling
    | BackendInstalled
    | BackendFailed
    | BackendRemoved
    | ModelInstalling
    | ModelInstalled
    | ModelFailed
    | ModelLoading
    | ModelLoaded
    | ModelEvicted
    | WorkerSpawned
    | WorkerReady
    | WorkerSilent
    | WorkerExited
    | WorkerRestarted
    | WorkerAbandoned
    | RecallFact
    | ToolFact
    | AnyAgentFact
    | BusLagged
)
"""Every fact there is; a `match` over it must know each."""

RUN_TERMINAL = (RunRejected, RunFinished, RunFailed, RunCancelled)
"""Exactly one of these ends a run, and nothing of that run follows it."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A fact with its place in history."""

    seq: int
    """Grows by at least one from fact to fact, across restarts too; never used twice."""
    at: float
    """Seconds since the epoch (UTC)."""
    event: Event
    tenant: TenantId = LOCAL_TENANT
    run_id: RunId | None = None
    cause: int | None = None
    """The `seq` of the fact that led here."""

    @property
    def kind(self) -> str:
        """The tag of the fact, as on the wire (`run.started`)."""
        return kind_of(self.event)


def kind_of(event: Event) -> str:
    """Return the tag of a fact."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


KINDS: frozenset[str] = frozenset(str(each.__struct_config__.tag) for each in Event.__args__)
"""The tags of all facts."""
