"""A gate that rules as a test says, and remembers what it was asked."""

from collections.abc import Callable

from runtime.core.gate.words import Outcome, Question, Ruling
from runtime.core.ids import ApprovalId


class FakeGate:
    """Allows everything, unless `decide` says otherwise."""

    def __init__(self, decide: Callable[[Question], Outcome] = lambda question: "allow") -> None:
        self.decide = decide
        self.asked: list[Question] = []

    async def rule(self, question: Question, *, wait_s: float = 0.0) -> Ruling:
        self.asked.append(question)
        outcome = self.decide(question)
        return Ruling(
            outcome=outcome,
            policies=("fake",),
            reason=f"the fake gate says {outcome}",
            approval=ApprovalId("apr_1") if outcome == "ask" else None,
        )

    def look(self, question: Question) -> Outcome:
        return self.decide(question)
