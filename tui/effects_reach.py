"""The calls about approvals, questions and MCP servers, each reporting to `dispatch`. Decides nothing."""

from collections.abc import Callable, Sequence
from typing import Any

from tui import calls
from tui.asking import (
    AnswerRefused,
    AnswerSent,
    ApprovalsCame,
    ApprovalSettled,
    AsksRefused,
    QuestionsCame,
    QuestionSettled,
)
from tui.clock import Clock
from tui.ports import Refused, Source
from tui.reach import Approval, Asks, OpenQuestion, QuestionAction, ToolChange, Tools
from tui.state import Trouble
from tui.tooling import ServerBusy, ServerDone, ToolsCame, ToolsRefused
from tui.view import ActionFailed, Message


class ReachEffects:
    """Lists what waits, gives answers, connects servers, approves tools."""

    def __init__(self, source: Source, clock: Clock, dispatch: Callable[[Message], None]) -> None:
        self._source = source
        self._clock = clock
        self._dispatch = dispatch

    async def list_asks(self, look: Callable[[], Asks]) -> None:
        """Fetch what the view wants to know of what waits, until it wants no more."""
        try:
            while look().approvals_want.is_open or look().questions_want.is_open:
                await self._list_once(look())
        except Refused as refused:
            self._dispatch(AsksRefused(trouble=_trouble(refused)))

    async def _list_once(self, asks: Asks) -> None:
        approvals, questions = asks.approvals_want, asks.questions_want
        if approvals.is_open:
            # The first time with those that are over, for the history; facts keep it afterwards.
            call = calls.list_approvals("pending" if asks.has_history else "")
            listed = (await self._source.ask(call)).approvals
            is_whole = not asks.has_history
            self._dispatch(ApprovalsCame(approvals=listed, asked=approvals.asked, is_whole=is_whole))
        if questions.is_open:
            found = await self._source.ask(calls.list_questions())
            self._dispatch(QuestionsCame(questions=found.questions, asked=questions.asked))

    async def answer_approval(self, approval: Approval, *, is_approved: bool, scope: str, note: str) -> None:
        """Answer an approval; somebody else may have been quicker."""
        self._dispatch(AnswerSent(id=approval.id))
        try:
            call = calls.answer_approval(approval.id, is_approved=is_approved, scope=scope, note=note)
            self._dispatch(ApprovalSettled(approval=await self._source.ask(call)))
        except Refused as refused:
            what = f"{'approve' if is_approved else 'deny'} {approval.resource.id}"
            self._refuse(approval.id, what, refused)

    async def answer_question(
        self, question: OpenQuestion, action: QuestionAction, content: dict[str, Any] | None
    ) -> None:
        """Answer a server's question; its call may be over."""
        self._dispatch(AnswerSent(id=question.id))
        try:
            await self._source.ask(calls.answer_question(question.id, action, content))
            self._dispatch(QuestionSettled(id=question.id, action=action, at=self._clock.now()))
        except Refused as refused:
            self._refuse(question.id, f"{action} the question of {question.question.server}", refused)

    async def list_tools(self, look: Callable[[], Tools]) -> None:
        """Fetch the servers and the tools that wait, until the view wants no more."""
        try:
            while look().want.is_open:
                asked = look().want.asked
                servers = await self._source.ask(calls.list_servers())
                changes = await self._source.ask(calls.list_changes())
                came = ToolsCame(servers=servers.servers, changes=changes.changes, asked=asked)
                self._dispatch(came)
        except Refused as refused:
            self._dispatch(ToolsRefused(trouble=_trouble(refused)))

    async def connect(self, server: str) -> None:
        """Have a server connected anew."""
        self._dispatch(ServerBusy(name=server))
        try:
            await self._source.ask(calls.connect_server(server))
        except Refused as refused:
            self._fail(f"connect {server}", refused)
        finally:
            self._dispatch(ServerDone(name=server))

    async def approve_tools(self, changes: Sequence[ToolChange]) -> None:
        """Let tools of one server be called as they were seen."""
        server = changes[0].tool.server
        self._dispatch(ServerBusy(name=server))
        try:
            for change in changes:
                await self._source.ask(calls.approve_tool(change))
        except Refused as refused:
            self._fail(f"approve tools of {server}", refused)
        finally:
            self._dispatch(ServerDone(name=server))

    def _refuse(self, identity: str, what: str, refused: Refused) -> None:
        trouble, now = _trouble(refused), self._clock.now()
        self._dispatch(AnswerRefused(id=identity, what=what, trouble=trouble, at=now))

    def _fail(self, wanted: str, refused: Refused) -> None:
        self._dispatch(ActionFailed(wanted=wanted, trouble=_trouble(refused), at=self._clock.now()))


def _trouble(refused: Refused) -> Trouble:
    return Trouble(code=refused.code, message=refused.message)
