"""The part of the reducer that is about what waits for a person. Pure; `tui.view` is the door.

Facts name ids only; listings bring what is asked. Both come in any order: an id that is over stays over, and
a listing that was asked for before something happened leaves the want open.
"""

import msgspec
from msgspec.structs import replace

from runtime.core.events import Envelope, ServerStarted
from runtime.core.tool_facts import ApprovalAnswered, ApprovalAsked, QuestionAnswered, QuestionAsked
from tui.reach import HISTORY, Approval, Asks, OpenQuestion, QuestionAction, Settled
from tui.state import Trouble


class AsksWanted(msgspec.Struct, frozen=True, kw_only=True):
    """The person wants to see what waits as it is now."""


class ApprovalsCame(msgspec.Struct, frozen=True, kw_only=True):
    """A listing of approvals came that was asked for at a count of the want."""

    approvals: tuple[Approval, ...]
    """All that the server keeps, the newest first, or those alone that wait."""
    asked: int
    is_whole: bool = True
    """Whether those that are over are among them."""


class QuestionsCame(msgspec.Struct, frozen=True, kw_only=True):
    """The questions came, likewise."""

    questions: tuple[OpenQuestion, ...]
    asked: int


class AsksRefused(msgspec.Struct, frozen=True, kw_only=True):
    """What waits could not be listed. Tried again when something happens, or the person wants it."""

    trouble: Trouble


class AnswerSent(msgspec.Struct, frozen=True, kw_only=True):
    """An answer is on its way."""

    id: str


class ApprovalSettled(msgspec.Struct, frozen=True, kw_only=True):
    """The server took the answer to an approval."""

    approval: Approval


class QuestionSettled(msgspec.Struct, frozen=True, kw_only=True):
    """The server took the answer to a question."""

    id: str
    action: QuestionAction
    at: float


class AnswerRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The server did not take an answer: somebody else was quicker, or it is too late."""

    id: str
    what: str
    trouble: Trouble
    at: float


AskMessage = (
    AsksWanted
    | ApprovalsCame
    | QuestionsCame
    | AsksRefused
    | AnswerSent
    | ApprovalSettled
    | QuestionSettled
    | AnswerRefused
)


def tell_asks(asks: Asks, message: AskMessage) -> Asks:
    """Return what waits after a message."""
    match message:
        case AsksWanted():
            return want_all(asks)
        case ApprovalsCame():
            return _approvals(asks, message)
        case QuestionsCame():
            waiting = tuple(each for each in message.questions if each.id not in asks.over)
            want = asks.questions_want.met(message.asked)
            return replace(asks, questions=waiting, questions_want=want, trouble="")
        case AsksRefused():
            approvals = asks.approvals_want.met(asks.approvals_want.asked)
            questions = asks.questions_want.met(asks.questions_want.asked)
            said = message.trouble.message
            return replace(asks, approvals_want=approvals, questions_want=questions, trouble=said)
        case AnswerSent():
            return replace(asks, sending=asks.sending | {message.id})
        case ApprovalSettled():
            return _settle(asks, _settled(message.approval))
        case QuestionSettled():
            return _end_question(asks, message.id, message.action, message.at)
        case AnswerRefused():
            # What became of it is on the server: look again.
            return want_all(replace(asks, sending=asks.sending - {message.id}))


def want_all(asks: Asks) -> Asks:
    """Return what waits, to be listed anew."""
    return replace(asks, approvals_want=asks.approvals_want.more(), questions_want=asks.questions_want.more())


def want_approvals(asks: Asks) -> Asks:
    """Return what waits, with the approvals to be listed anew."""
    return replace(asks, approvals_want=asks.approvals_want.more())


def hear_asks(asks: Asks, envelope: Envelope, *, is_news: bool) -> Asks:
    """Return what waits after a fact. Those from before the snapshot are in the listing that follows it."""
    match envelope.event:
        case ApprovalAsked() as fact if is_news and fact.approval not in asks.over:
            return want_approvals(asks)
        case QuestionAsked() as fact if fact.question not in asks.over:
            # Also those from before: their listing is fetched only where somebody has asked something.
            return replace(asks, questions_want=asks.questions_want.more())
        case ApprovalAnswered() as fact:
            return _end_approval(asks, fact, envelope.at)
        case QuestionAnswered() as fact:
            return _end_question(asks, fact.question, fact.action, envelope.at)
        case ServerStarted():
            return replace(asks, questions=())  # they live no longer than the server
        case _:
            return asks


def _approvals(asks: Asks, message: ApprovalsCame) -> Asks:
    waiting = [each for each in message.approvals if each.status == "pending" and each.id not in asks.over]
    answered = tuple(_settled(each) for each in message.approvals if each.status != "pending")
    ids = {each.id for each in answered}
    others = tuple(each for each in asks.history if each.id not in ids)
    history = sorted((*answered, *others), key=lambda each: each.at, reverse=True)
    return replace(
        asks,
        approvals=tuple(sorted(waiting, key=lambda each: (each.created_at, each.id))),
        history=tuple(history[:HISTORY]),
        sending=frozenset(each for each in asks.sending if each not in ids),
        approvals_want=asks.approvals_want.met(message.asked),
        has_history=asks.has_history or message.is_whole,
        trouble="",
    )


def _end_approval(asks: Asks, fact: ApprovalAnswered, at: float) -> Asks:
    waiting = next((each for each in asks.approvals if each.id == fact.approval), None)
    if waiting is None:
        return replace(asks, over=asks.with_over(fact.approval), sending=asks.sending - {fact.approval})

    over = replace(waiting, status=fact.status, answered_at=at, answered_by=fact.by, scope=fact.scope)
    return _settle(asks, _settled(over))


def _end_question(asks: Asks, identity: str, action: str, at: float) -> Asks:
    waiting = next((each for each in asks.questions if each.id == identity), None)
    if waiting is None:
        return replace(asks, over=asks.with_over(identity), sending=asks.sending - {identity})
    return _settle(asks, Settled(id=identity, status=action, at=at, question=waiting))


def _settle(asks: Asks, settled: Settled) -> Asks:
    others = tuple(each for each in asks.history if each.id != settled.id)
    return replace(
        asks,
        approvals=tuple(each for each in asks.approvals if each.id != settled.id),
        questions=tuple(each for each in asks.questions if each.id != settled.id),
        history=(settled, *others)[:HISTORY],
        over=asks.with_over(settled.id),
        sending=asks.sending - {settled.id},
    )


def _settled(approval: Approval) -> Settled:
    at = approval.created_at if approval.answered_at is None else approval.answered_at
    by = approval.answered_by or ""
    return Settled(id=approval.id, status=approval.status, at=at, by=by, approval=approval)
