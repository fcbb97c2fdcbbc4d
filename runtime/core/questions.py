"""What MCP servers ask the person in the middle of a call, until somebody answers. In memory only.

A question lives no longer than the call that waits for it; whoever asks gives it up at its deadline.
"""

from collections.abc import Callable

import anyio
import msgspec

from runtime.core.clock import Clock
from runtime.core.errors import Fault, NotFound, RequestInvalid
from runtime.core.ids import QuestionId
from runtime.core.minting import new_id
from runtime.core.tool_facts import QuestionAnswered, QuestionAsked, ReachFact
from runtime.core.tools import Elicitation, ElicitationAnswer

MOST_OPEN = 100
"""More at once is a server gone wild: the next ones are declined."""


class OpenQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A question that waits."""

    id: QuestionId
    question: Elicitation
    asked_at: float
    expires_at: float


class _Waiting:
    def __init__(self, told: OpenQuestion) -> None:
        self.told = told
        self.answered = anyio.Event()
        self.answer = ElicitationAnswer(action="decline")


class QuestionBoard:
    """The open questions."""

    def __init__(self, clock: Clock, publish: Callable[[ReachFact], None], wait_s: float) -> None:
        self._clock = clock
        self._publish = publish
        self._wait_s = wait_s
        self._waiting: dict[QuestionId, _Waiting] = {}

    async def ask(self, question: Elicitation) -> ElicitationAnswer:
        """Wait for the person's answer; declined after the deadline. Cancelling takes the question back."""
        if len(self._waiting) >= MOST_OPEN:
            return ElicitationAnswer(action="decline")

        now = self._clock.now()
        identity = QuestionId(new_id("qst_"))
        waiting = _Waiting(
            OpenQuestion(id=identity, question=question, asked_at=now, expires_at=now + self._wait_s)
        )
        self._waiting[identity] = waiting
        expires_at = waiting.told.expires_at
        self._publish(QuestionAsked(question=identity, server=question.server, expires_at=expires_at))
        action = "expired"
        try:
            with anyio.move_on_after(self._wait_s):
                await waiting.answered.wait()
                action = waiting.answer.action
        finally:
            del self._waiting[identity]
            self._publish(QuestionAnswered(question=identity, server=question.server, action=action))
        return waiting.answer

    def list_open(self) -> list[OpenQuestion]:
        """Return the questions that wait, the oldest first."""
        return [each.told for each in self._waiting.values()]

    def answer(self, identity: QuestionId, answer: ElicitationAnswer) -> None:
        """Give the person's answer. Raises NotFound where nobody waits for it any more, RequestInvalid."""
        waiting = self._waiting.get(identity)
        if waiting is None or waiting.answered.is_set():
            message = (
                f"No question '{identity[:100]}' waits for an answer; it may have been answered meanwhile."
            )
            raise NotFound(Fault(code="not_found", message=message))

        form = waiting.told.question.form
        if answer.action == "accept" and form is not None:
            missing = [name for name in form.get("required") or () if name not in (answer.content or {})]
            if missing:
                message = f"The answer lacks '{missing[0]}', which the server asked for."
                fault = Fault(code="invalid_request", message=message, param=f"content.{missing[0]}")
                raise RequestInvalid(fault)
        waiting.answer = answer
        waiting.answered.set()
