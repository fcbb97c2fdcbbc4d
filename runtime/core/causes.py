"""Which fact led to which: facts about one thing follow each other. Pure.

A fact's subjects are what it is about, the most specific first (a seq, a worker, a model, a backend). Its
cause is the newest fact about the first of them that has one; where none has, the `otherwise` of the asker:
inside a run, the newest fact of the run itself.
"""

from runtime.core.agent_facts import AgentFact
from runtime.core.events import (
    BackendFailed,
    BackendInstalled,
    BackendInstalling,
    BackendRemoved,
    BusLagged,
    Event,
    ModelEvicted,
    ModelFailed,
    ModelInstalled,
    ModelInstalling,
    ModelLoaded,
    ModelLoading,
    RunAdmitted,
    RunCancelled,
    RunFailed,
    RunFinished,
    RunQueued,
    RunRejected,
    RunRequested,
    RunStarted,
    SeqDelta,
    SeqFailed,
    SeqFinished,
    SeqStarted,
    SeqSubmitted,
    ServerStarted,
    ServerStopped,
    TurnFinished,
    TurnStarted,
    WorkerAbandoned,
    WorkerExited,
    WorkerReady,
    WorkerRestarted,
    WorkerSilent,
    WorkerSpawned,
)
from runtime.core.recall_facts import (
    RecallFact,
    RecallFailed,
    RecallForgotten,
    RecallIngested,
    RecallJobEnded,
    RecallSearched,
    SourceSynced,
)
from runtime.core.tool_facts import (
    ApprovalAnswered,
    ApprovalAsked,
    GateDecided,
    LinkChanged,
    LinkClosed,
    LinkLost,
    LinkOpened,
    PolicyLoaded,
    PolicyRefused,
    QuestionAnswered,
    QuestionAsked,
    ReachFact,
    ToolFact,
    ToolFailed,
    ToolFinished,
    ToolProgressed,
    ToolRequested,
    ToolStarted,
)

Subject = tuple[str, str | int]


def subjects_of(event: Event) -> tuple[Subject, ...]:
    """Return what a fact is about, the most specific first; nothing for facts of a run or of the server."""
    match event:
        case SeqSubmitted() | SeqStarted() | SeqDelta() | SeqFinished() | SeqFailed():
            return (("seq", event.index),)
        case WorkerSpawned() | WorkerExited() | ModelLoading() | ModelLoaded():
            return ("worker", event.worker), ("model", event.model)
        case WorkerReady() | WorkerSilent():
            return (("worker", event.worker),)
        case ModelInstalling() | ModelInstalled() | ModelFailed() | ModelEvicted():
            return (("model", event.model),)
        case WorkerRestarted() | WorkerAbandoned():
            return (("model", event.model),)
        case BackendInstalling() | BackendInstalled() | BackendFailed() | BackendRemoved():
            return (("backend", event.backend),)
        case (
            RunRequested()
            | RunQueued()
            | RunAdmitted()
            | RunStarted()
            | TurnStarted()
            | TurnFinished()
            | RunRejected()
            | RunFinished()
            | RunFailed()
            | RunCancelled()
            | ServerStarted()
            | ServerStopped()
            | BusLagged()
            | AgentFact()
        ):
            return ()
        case (
            RecallIngested()
            | RecallFailed()
            | RecallForgotten()
            | RecallSearched()
            | SourceSynced()
            | RecallJobEnded()
        ):
            return _of_recall(event)
        case ReachFact():
            return _of_reach(event)


def _of_recall(event: RecallFact) -> tuple[Subject, ...]:
    match event:
        case RecallIngested() | RecallFailed():
            return ("document", event.document), ("collection", event.collection)
        case RecallForgotten():
            return (("collection", event.collection),)
        case SourceSynced():
            return ("source", event.source), ("collection", event.collection)
        case RecallJobEnded():
            return (("job", event.job),)
        case RecallSearched():
            return ()


def _of_reach(event: ToolFact) -> tuple[Subject, ...]:
    match event:
        case ToolRequested() | ToolStarted() | ToolProgressed() | ToolFinished() | ToolFailed():
            return (("call", event.call),)
        case GateDecided():
            return () if event.call is None else (("call", event.call),)
        case ApprovalAsked() | ApprovalAnswered():
            return (("approval", event.approval),)
        case QuestionAsked() | QuestionAnswered():
            return (("question", event.question),)
        case LinkOpened() | LinkLost() | LinkClosed() | LinkChanged():
            return (("link", event.server),)
        case PolicyLoaded() | PolicyRefused():
            return ()


class Causes:
    """Remembers the newest fact about each subject."""

    def __init__(self) -> None:
        self._newest: dict[Subject, int] = {}

    def find(self, event: Event, otherwise: int | None = None) -> int | None:
        """Return the number of the fact that led to this one."""
        for subject in subjects_of(event):
            if subject in self._newest:
                return self._newest[subject]

        return otherwise

    def note(self, event: Event, seq: int) -> None:
        """Remember a published fact; what has ended (a worker, a call) is forgotten."""
        for subject in subjects_of(event):
            self._newest[subject] = seq
        match event:
            case WorkerExited():
                del self._newest["worker", event.worker]
            case ToolFinished() | ToolFailed():
                del self._newest["call", event.call]
            case ApprovalAnswered():
                del self._newest["approval", event.approval]
            case _:
                return
