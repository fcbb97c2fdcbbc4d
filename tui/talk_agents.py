"""How a conversation with an agent changes: its run begins, moves on, is steered, stopped, ends. Pure.

An agent's answer is a run of the server's: what it did is read from the run's steps and happenings, as the
screen of a run does. It goes on when the console is gone.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from tui.agents import OpenRun, RunInfo
from tui.following import FollowLost, FollowMessage, Happened, RunRefused, StepsCame, tell_run
from tui.reach import Approval
from tui.state import OPEN, Aside, Chat, Exchange, Status, Trouble, ViewState
from tui.words import clean

_AWAY = "unreachable"
"""The code where the server could not be asked; what it says itself stands."""
_ENDS: dict[str, Status] = {
    "completed": "done",
    "incomplete": "done",
    "cancelled": "stopped",
    "failed": "failed",
}


class AgentChosen(msgspec.Struct, frozen=True, kw_only=True):
    """The chat talks to an agent from now on; what waits goes to it too."""

    name: str


class SessionTold(msgspec.Struct, frozen=True, kw_only=True):
    """The server keeps this conversation, and knows what models answered before an exchange.

    Where a new chat has begun meanwhile, it is not its conversation.
    """

    id: str
    told: int


class RunBegun(msgspec.Struct, frozen=True, kw_only=True):
    """The agent is at work on an exchange."""

    exchange: int
    info: RunInfo


class StopAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The person wants the agent to stop."""

    exchange: int


class StopSent(msgspec.Struct, frozen=True, kw_only=True):
    """The server is asked to stop it."""

    exchange: int


class StopRefused(msgspec.Struct, frozen=True, kw_only=True):
    """It was not stopped: it goes on, and can be stopped again."""

    exchange: int


class AsideSent(msgspec.Struct, frozen=True, kw_only=True):
    """What is said in between is on its way."""

    exchange: int
    aside: int


class AsideTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The server has it."""

    exchange: int
    aside: int


class AsideRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The run does not take it: it is over by now. It becomes a question of its own."""

    exchange: int
    aside: int


AgentTalk = (
    AgentChosen
    | SessionTold
    | RunBegun
    | StopAsked
    | StopSent
    | StopRefused
    | AsideSent
    | AsideTaken
    | AsideRefused
)


def tell_talk(chat: Chat, message: AgentTalk) -> Chat:
    """Return the conversation after a message."""
    match message:
        case AgentChosen():
            return _choose(chat, message.name)
        case SessionTold():
            is_here = any(each.id == message.told for each in chat.exchanges)
            return replace(chat, session=message.id, told=message.told) if is_here else chat
        case RunBegun():
            return _change(chat, message.exchange, lambda each: _begun(each, message.info))
        case StopAsked():
            return _change(chat, message.exchange, lambda each: replace(each, is_stopping=True))
        case StopSent():
            return _change(chat, message.exchange, lambda each: replace(each, is_stop_sent=True))
        case StopRefused():
            again = {"is_stopping": False, "is_stop_sent": False}
            return _change(chat, message.exchange, lambda each: replace(each, **again))
        case AsideSent():
            return _change(chat, message.exchange, lambda each: _moved(each, message.aside, is_sent=True))
        case AsideTaken():
            taken = _change(chat, message.exchange, lambda each: _moved(each, message.aside, is_taken=True))
            return _change(taken, message.exchange, _looked)
        case AsideRefused():
            return _refused(chat, message)


def tell_exchange_runs(chat: Chat, message: FollowMessage) -> Chat:
    """Return the conversation after something about a run; only one that is open in it changes."""
    if not isinstance(message, StepsCame | RunRefused | Happened | FollowLost):
        return chat

    run = message.info.id if isinstance(message, StepsCame) else message.id
    found = next((each for each in chat.exchanges if each.run.id == run and each.status in OPEN), None)
    if found is None:
        return chat
    if isinstance(message, RunRefused) and message.trouble.code != _AWAY:
        failed = replace(found, status="failed", trouble=message.trouble)
        return _settle(chat, failed)
    return _settle(chat, _followed(found, tell_run(found.run, message)))


def say_aside(chat: Chat, text: str) -> Chat | None:
    """Return the conversation with a word in between for the agent at work; None where none is."""
    exchange = chat.open
    said = clean(text).strip()
    if exchange is None or not exchange.agent or exchange.agent != chat.agent or exchange.is_stopping:
        return None
    if not said:
        return chat

    aside = Aside(id=chat.next_id, text=said)
    grown = replace(chat, next_id=chat.next_id + 1)
    return _change(grown, exchange.id, lambda each: replace(each, asides=(*each.asides, aside)))


def look_again(chat: Chat) -> Chat:
    """Return the conversation with the run that is open in it to be read anew."""
    return chat if chat.open is None else _change(chat, chat.open.id, _looked)


def forget_runs(chat: Chat) -> Chat:
    """Return the conversation for a server that knows nothing of it."""
    trouble = Trouble(
        code="run_lost", message="The server began anew and does not know this run. Ask the agent again."
    )
    exchanges = tuple(
        replace(each, status="failed", trouble=trouble) if each.agent and each.status in OPEN else each
        for each in chat.exchanges
    )
    return replace(chat, session="", told=0, exchanges=exchanges)


# ---- what is to be done


def agent_at_work(chat: Chat) -> Exchange | None:
    """Return the exchange that an agent works on, once its run is known."""
    found = chat.open
    return found if found is not None and found.agent and found.run.id else None


def due_aside(chat: Chat) -> tuple[Exchange, Aside] | None:
    """Return what is to be said to the agent at work now: one after the other, in their order."""
    found = agent_at_work(chat)
    if found is None or any(each.is_sent and not each.is_taken for each in found.asides):
        return None
    aside = next((each for each in found.asides if not each.is_sent), None)
    return None if aside is None else (found, aside)


def due_stop(chat: Chat) -> Exchange | None:
    """Return the exchange whose run the server is to stop now."""
    found = agent_at_work(chat)
    return found if found is not None and found.is_stopping and not found.is_stop_sent else None


def asks_of(view: ViewState, exchange: Exchange | None) -> tuple[Approval, ...]:
    """Return the approvals that an agent at work waits for, those of agents that it has called included."""
    if exchange is None or not exchange.run.id or exchange.status not in OPEN:
        return ()

    parents = {each.id: each.parent for each in view.agents.runs}
    waits = exchange.run.info.waits_for if exchange.run.info is not None else ()
    return tuple(
        each
        for each in view.asks.approvals
        if each.id in waits or _is_within(each.run, exchange.run.id, parents)
    )


def _is_within(run: str | None, root: str, parents: dict[str, str | None]) -> bool:
    seen: set[str] = set()
    while run is not None and run not in seen:
        if run == root:
            return True
        seen.add(run)
        run = parents.get(run)
    return False


# ---- changes of one exchange


def _choose(chat: Chat, name: str) -> Chat:
    moved = tuple(replace(each, agent=name) if each.status == "queued" else each for each in chat.exchanges)
    return replace(chat, agent=name, exchanges=moved)


def _begun(each: Exchange, info: RunInfo) -> Exchange:
    if each.status not in OPEN:
        return each
    run = OpenRun(id=info.id, info=info)
    return replace(each, run=replace(run, want=run.want.more()))


def _looked(each: Exchange) -> Exchange:
    return replace(each, run=replace(each.run, want=each.run.want.more())) if each.run.id else each


def _moved(each: Exchange, aside: int, *, is_sent: bool = True, is_taken: bool = False) -> Exchange:
    asides = tuple(
        replace(one, is_sent=is_sent, is_taken=is_taken) if one.id == aside else one for one in each.asides
    )
    return replace(each, asides=asides)


def _refused(chat: Chat, message: AsideRefused) -> Chat:
    exchange = next((each for each in chat.exchanges if each.id == message.exchange), None)
    aside = next((one for one in exchange.asides if one.id == message.aside), None) if exchange else None
    if exchange is None or aside is None:
        return chat

    kept = tuple(one for one in exchange.asides if one.id != aside.id)
    return _queued(_change(chat, exchange.id, lambda each: replace(each, asides=kept)), exchange, (aside,))


def _followed(each: Exchange, run: OpenRun) -> Exchange:
    """Return an exchange whose run has moved on; what the agent has heard is no aside any more."""
    asides = list(each.asides)
    for step in run.steps[len(each.run.steps) :]:
        heard = [item.words for item in step.items if item.item == "said" and item.role == "user"]
        for words in heard if step.step == "items.added" else ():
            found = next((one for one in asides if clean(words).strip() == one.text), None)
            if found is not None:
                asides.remove(found)

    moved = replace(each, run=run, asides=tuple(asides), answer=_answer(run), status=_status(run))
    fault = run.info.fault if run.info is not None else None
    if moved.status == "failed":
        told = Trouble(code=fault.code, message=clean(fault.message)) if fault else None
        return replace(moved, trouble=told or Trouble(code="failed", message="The run failed."))
    return moved


def _status(run: OpenRun) -> Status:
    if run.info is None or not run.info.is_over or run.want.is_open or run.trouble:
        return "streaming" if len(run.steps) > 1 or run.growing else "sent"
    return _ENDS.get(run.info.status, "done")


def _answer(run: OpenRun) -> str:
    """Return what was said last: it is what models are told of, and what is copied."""
    growing = next((each.text for each in reversed(run.growing) if each.item.item == "said"), "")
    if growing:
        return clean(growing)
    for step in reversed(run.steps):
        for item in reversed(step.items):
            if item.item == "said" and item.role == "assistant":
                return clean(item.words)
    return ""


def _settle(chat: Chat, exchange: Exchange) -> Chat:
    """Put an exchange back; what was said in between and never heard is asked when it is over."""
    is_over = exchange.status not in OPEN
    left = exchange.asides if is_over else ()
    kept = replace(exchange, asides=()) if is_over else exchange
    return _queued(_change(chat, exchange.id, lambda _: kept), exchange, left)


def _queued(chat: Chat, exchange: Exchange, asides: tuple[Aside, ...]) -> Chat:
    """Ask what could not be said in between as questions of their own, each at its turn."""
    asked = [
        Exchange(id=each.id, model=exchange.model, agent=exchange.agent, question=each.text)
        for each in asides
    ]
    return replace(chat, exchanges=tuple(sorted((*chat.exchanges, *asked), key=lambda each: each.id)))


def _change(chat: Chat, exchange: int, change: Callable[[Exchange], Exchange]) -> Chat:
    changed = tuple(change(each) if each.id == exchange else each for each in chat.exchanges)
    return replace(chat, exchanges=changed)
