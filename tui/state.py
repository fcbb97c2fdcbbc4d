"""What the console knows, as frozen structs, and the questions that screens ask of it.

Moments named `at` are seconds since the epoch by the server's clock; those of the chat and the link are
monotonic seconds of this process.
"""

from typing import Literal

import msgspec

from runtime.core.events import Envelope, Progress
from runtime.core.ids import ModelId, RunId
from runtime.core.messages import Message, Usage
from runtime.core.states import ModelState
from tui.agents import Agents, OpenRun
from tui.reach import Asks, Tools

LinkPhase = Literal["connecting", "live", "lost"]
RunPhase = Literal["requested", "queued", "placing", "reading", "answering"]
Level = Literal["info", "good", "warn", "bad"]
Status = Literal["queued", "sent", "streaming", "done", "stopped", "failed"]

SHORTEST_S = 0.05
"""An answer that took less tells nothing about speed: its pieces came in one go."""

OPEN: frozenset[Status] = frozenset(("sent", "streaming"))
"""An exchange of this status is being answered; at most one is."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why something did not happen: the server's code and its words, cause then fix."""

    code: str
    message: str


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """The connection to the server."""

    phase: LinkPhase = "connecting"
    since: float = 0.0
    retry_at: float | None = None
    reason: str = ""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """What the server said about itself."""

    version: str
    address: str
    started_at: float


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that is being made."""

    backend: str
    progress: Progress


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has not ended."""

    id: RunId
    seq: int
    """Of the fact that named it."""
    model: ModelId
    route: str
    at: float
    phase: RunPhase = "requested"
    position: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    first_tokens: int = 0
    first_at: float | None = None
    last_at: float | None = None

    @property
    def rate(self) -> float | None:
        """Tokens a second since the first ones came; None until it can be told."""
        if self.first_at is None or self.last_at is None or self.last_at <= self.first_at:
            return None
        return (self.tokens - self.first_tokens) / (self.last_at - self.first_at)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the events screen; facts of one job that only move it on share a line."""

    seq: int
    at: float
    kind: str
    subject: str
    text: str
    level: Level
    fold: str
    """Rows with the same non-empty fold, close together, become one."""
    count: int
    envelope: Envelope
    """The newest fact of the line."""


class Toast(msgspec.Struct, frozen=True, kw_only=True):
    """Something that deserves a look even from another screen; `id` grows."""

    id: int
    level: Level
    text: str
    at: float
    about: Literal["", "approvals", "tools"] = ""
    """The screen that shows it; not told there, and told with its key elsewhere."""


class Aside(msgspec.Struct, frozen=True, kw_only=True):
    """What the person says to an agent while it works, until the run has it among its steps."""

    id: int
    text: str
    is_sent: bool = False
    is_taken: bool = False
    """Whether the server has it: the agent hears it before its next turn."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A question and what became of it."""

    id: int
    model: ModelId
    agent: str = ""
    """Who is asked; empty: the model itself."""
    question: str
    status: Status = "queued"
    answer: str = ""
    reasoning: str = ""
    run_id: RunId | None = None
    sent_at: float | None = None
    first_at: float | None = None
    """When the first piece came, reasoning included."""
    text_at: float | None = None
    """When the first piece of the answer itself came."""
    last_at: float | None = None
    pieces: int = 0
    usage: Usage | None = None
    finish_reason: str = ""
    seconds: float | None = None
    trouble: Trouble | None = None
    refusals: int = 0
    """How often the server said: not yet."""
    run: OpenRun = OpenRun()
    """Of an agent: what it does."""
    asides: tuple[Aside, ...] = ()
    is_stopping: bool = False
    """Of an agent: the person wants it to stop."""
    is_stop_sent: bool = False

    @property
    def first_token_s(self) -> float | None:
        """Seconds from the question to the first piece."""
        if self.sent_at is None or self.first_at is None:
            return None
        return self.first_at - self.sent_at

    @property
    def thought_s(self) -> float | None:
        """How long the model thought before it answered; None when it did not, or still does."""
        if not self.reasoning or self.first_at is None or self.text_at is None:
            return None
        return self.text_at - self.first_at

    @property
    def rate(self) -> float | None:
        """Tokens a second: by the server's count when it is known, else one per piece."""
        if self.first_at is None or self.last_at is None or self.last_at - self.first_at < SHORTEST_S:
            return None
        tokens = self.pieces if self.usage is None else self.usage.completion_tokens
        return (tokens - 1) / (self.last_at - self.first_at) if tokens > 1 else None


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation on screen. `model` is empty until it is known."""

    model: ModelId
    agent: str = ""
    """The agent that is talked to; empty: the model."""
    session: str = ""
    """The conversation on the server in which agents go on; empty until the first is asked."""
    told: int = 0
    """The newest exchange with a model that this conversation knows of."""
    exchanges: tuple[Exchange, ...] = ()
    next_id: int = 1
    asked_installs: frozenset[ModelId] = frozenset()
    """Models for which this console has asked an install by itself, so that it asks once."""

    @property
    def open(self) -> Exchange | None:
        """The exchange that is being answered."""
        return next((each for each in reversed(self.exchanges) if each.status in OPEN), None)

    @property
    def queued(self) -> tuple[Exchange, ...]:
        """Questions that wait to be sent, oldest first."""
        return tuple(each for each in self.exchanges if each.status == "queued")


class ViewState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a screen may show."""

    chat: Chat
    link: Link = Link()
    server: Server | None = None
    models: tuple[ModelState, ...] = ()
    jobs: tuple[Job, ...] = ()
    runs: tuple[Run, ...] = ()
    rows: tuple[Row, ...] = ()
    toasts: tuple[Toast, ...] = ()
    last_toast: int = 0
    asks: Asks = Asks()
    tools: Tools = Tools()
    agents: Agents = Agents()
    opened: OpenRun = OpenRun()
    """The run that is looked at."""
    seen: int = 0
    """The greatest seq that was applied; facts up to it change nothing."""
    snapshot: int = 0
    """The seq of the newest snapshot; facts up to it say nothing new about models."""
    is_stale: bool = False
    """Whether facts were lost on the way, so that a snapshot is needed."""


def find_model(view: ViewState, model: ModelId) -> ModelState | None:
    """Return a model by its id."""
    return next((each for each in view.models if each.id == model), None)


def chat_model(view: ViewState) -> ModelState | None:
    """Return the model that the chat talks to, as far as it is known."""
    return find_model(view, view.chat.model)


def find_run(view: ViewState, run_id: RunId | None) -> Run | None:
    """Return a live run by its id."""
    return next((each for each in view.runs if each.id == run_id), None) if run_id else None


def job_of(view: ViewState, model: ModelState) -> Progress | None:
    """Return how far the install or load of a model is; the backend's own when only that is known."""
    if model.progress is not None:
        return model.progress
    if model.stage == "installing" and view.jobs:
        return view.jobs[-1].progress
    return None


def is_ready(model: ModelState | None) -> bool:
    """Whether a question to the model can be sent now. A broken one is asked: the server says why not."""
    return model is None or model.stage not in ("available", "installing")


def due(view: ViewState) -> Exchange | None:
    """Return the question to send now: the oldest queued one, once nothing stands in its way."""
    chat = view.chat
    if view.link.phase != "live" or view.is_stale or chat.open is not None or not chat.queued:
        return None

    first = chat.queued[0]
    # Which of its models an agent asks, and what it does while one is installed, is the server's to say.
    return first if first.agent or is_ready(find_model(view, first.model)) else None


def wanted_install(view: ViewState) -> ModelId | None:
    """Return the model to install without being asked: the chat's own, once."""
    model = chat_model(view)
    if view.link.phase != "live" or view.chat.agent or model is None or model.stage != "available":
        return None
    return None if model.id in view.chat.asked_installs else model.id


def conversation(chat: Chat, exchange: Exchange) -> tuple[Message, ...]:
    """Return what to send for an exchange: what was answered before, then its question."""
    messages: list[Message] = []
    for each in chat.exchanges:
        if each.id >= exchange.id:
            break
        if each.answer and each.status in ("done", "stopped"):
            messages += [
                Message(role="user", content=each.question),
                Message(role="assistant", content=each.answer),
            ]
    return (*messages, Message(role="user", content=exchange.question))


def last_answer(chat: Chat) -> str:
    """Return the newest answer's source text, empty when there is none."""
    return next((each.answer for each in reversed(chat.exchanges) if each.answer), "")


def live_rate(view: ViewState, exchange: Exchange) -> float | None:
    """Return how fast an exchange goes: by the server's count while it runs, else by our own."""
    run = find_run(view, exchange.run_id)
    return (run.rate if run else None) or exchange.rate


def is_moving(view: ViewState) -> bool:
    """Whether something on screen changes with time alone: a countdown, an elapsed time."""
    is_busy = view.chat.open is not None or bool(view.runs) or bool(view.asks.count)
    is_busy = is_busy or any(not each.is_over for each in view.agents.runs)
    return view.link.phase != "live" or is_busy


def can_chat(model: ModelState) -> bool:
    """Whether the model writes text; one that has not said what it can do is taken to."""
    return not model.features or "chat" in model.features
