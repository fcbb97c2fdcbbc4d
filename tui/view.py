"""The reducer: what was known and what happened give what is known. Pure; screens only draw its result.

Facts are applied once, by their seq: what comes again changes nothing, so a reconnect may repeat. A
snapshot is the truth about models up to its own seq; older facts still give rows and runs.
"""

import msgspec
from msgspec.structs import replace

from runtime.core.events import Envelope
from runtime.core.ids import ModelId
from runtime.core.states import ModelState, ServerState
from tui.agency import (
    AgencyMessage,
    AgentBusy,
    AgentDone,
    AgentsCame,
    AgentsRefused,
    AgentsWanted,
    hear_agents,
    tell_agents,
)
from tui.agents import Agents, OpenRun
from tui.asking import (
    AnswerRefused,
    AnswerSent,
    ApprovalsCame,
    ApprovalSettled,
    AskMessage,
    AsksRefused,
    AsksWanted,
    QuestionsCame,
    QuestionSettled,
    hear_asks,
    tell_asks,
    want_approvals,
)
from tui.facts import apply, apply_to_runs
from tui.following import (
    FollowLost,
    FollowMessage,
    Happened,
    RunChosen,
    RunRefused,
    RunReplayed,
    RunWanted,
    StepsCame,
    tell_run,
)
from tui.ports import ChatPiece
from tui.reach import Asks, Tools
from tui.state import Link, Row, Server, Trouble, ViewState
from tui.summary import row_of
from tui.talk import ask, choose_model, clear, come, know_model, send, stop, withdraw
from tui.talk_agents import (
    AgentChosen,
    AgentTalk,
    AsideRefused,
    AsideSent,
    AsideTaken,
    RunBegun,
    SessionTold,
    StopAsked,
    StopRefused,
    StopSent,
    forget_runs,
    look_again,
    say_aside,
    tell_exchange_runs,
    tell_talk,
)
from tui.toasts import with_toast
from tui.tooling import (
    ServerBusy,
    ServerDone,
    ToolMessage,
    ToolsCame,
    ToolsRefused,
    ToolsWanted,
    hear_tools,
    tell_tools,
)
from tui.words import clean

ROWS = 2000
"""Event rows kept on screen; the journal has the rest."""
_FOLD_REACH = 12
"""How far back a row may be that a fact folds into: as many runs may interleave."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The server is reached and said what is true now."""

    state: ServerState
    at: float


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A fact came."""

    envelope: Envelope


class LinkDropped(msgspec.Struct, frozen=True, kw_only=True):
    """The server cannot be reached; the next attempt is at `retry_at`."""

    reason: str
    at: float
    retry_at: float


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The person sent a question; it is queued until `due` says otherwise, or said to the agent at work."""

    text: str


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The question went to the server."""

    id: int
    at: float


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an answer came."""

    id: int
    piece: ChatPiece
    at: float


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """The person stopped the answer."""

    id: int
    at: float


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """The person took a queued question back."""

    id: int


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """The person began a new chat."""


class ModelChosen(msgspec.Struct, frozen=True, kw_only=True):
    """The chat talks to another model from now on; what waits goes to it too."""

    model: ModelId


class InstallAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The console asked the server to install a model."""

    model: ModelId


class InstallAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """The server took the install; its facts may be on the way still."""

    model: ModelState


class ActionFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The server refused what the person wanted of it."""

    wanted: str
    trouble: Trouble
    at: float


Message = (
    Snapshot
    | Arrived
    | LinkDropped
    | Asked
    | Sent
    | Came
    | Stopped
    | Withdrawn
    | Cleared
    | ModelChosen
    | InstallAsked
    | InstallAnswered
    | ActionFailed
    | AskMessage
    | ToolMessage
    | AgencyMessage
    | FollowMessage
    | AgentTalk
)
ServerMessage = Snapshot | Arrived | LinkDropped | InstallAsked | InstallAnswered | ActionFailed
ChatMessage = Asked | Sent | Came | Stopped | Withdrawn | Cleared | ModelChosen


def reduce(view: ViewState, message: Message) -> ViewState:
    """Return the view after a message. Modifies nothing."""
    match message:
        case Asked() | Sent() | Came() | Stopped() | Withdrawn() | Cleared() | ModelChosen():
            return _talk(view, message)
        case (
            AsksWanted()
            | ApprovalsCame()
            | QuestionsCame()
            | AsksRefused()
            | AnswerSent()
            | ApprovalSettled()
            | QuestionSettled()
            | AnswerRefused()
        ):
            return _ask(view, message)
        case ToolsWanted() | ToolsCame() | ToolsRefused() | ServerBusy() | ServerDone():
            return replace(view, tools=tell_tools(view.tools, message))
        case AgentsWanted() | AgentsCame() | AgentsRefused() | AgentBusy() | AgentDone():
            return replace(view, agents=tell_agents(view.agents, message))
        case (
            RunChosen() | RunWanted() | StepsCame() | RunRefused() | Happened() | FollowLost() | RunReplayed()
        ):
            chat = tell_exchange_runs(view.chat, message)
            return replace(view, opened=tell_run(view.opened, message), chat=chat)
        case (
            AgentChosen()
            | SessionTold()
            | RunBegun()
            | StopAsked()
            | StopSent()
            | StopRefused()
            | AsideSent()
            | AsideTaken()
            | AsideRefused()
        ):
            return replace(view, chat=tell_talk(view.chat, message))
        case _:
            return _listen(view, message)


def _listen(view: ViewState, message: ServerMessage) -> ViewState:
    match message:
        case Snapshot():
            return _snapshot(view, message.state, message.at)
        case Arrived():
            return _arrived(view, message.envelope)
        case LinkDropped():
            since = view.link.since if view.link.phase == "lost" else message.at
            link = Link(phase="lost", since=since, retry_at=message.retry_at, reason=clean(message.reason))
            return replace(view, link=link)
        case InstallAsked():
            asked = view.chat.asked_installs | {message.model}
            return replace(view, chat=replace(view.chat, asked_installs=asked))
        case InstallAnswered():
            return _install_answered(view, message.model)
        case ActionFailed():
            text = f"{message.wanted}: {message.trouble.message}"
            return with_toast(view, "bad", text, message.at)


def _talk(view: ViewState, message: ChatMessage) -> ViewState:
    chat = view.chat
    match message:
        case Asked():
            aside = say_aside(chat, message.text)
            return replace(view, chat=ask(chat, message.text) if aside is None else aside)
        case Sent():
            return replace(view, chat=send(chat, message.id, message.at))
        case Came():
            grown = come(chat, message.id, message.piece, message.at)
            # A question that went back into the queue met a model of another stage than we believed.
            is_stale = view.is_stale or len(grown.queued) > len(chat.queued)
            return replace(view, chat=grown, is_stale=is_stale)
        case Stopped():
            return replace(view, chat=stop(chat, message.id, message.at))
        case Withdrawn():
            return replace(view, chat=withdraw(chat, message.id))
        case Cleared():
            return replace(view, chat=clear(chat))
        case ModelChosen():
            return replace(view, chat=choose_model(chat, message.model))


def _ask(view: ViewState, message: AskMessage) -> ViewState:
    told = replace(view, asks=tell_asks(view.asks, message))
    if isinstance(message, AnswerRefused):
        return with_toast(told, "bad", f"{message.what}: {message.trouble.message}", message.at)
    return told


def _snapshot(view: ViewState, state: ServerState, at: float) -> ViewState:
    if state.seq < view.seen:
        # Another history began (a server with another journal): nothing of the old one is true.
        view = replace(view, seen=0, rows=(), runs=(), jobs=(), asks=Asks(), tools=Tools())
        view = replace(view, agents=Agents(), opened=OpenRun(), chat=forget_runs(view.chat))

    idle = {model.id for model in state.models if not model.running and not model.waiting}
    busy = tuple(run for run in view.runs if run.seq > state.seq or run.model not in idle)
    chat = look_again(view.chat)
    if not chat.model and state.models:
        chosen = next((each for each in state.models if each.is_default), state.models[0])
        chat = know_model(chat, chosen.id)

    return replace(
        view,
        link=view.link if view.link.phase == "live" else Link(phase="live", since=at),
        server=Server(version=state.version, address=state.address, started_at=state.started_at),
        models=state.models,
        runs=busy,
        snapshot=state.seq,
        chat=chat,
        is_stale=False,
        asks=want_approvals(view.asks),
        tools=tell_tools(view.tools, ToolsWanted()) if view.tools.is_known else view.tools,
        agents=tell_agents(view.agents, AgentsWanted()) if view.agents.is_known else view.agents,
        opened=tell_run(view.opened, RunWanted()),
    )


def _arrived(view: ViewState, envelope: Envelope) -> ViewState:
    if envelope.seq <= view.seen:
        return view

    is_news = envelope.seq > view.snapshot
    applied = apply(view, envelope) if is_news else apply_to_runs(view, envelope)
    return replace(
        applied,
        rows=_with_row(view.rows, envelope),
        seen=envelope.seq,
        asks=hear_asks(view.asks, envelope, is_news=is_news),
        tools=hear_tools(view.tools, envelope) if is_news else view.tools,
        agents=hear_agents(view.agents, envelope) if is_news else view.agents,
    )


def _with_row(rows: tuple[Row, ...], envelope: Envelope) -> tuple[Row, ...]:
    row = row_of(envelope)
    if row.fold:
        for index in range(len(rows) - 1, max(-1, len(rows) - 1 - _FOLD_REACH), -1):
            if rows[index].fold == row.fold:
                folded = replace(row, seq=rows[index].seq, at=rows[index].at, count=rows[index].count + 1)
                return (*rows[:index], folded, *rows[index + 1 :])

    return (*rows[-ROWS + 1 :], row)


def _install_answered(view: ViewState, answered: ModelState) -> ViewState:
    """Take the answer only where nothing newer is known: its facts may have been faster."""
    models = tuple(
        answered if each.id == answered.id and each.stage in ("available", "broken") else each
        for each in view.models
    )
    return replace(view, models=models)
