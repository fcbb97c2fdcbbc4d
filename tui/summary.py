"""A fact as one line for the events screen: whom it is about, what it says, how much it matters. Pure."""

from runtime.core.agent_facts import AgentFact
from runtime.core.events import (
    BackendFailed,
    BackendInstalled,
    BackendInstalling,
    BackendRemoved,
    BusLagged,
    Envelope,
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
from runtime.core.tool_facts import ReachFact
from tui.state import Row
from tui.summary_agents import tell_agent
from tui.summary_reach import tell_reach
from tui.told import Told
from tui.words import clean, context_size, progress_line, span, tally

ServerFact = ServerStarted | ServerStopped | BusLagged
RunFact = (
    RunRequested | RunQueued | RunAdmitted | RunStarted | RunRejected | RunFinished | RunFailed | RunCancelled
)
TurnFact = TurnStarted | TurnFinished | SeqSubmitted | SeqStarted | SeqDelta | SeqFinished | SeqFailed
BackendFact = BackendInstalling | BackendInstalled | BackendFailed | BackendRemoved
ModelFact = ModelInstalling | ModelInstalled | ModelFailed | ModelLoading | ModelLoaded | ModelEvicted
WorkerFact = WorkerSpawned | WorkerReady | WorkerSilent | WorkerExited | WorkerRestarted | WorkerAbandoned


def row_of(envelope: Envelope) -> Row:
    """Return the row of a fact."""
    told = _tell(envelope)
    return Row(
        seq=envelope.seq,
        at=envelope.at,
        kind=envelope.kind,
        subject=clean(told.subject),
        text=clean(told.text).replace("\n", " ").strip(),
        level=told.level,
        fold=told.fold,
        count=1,
        envelope=envelope,
    )


def _tell(envelope: Envelope) -> Told:
    match envelope.event:
        case ServerStarted() | ServerStopped() | BusLagged() as fact:
            return _server(fact)
        case (
            RunRequested()
            | RunQueued()
            | RunAdmitted()
            | RunStarted()
            | RunRejected()
            | RunFinished()
            | RunFailed()
            | RunCancelled()
        ) as fact:
            return _run(fact, short_run(envelope.run_id))
        case (
            TurnStarted()
            | TurnFinished()
            | SeqSubmitted()
            | SeqStarted()
            | SeqDelta()
            | SeqFinished()
            | SeqFailed()
        ) as fact:
            return _turn(fact, short_run(envelope.run_id))
        case BackendInstalling() | BackendInstalled() | BackendFailed() | BackendRemoved() as fact:
            return _backend(fact)
        case (
            RecallIngested()
            | RecallFailed()
            | RecallForgotten()
            | RecallSearched()
            | SourceSynced()
            | RecallJobEnded()
        ) as fact:
            return _recall(fact)
        case (
            ModelInstalling()
            | ModelInstalled()
            | ModelFailed()
            | ModelLoading()
            | ModelLoaded()
            | ModelEvicted()
        ) as fact:
            return _model(fact)
        case (
            WorkerSpawned()
            | WorkerReady()
            | WorkerSilent()
            | WorkerExited()
            | WorkerRestarted()
            | WorkerAbandoned()
        ) as fact:
            return _worker(fact)
        case ReachFact() as fact:
            return tell_reach(fact)
        case AgentFact() as fact:
            return tell_agent(fact, short_run(envelope.run_id))


def short_run(run_id: str | None) -> str:
    """Return a run id as it is shown: `run_3f9a2c`, and empty for none."""
    return run_id[:10] if run_id else ""


def _recall(fact: RecallFact) -> Told:
    match fact:
        case RecallIngested():
            return Told(fact.name, f"taken in, {tally(fact.chunks)} chunks", "good")
        case RecallFailed():
            return Told(fact.name, f"not taken in: {fact.message}", "bad")
        case RecallForgotten():
            told = f"forgot {tally(fact.documents)} documents, {tally(fact.items)} items"
            return Told("recall", told, "warn")
        case RecallSearched():
            told = f"{tally(fact.hits)} hits in {span(fact.took_s)}"
            return Told("recall", told, "warn" if fact.is_degraded else "info", fold="recall.searched")
        case SourceSynced():
            if fact.fault is not None:
                return Told(fact.uri, f"out of step: {fact.fault}", "bad")
            told = f"{fact.added} new, {fact.changed} changed, {fact.removed} gone, {fact.failed} failed"
            return Told(fact.uri, f"in step: {told}", "warn" if fact.failed else "info")
        case RecallJobEnded():
            told = f"{fact.job_kind} {fact.status}: {fact.done} done, {fact.failed} failed"
            return Told(fact.job, told, "warn" if fact.failed else "info")


def _server(fact: ServerFact) -> Told:
    match fact:
        case ServerStarted():
            return Told("server", f"answers on {fact.address}, version {fact.version}", "good")
        case ServerStopped():
            return Told("server", f"stopped: {fact.reason}", "warn")
        case BusLagged():
            return Told(fact.subscriber, f"{fact.dropped} facts did not fit and were left out", "warn")


def _run(fact: RunFact, run: str) -> Told:
    match fact:
        case RunRequested():
            return Told(run, f"{fact.route} for {fact.model} by {fact.principal}")
        case RunQueued():
            return Told(run, f"waits as number {fact.position}", "warn")
        case RunAdmitted():
            return Told(run, f"admitted after {span(fact.waited_s)}")
        case RunStarted():
            return Told(run, f"runs on {fact.worker}")
        case RunFinished():
            return Told(run, _usage(fact.usage.prompt_tokens, fact.usage.completion_tokens), "good")
        case RunRejected() | RunFailed():
            return Told(run, f"{fact.code}: {fact.message}", "bad")
        case RunCancelled():
            return Told(run, fact.reason, "warn")


def _turn(fact: TurnFact, run: str) -> Told:
    match fact:
        case TurnStarted() | TurnFinished():
            return Told(run, f"turn {fact.turn + 1}")
        case SeqSubmitted():
            return Told(run, f"choice {fact.index + 1}")
        case SeqStarted():
            return Told(run, f"reads {tally(fact.prompt_tokens)} tokens")
        case SeqDelta():
            text = fact.text or f"{tally(fact.tokens)} tokens without text"
            return Told(run, text, fold=f"delta {run} {fact.index}")
        case SeqFinished():
            first = "" if fact.first_token_s is None else f", first after {span(fact.first_token_s)}"
            used = _usage(fact.usage.prompt_tokens, fact.usage.completion_tokens)
            return Told(run, f"{fact.reason}: {used} in {span(fact.duration_s)}{first}", "good")
        case SeqFailed():
            return Told(run, f"{fact.code}: {fact.message}", "bad")


def _usage(prompt: int, completion: int) -> str:
    return f"{tally(prompt)} tokens in, {tally(completion)} out"


def _backend(fact: BackendFact) -> Told:
    match fact:
        case BackendInstalling():
            return Told(fact.backend, progress_line(fact.progress), fold=f"backend {fact.backend}")
        case BackendInstalled():
            return Told(fact.backend, f"{fact.version} is ready after {span(fact.duration_s)}", "good")
        case BackendFailed():
            return Told(fact.backend, f"{fact.message} (log: {fact.log})", "bad")
        case BackendRemoved():
            return Told(fact.backend, "removed", "warn")


def _model(fact: ModelFact) -> Told:
    match fact:
        case ModelInstalling():
            return Told(fact.model, progress_line(fact.progress), fold=f"install {fact.model}")
        case ModelInstalled():
            return Told(fact.model, f"in place after {span(fact.duration_s)}", "good")
        case ModelFailed():
            return Told(fact.model, f"{fact.stage} failed: {fact.message}", "bad")
        case ModelLoading():
            return Told(fact.model, f"{fact.fraction * 100:.0f} % read", fold=f"load {fact.model}")
        case ModelLoaded():
            context = context_size(fact.context_tokens)
            return Told(fact.model, f"resident after {span(fact.duration_s)}, context {context}", "good")
        case ModelEvicted():
            return Told(fact.model, f"left memory: {fact.reason}")


def _worker(fact: WorkerFact) -> Told:
    match fact:
        case WorkerSpawned():
            return Told(fact.worker, f"{fact.engine} for {fact.model}, process {fact.pid}")
        case WorkerReady():
            return Told(fact.worker, f"speaks, engine {fact.engine_version}", "good")
        case WorkerSilent():
            return Told(fact.worker, f"silent for {span(fact.silent_s)}, is killed", "bad")
        case WorkerExited():
            words = "" if fact.is_expected or not fact.last_words else f": {fact.last_words}"
            return Told(
                fact.worker, f"ended with {fact.returncode}{words}", "info" if fact.is_expected else "bad"
            )
        case WorkerRestarted():
            text = f"a new worker, attempt {fact.attempt}, after {span(fact.delay_s)}"
            return Told(fact.model, text, "warn")
        case WorkerAbandoned():
            return Told(fact.model, f"given up after {fact.attempts} attempts", "bad")
