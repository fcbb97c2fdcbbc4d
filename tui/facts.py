"""How each fact changes what is known of models, backends and runs. Pure; `tui.view` is the door."""

from collections.abc import Callable

from msgspec.structs import replace

from runtime.core.agent_facts import AgentFact
from runtime.core.errors import Fault
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
    Progress,
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
from runtime.core.ids import ModelId, RunId
from runtime.core.recall_facts import (
    RecallFailed,
    RecallForgotten,
    RecallIngested,
    RecallJobEnded,
    RecallSearched,
    SourceSynced,
)
from runtime.core.states import ModelState
from runtime.core.tool_facts import ReachFact
from tui.facts_reach import apply_reach
from tui.state import Job, Run, Server, ViewState
from tui.summary import BackendFact, ModelFact, RunFact, ServerFact, TurnFact, WorkerFact
from tui.toasts import with_toast
from tui.words import span


def apply(view: ViewState, envelope: Envelope) -> ViewState:
    """Return the view after a fact that is newer than its snapshot."""
    at = envelope.at
    match envelope.event:
        case (
            RecallIngested()
            | RecallFailed()
            | RecallForgotten()
            | RecallSearched()
            | SourceSynced()
            | RecallJobEnded()
            | AgentFact()
        ):
            return view
        case ReachFact() as fact:
            return apply_reach(view, fact, at)
        case ServerStarted() | ServerStopped() | BusLagged() as fact:
            return _server(view, fact, at)
        case (
            RunRequested()
            | RunQueued()
            | RunAdmitted()
            | RunStarted()
            | RunRejected()
            | RunFinished()
            | RunFailed()
            | RunCancelled()
            | TurnStarted()
            | TurnFinished()
            | SeqSubmitted()
            | SeqStarted()
            | SeqDelta()
            | SeqFinished()
            | SeqFailed()
        ):
            return apply_to_runs(view, envelope)
        case BackendInstalling() | BackendInstalled() | BackendFailed() | BackendRemoved() as fact:
            return _backend(view, fact, at)
        case (
            ModelInstalling()
            | ModelInstalled()
            | ModelFailed()
            | ModelLoading()
            | ModelLoaded()
            | ModelEvicted()
        ) as fact:
            return _model(view, fact, at)
        case (
            WorkerSpawned()
            | WorkerReady()
            | WorkerSilent()
            | WorkerExited()
            | WorkerRestarted()
            | WorkerAbandoned()
        ) as fact:
            return _worker(view, fact, at)


def apply_to_runs(view: ViewState, envelope: Envelope) -> ViewState:
    """Return the view with its live runs after a fact; facts of older times than the snapshot come too."""
    match envelope.event:
        case (
            RunRequested()
            | RunQueued()
            | RunAdmitted()
            | RunStarted()
            | RunRejected()
            | RunFinished()
            | RunFailed()
            | RunCancelled()
        ) as fact if envelope.run_id is not None:
            return _run(view, fact, envelope.run_id, envelope)
        case (
            TurnStarted()
            | TurnFinished()
            | SeqSubmitted()
            | SeqStarted()
            | SeqDelta()
            | SeqFinished()
            | SeqFailed()
        ) as fact if envelope.run_id is not None:
            return _turn(view, fact, envelope.run_id, envelope.at)
        case ServerStarted() | ServerStopped():
            return replace(view, runs=())
        case _:
            return view


def _server(view: ViewState, fact: ServerFact, at: float) -> ViewState:
    match fact:
        case ServerStarted():
            server = Server(version=fact.version, address=fact.address, started_at=at)
            return replace(view, server=server, runs=(), jobs=())
        case ServerStopped():
            return with_toast(replace(view, runs=(), jobs=()), "warn", f"server stopped: {fact.reason}", at)
        case BusLagged():
            return replace(view, is_stale=True)


def _run(view: ViewState, fact: RunFact, run_id: RunId, envelope: Envelope) -> ViewState:
    match fact:
        case RunRequested():
            others = tuple(each for each in view.runs if each.id != run_id)
            run = Run(id=run_id, seq=envelope.seq, model=fact.model, route=fact.route, at=envelope.at)
            return replace(view, runs=(*others, run))
        case RunQueued():
            return _change_run(view, run_id, lambda run: replace(run, phase="queued", position=fact.position))
        case RunAdmitted():
            return _change_run(view, run_id, lambda run: replace(run, phase="placing", position=0))
        case RunStarted():
            return _change_run(view, run_id, lambda run: replace(run, phase="reading"))
        case RunRejected() | RunFinished() | RunFailed() | RunCancelled():
            return replace(view, runs=tuple(each for each in view.runs if each.id != run_id))


def _turn(view: ViewState, fact: TurnFact, run_id: RunId, at: float) -> ViewState:
    match fact:
        case SeqStarted():
            return _change_run(view, run_id, lambda run: replace(run, prompt_tokens=fact.prompt_tokens))
        case SeqDelta():
            return _change_run(view, run_id, lambda run: _advance(run, fact.tokens, at))
        case TurnStarted() | TurnFinished() | SeqSubmitted() | SeqFinished() | SeqFailed():
            return view


def _advance(run: Run, tokens: int, at: float) -> Run:
    if run.first_at is None:
        return replace(run, phase="answering", tokens=tokens, first_tokens=tokens, first_at=at, last_at=at)
    return replace(run, tokens=run.tokens + tokens, last_at=at)


def _change_run(view: ViewState, run_id: RunId, change: Callable[[Run], Run]) -> ViewState:
    return replace(view, runs=tuple(change(each) if each.id == run_id else each for each in view.runs))


def _backend(view: ViewState, fact: BackendFact, at: float) -> ViewState:
    others = tuple(each for each in view.jobs if each.backend != fact.backend)
    match fact:
        case BackendInstalling():
            return replace(view, jobs=(*others, Job(backend=fact.backend, progress=fact.progress)))
        case BackendInstalled():
            text = f"{fact.backend} {fact.version} is ready"
            return with_toast(replace(view, jobs=others), "good", text, at)
        case BackendFailed():
            text = f"{fact.backend}: {fact.message} The whole story: {fact.log}"
            return with_toast(replace(view, jobs=others), "bad", text, at)
        case BackendRemoved():
            return replace(view, jobs=others)


def _model(view: ViewState, fact: ModelFact, at: float) -> ViewState:
    match fact:
        case ModelInstalling():
            return _change_model(
                view, fact.model, lambda model: _at_stage(model, "installing", fact.progress)
            )
        case ModelInstalled():
            installed = _change_model(view, fact.model, lambda model: _at_stage(model, "installed"))
            return with_toast(installed, "good", f"{fact.model} is installed", at)
        case ModelFailed():
            fault = Fault(code=fact.code, message=fact.message)
            broken = _change_model(view, fact.model, lambda model: _at_stage(model, "broken", fault=fault))
            return with_toast(broken, "bad", f"{fact.model}: {fact.message}", at)
        case ModelLoading():
            progress = Progress(phase="loading", done=fact.fraction, total=1.0)
            return _change_model(view, fact.model, lambda model: _at_stage(model, "loading", progress))
        case ModelLoaded():
            return _change_model(
                view,
                fact.model,
                lambda model: replace(_at_stage(model, "loaded"), context_tokens=fact.context_tokens),
            )
        case ModelEvicted():
            return _change_model(view, fact.model, lambda model: _at_stage(model, "installed"))


def _worker(view: ViewState, fact: WorkerFact, at: float) -> ViewState:
    match fact:
        case WorkerSpawned():
            progress = Progress(phase="loading")
            return _change_model(view, fact.model, lambda model: _at_stage(model, "loading", progress))
        case WorkerReady():
            return view
        case WorkerSilent():
            return with_toast(
                view, "bad", f"{fact.worker} is silent for {span(fact.silent_s)}, is killed", at
            )
        case WorkerExited():
            if fact.is_expected:
                return view
            gone = _change_model(view, fact.model, lambda model: _at_stage(model, "installed"))
            return with_toast(gone, "bad", f"{fact.model}: its worker died ({fact.returncode})", at)
        case WorkerRestarted():
            return with_toast(view, "warn", f"{fact.model}: worker restarted, attempt {fact.attempt}", at)
        case WorkerAbandoned():
            message = f"The worker died {fact.attempts} times. Load the model again to try once more."
            fault = Fault(code="worker_died", message=message)
            broken = _change_model(view, fact.model, lambda model: _at_stage(model, "broken", fault=fault))
            return with_toast(broken, "bad", f"{fact.model}: {message}", at)


def _at_stage(
    model: ModelState, stage: str, progress: Progress | None = None, *, fault: Fault | None = None
) -> ModelState:
    return replace(model, stage=stage, progress=progress, fault=fault)


def _change_model(view: ViewState, model: ModelId, change: Callable[[ModelState], ModelState]) -> ViewState:
    return replace(view, models=tuple(change(each) if each.id == model else each for each in view.models))
