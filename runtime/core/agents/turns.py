"""The turn of a run that is under way: how it is asked for, heard, given up, and how it ended.

Hidden turns and answers that are to be judged are heard, but nobody is told of them.
"""

from typing import Literal, NamedTuple

import msgspec

from runtime.core.agents.citing import citer_of, sources_of
from runtime.core.agents.deciding import (
    choice_after_decision,
    decision_request,
    mending,
    verdict_of,
    verdict_request,
)
from runtime.core.agents.fold import RunState
from runtime.core.agents.happenings import AnyHappening, TurnClosed, TurnOpened
from runtime.core.agents.items import AnyItem, Called, Wanted
from runtime.core.agents.ledger import Ledger
from runtime.core.agents.moves import Gave, Generate, StopGenerating
from runtime.core.agents.outputs import TurnWriter
from runtime.core.agents.prompting import Pictures, request_of
from runtime.core.agents.spending import tokens_left
from runtime.core.agents.steps import TurnBegun, TurnEnded, TurnPurpose
from runtime.core.errors import Fault
from runtime.core.messages import Began, Broke, ChatRequest, Delta, Ended, FinishReason, Usage


class Outcome(NamedTuple):
    """How a turn ended.

    cut: by a limit of tokens · repeated: only itself · stopped: given up · broke: with this fault.
    """

    kind: Literal["given", "cut", "repeated", "stopped", "broke"]
    fault: Fault | None = None
    has_shown: bool = False
    """Whether readers have seen anything of a turn that broke."""


class Turns:
    """The turns of one run, one at a time."""

    def __init__(self, ledger: Ledger) -> None:
        self.pictures: Pictures = {}
        self.is_stopping = False
        self._is_repeating = False
        """Whether the turn was stopped since it only repeated itself."""
        self._ledger = ledger
        self._writer: TurnWriter | None = None
        self._is_held = False
        """Whether readers hear of this turn only after it was judged, if at all."""
        self._held: list[AnyHappening] = []
        self._seen = Usage()
        """What the turn has taken so far, as far as its pieces tell."""

    @property
    def is_open(self) -> bool:
        """Whether a turn is under way."""
        return self._writer is not None

    def begin(self, purpose: TurnPurpose, hidden: int) -> None:
        """Ask the model; the oldest `hidden` items of the conversation are left out."""
        ledger, state = self._ledger, self._ledger.state
        items = len(state.conversation) + len(state.pending) - hidden
        turn = TurnBegun(
            at=ledger.now,
            turn=state.generations,
            model=state.model,
            prompt_items=items,
            purpose=purpose,
        )
        ledger.store(turn)
        self._is_held = purpose == "answer" and state.plan.reflects and not state.is_judged
        self._held = []
        self._seen = Usage()
        cite = citer_of(sources_of(state))
        self._writer = TurnWriter(state.plan, len(state.places), ledger.mint, state.calls, cite)
        ledger.order(Generate(turn=turn.turn, request=self._request(purpose)))

    def hear(self, told: Gave) -> Outcome | None:
        """Take an output of the model; returns how the turn ended once it has."""
        turn, writer = self._ledger.state.turn, self._writer
        if turn is None or writer is None or told.turn != turn.turn:
            return None

        match told.output:
            case Began(prompt_tokens=tokens):
                self._seen = msgspec.structs.replace(self._seen, prompt_tokens=tokens)
                self._opened(turn, told.output)
            case Delta(tokens=tokens):
                tokens += self._seen.completion_tokens
                self._seen = msgspec.structs.replace(self._seen, completion_tokens=tokens)
                if not self.is_stopping and not self._is_repeating:
                    self._grown(turn, writer.hear(told.output))
                    self._watch(turn, writer)
            case Ended():
                return self._ended(turn, writer, told.output)
            case Broke() if self._is_repeating and not self.is_stopping:
                return self._ended(turn, writer, Ended(reason="cancelled", usage=self._seen))
            case Broke():
                return self.broke(told.turn, told.output.fault)
            case _:
                pass  # vectors, scores and tokens belong to other requests
        return None

    def broke(self, number: int, fault: Fault) -> Outcome | None:
        """End the turn that could not be begun, or broke."""
        turn = self._ledger.state.turn
        if turn is None or self._writer is None or number != turn.turn:
            return None

        if self.is_stopping:
            return self._abandon(turn, self._seen, Outcome("stopped"))

        has_shown = self._writer.has_begun and not self._is_unseen(turn)
        return self._abandon(turn, self._seen, Outcome("broke", fault, has_shown))

    def stop(self) -> None:
        """Want the turn given up; its end still comes."""
        turn = self._ledger.state.turn
        if turn is not None and not self.is_stopping:
            self.is_stopping = True
            self._ledger.order(StopGenerating(turn=turn.turn))

    def drop(self) -> None:
        """End the turn without waiting for the model any longer."""
        turn = self._ledger.state.turn
        if turn is not None and self._writer is not None:
            self._abandon(turn, self._seen, Outcome("stopped"))

    def _request(self, purpose: TurnPurpose) -> ChatRequest:
        state = self._ledger.state
        match purpose:
            case "decision":
                return decision_request(state, self.pictures)
            case "reflection":
                return verdict_request(state, self.pictures)
            case "answer":
                added = mending(state) if _is_refused(state) else []
                choice = choice_after_decision(state) if not added else None
                request = request_of(state, pictures=self.pictures, choice=choice, added=added)
                sampling = msgspec.structs.replace(request.sampling, max_tokens=tokens_left(state))
                return msgspec.structs.replace(request, sampling=sampling)

    def _is_unseen(self, turn: TurnBegun) -> bool:
        return self._is_held or turn.purpose != "answer"

    def _opened(self, turn: TurnBegun, began: Began) -> None:
        if turn.purpose == "answer" and not self.is_stopping:
            opened = TurnOpened(turn=turn.turn, model=turn.model, prompt_tokens=began.prompt_tokens)
            self._ledger.tell(opened)

    def _grown(self, turn: TurnBegun, happenings: list[AnyHappening]) -> None:
        if self._is_held:
            self._held += happenings
        elif turn.purpose == "answer":
            self._ledger.tell(*happenings)

    def _watch(self, turn: TurnBegun, writer: TurnWriter) -> None:
        """End the turn of an agent early where nothing new comes; a bare request gets what it asked for."""
        if writer.is_repeating and self._ledger.state.plan.agent is not None:
            self._is_repeating = True
            self._ledger.order(StopGenerating(turn=turn.turn))

    def _ended(self, turn: TurnBegun, writer: TurnWriter, ended: Ended) -> Outcome:
        is_repeating = self._is_repeating and not self.is_stopping
        usage = ended.usage if ended.usage.total_tokens else self._seen
        if self.is_stopping or (ended.reason == "cancelled" and not is_repeating):
            return self._abandon(turn, usage, Outcome("stopped"))

        reason = "length" if is_repeating else ended.reason
        is_cut = reason == "length"
        happenings = writer.finish(is_cut=is_cut)
        items = tuple(writer.items)
        is_draft = (
            self._is_held and not is_cut and not any(isinstance(each, Called | Wanted) for each in items)
        )
        self._close(turn, items, usage, reason, is_draft=is_draft)
        if turn.purpose != "answer":
            return Outcome("given")

        if not is_draft:
            self._ledger.tell(*self._held, *happenings)
        self._ledger.tell(TurnClosed(turn=turn.turn, usage=usage))
        if is_repeating:
            return Outcome("repeated")

        return Outcome("cut" if is_cut else "given")

    def _abandon(self, turn: TurnBegun, usage: Usage, outcome: Outcome) -> Outcome:
        assert self._writer is not None
        happenings = self._writer.abandon()
        is_unseen = self._is_unseen(turn)
        items: tuple[AnyItem, ...] = () if is_unseen else tuple(self._writer.items)
        self._close(turn, items, usage, "cancelled")
        if not is_unseen:
            self._ledger.tell(*happenings)
        if turn.purpose == "answer":
            self._ledger.tell(TurnClosed(turn=turn.turn, usage=usage))
        return outcome

    def _close(
        self,
        turn: TurnBegun,
        items: tuple[AnyItem, ...],
        usage: Usage,
        reason: FinishReason,
        *,
        is_draft: bool = False,
    ) -> None:
        self._writer = None
        self.is_stopping = self._is_repeating = False
        self._ledger.store(
            TurnEnded(
                at=self._ledger.now,
                turn=turn.turn,
                items=items,
                usage=usage,
                reason=reason,
                is_draft=is_draft,
            )
        )


def _is_refused(state: RunState) -> bool:
    return bool(state.draft) and state.is_judged and not verdict_of(state).is_good
