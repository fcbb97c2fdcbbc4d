"""How the conversation changes: asked, sent, answered piece by piece, stopped, withdrawn. Pure."""

from collections.abc import Callable

from msgspec.structs import replace

from runtime.core.ids import ModelId
from tui.ports import ChatDone, ChatFailed, ChatPiece, ChatReasoning, ChatStarted, ChatText
from tui.state import OPEN, Chat, Exchange, Trouble
from tui.words import clean

_TRY_LATER = ("model_installing",)
"""Refusals that mean: not yet. The question goes back into the queue."""
_PATIENCE = 3
"""Refusals of that kind which one question takes before it counts as failed."""


def ask(chat: Chat, text: str) -> Chat:
    """Queue a question; blank ones change nothing."""
    question = clean(text).strip()
    if not question:
        return chat

    exchange = Exchange(id=chat.next_id, model=chat.model, agent=chat.agent, question=question)
    return replace(chat, exchanges=(*chat.exchanges, exchange), next_id=chat.next_id + 1)


def send(chat: Chat, exchange_id: int, at: float) -> Chat:
    """Mark a queued question as sent."""

    def sent(each: Exchange) -> Exchange:
        return replace(each, status="sent", sent_at=at) if each.status == "queued" else each

    return _change(chat, exchange_id, sent)


def come(chat: Chat, exchange_id: int, piece: ChatPiece, at: float) -> Chat:
    """Add a piece to the answer; pieces that come after its end change nothing."""

    def grown(each: Exchange) -> Exchange:
        return _grow(each, piece, at) if each.status in OPEN else each

    return _change(chat, exchange_id, grown)


def stop(chat: Chat, exchange_id: int, at: float) -> Chat:
    """End an open answer as stopped."""

    def stopped(each: Exchange) -> Exchange:
        if each.status not in OPEN:
            return each
        return replace(each, status="stopped", seconds=None if each.sent_at is None else at - each.sent_at)

    return _change(chat, exchange_id, stopped)


def withdraw(chat: Chat, exchange_id: int) -> Chat:
    """Take back a question that waits."""
    kept = tuple(each for each in chat.exchanges if each.id != exchange_id or each.status != "queued")
    return replace(chat, exchanges=kept)


def clear(chat: Chat) -> Chat:
    """Begin anew; ids go on, so that a late piece finds nothing."""
    return replace(chat, exchanges=(), session="", told=0)


def choose_model(chat: Chat, model: ModelId) -> Chat:
    """Talk to another model; what waits goes to it."""
    moved = tuple(
        replace(each, model=model, agent="") if each.status == "queued" else each for each in chat.exchanges
    )
    return replace(chat, model=model, agent="", exchanges=moved)


def know_model(chat: Chat, model: ModelId) -> Chat:
    """Know the server's default model; what was asked before goes to whom it was for."""
    moved = tuple(replace(each, model=model) if each.status == "queued" else each for each in chat.exchanges)
    return replace(chat, model=model, exchanges=moved)


def _change(chat: Chat, exchange_id: int, change: Callable[[Exchange], Exchange]) -> Chat:
    changed = tuple(change(each) if each.id == exchange_id else each for each in chat.exchanges)
    return replace(chat, exchanges=changed)


def _grow(each: Exchange, piece: ChatPiece, at: float) -> Exchange:
    match piece:
        case ChatStarted():
            return replace(each, run_id=piece.run_id)
        case ChatText():
            first = each.text_at if each.text_at is not None else at
            return replace(_ticked(each, at), answer=each.answer + clean(piece.text), text_at=first)
        case ChatReasoning():
            return replace(_ticked(each, at), reasoning=each.reasoning + clean(piece.text))
        case ChatDone():
            return replace(
                each,
                status="done",
                usage=piece.usage,
                finish_reason=piece.finish_reason,
                seconds=piece.seconds,
            )
        case ChatFailed() if piece.code in _TRY_LATER and each.refusals < _PATIENCE:
            return replace(each, status="queued", sent_at=None, run_id=None, refusals=each.refusals + 1)
        case ChatFailed():
            trouble = Trouble(code=piece.code, message=clean(piece.message))
            return replace(each, status="failed", trouble=trouble)


def _ticked(each: Exchange, at: float) -> Exchange:
    return replace(
        each,
        status="streaming",
        first_at=each.first_at if each.first_at is not None else at,
        last_at=at,
        pieces=each.pieces + 1,
    )
