"""The machine of an agent's run: inputs in, commands out, nothing else.

    new ──Begin──► turn ──ended──► calls ──all ended──► turn … ──nothing owed──► over
                    │ broke          │ asked: waits for a person
                    └─ again, a shorter prompt, another model, or over

A step is stored before anything that follows from it. A run ends in exactly one RunEnded, told as RunOver,
then Finish. Inputs that come late or twice change nothing. A machine made of a run's steps goes on with it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from runtime.core.agents.builtins import Search
from runtime.core.agents.calls import Calls, find_approved
from runtime.core.agents.deciding import needs_decision, verdict_of
from runtime.core.agents.fold import RunState
from runtime.core.agents.happenings import RunOver, StatusChanged
from runtime.core.agents.items import AnyItem
from runtime.core.agents.ledger import Ledger
from runtime.core.agents.moves import (
    Added,
    AnyCommand,
    AnyTold,
    Begin,
    CallIdles,
    CancelAsked,
    Finish,
    Gave,
    HandedOver,
    Moved,
    PersonAsked,
    PersonDecided,
    Returned,
    Steered,
    Summarised,
    TimeOver,
    TurnRefused,
)
from runtime.core.agents.outputs import Mint
from runtime.core.agents.recovering import decide_recovery
from runtime.core.agents.seen import find_missing, find_partial, see
from runtime.core.agents.shortening import Shortening
from runtime.core.agents.spending import find_spent
from runtime.core.agents.steps import (
    AnyStep,
    ItemsAdded,
    PlanChanged,
    RunEnded,
    RunRecord,
    TurnEnded,
)
from runtime.core.agents.telling import begin_item
from runtime.core.agents.turns import Outcome, Turns
from runtime.core.errors import Fault
from runtime.core.messages import Usage

EndStatus = Literal["completed", "incomplete", "failed", "cancelled"]


class _Ending(NamedTuple):
    """How a run is to end."""

    status: EndStatus
    reason: str = ""
    fault: Fault | None = None


class AgentMachine:
    """One run. `handle` is the only door; `now` is seconds since the epoch."""

    def __init__(self, record: RunRecord, steps: Sequence[AnyStep], mint: Mint, search: Search) -> None:
        self._ledger = Ledger(record, steps, mint)
        self._calls = Calls(self._ledger, search)
        self._turns = Turns(self._ledger)
        self._shortening = Shortening(self._ledger)
        self._has_begun = False
        self._is_over = False
        self._added: list[AnyItem] = []
        """Items that wait until no turn is being written."""
        self._ending: _Ending | None = None
        """How the run ends once the turn that is being given up has ended."""
        self._tries = 0

    @property
    def state(self) -> RunState:
        """What the run has come to; to be read, not changed."""
        return self._ledger.state

    @property
    def record(self) -> RunRecord:
        """The run as lists show it."""
        return self._ledger.record

    @property
    def is_over(self) -> bool:
        """Whether Finish was wanted: nothing follows."""
        return self._is_over

    @property
    def is_idle(self) -> bool:
        """Whether this run, and those that it called for, do nothing but wait for persons."""
        return self.state.waits_for_persons(self._calls.idle)

    def handle(self, told: AnyTold, now: float) -> list[AnyCommand]:
        """Take one input; return what to do, in order. Never raises on a late or repeated input."""
        if self._is_over:
            return []

        self._ledger.now = now
        if self._has_begun or isinstance(told, Begin | Added | Steered | CancelAsked):
            self._take(told)
        return self._ledger.take()

    def check_integrity(self) -> None:
        """Assert what must hold between inputs."""
        if not self._has_begun:
            return

        state = self.state
        assert (state.ended is not None) == self._is_over
        assert self._turns.is_open == (state.turn is not None)
        begun = {each.call.call_id for each in state.open_calls if each.phase == "begun"}
        assert self._calls.running == begun
        if self._is_over:
            assert not state.open_calls
            assert state.turn is None
        else:
            is_waiting = self._turns.is_open or state.open_calls or self._shortening.is_compacting
            assert is_waiting, "a run that is not over waits for something"

    def _take(self, told: AnyTold) -> None:
        match told:
            case Begin():
                self._go_on(told)
            case Gave():
                self._settle_turn(self._turns.hear(told))
            case TurnRefused():
                self._settle_turn(self._turns.broke(told.turn, told.fault))
            case Returned() | HandedOver() | PersonDecided() | PersonAsked() | Moved() | CallIdles():
                self._calls.take(told)
                self._advance()
            case Summarised():
                self._settle_summary(told)
            case Steered() | Added():
                self._take_items(told)
            case CancelAsked():
                self._give_up(_Ending("cancelled", told.reason))
            case TimeOver():
                self._give_up(_Ending("incomplete", "seconds"))

    def _take_items(self, told: Steered | Added) -> None:
        if isinstance(told, Steered):
            self._ledger.store(ItemsAdded(at=self._ledger.now, items=told.items, is_output=False))
        else:
            self._added += told.items
            self._add()

    def _settle_summary(self, told: Summarised) -> None:
        fault = self._shortening.take(told)
        if fault is not None:
            self._end(_Ending("failed", fault=fault))
        self._advance()

    def _go_on(self, begin: Begin) -> None:
        if self._has_begun:
            return

        self._has_begun = True
        self._shortening.context_tokens = begin.context_tokens
        self._turns.pictures = begin.pictures
        for happening in begin.seen:
            if isinstance(happening, StatusChanged):
                self._ledger.know_status(happening.status)
        if self.state.ended is None:
            self._ledger.tell_status("in_progress")
        seen = see(begin.seen)
        self._close_broken_turn(find_partial(seen, len(self.state.places)))
        self._ledger.tell(*find_missing(seen, self.state))
        if self.state.ended is not None:
            self._finish(is_told=any(isinstance(each, RunOver) for each in begin.seen))
            return

        self._add()
        self._make_approved()
        self._calls.resume()
        self._advance()

    def _close_broken_turn(self, partial: tuple[AnyItem, ...]) -> None:
        """End the turn that a crash has cut off; what readers saw of it stays, but no model hears of it."""
        turn = self.state.turn
        if turn is not None:
            self._ledger.store(
                TurnEnded(
                    at=self._ledger.now, turn=turn.turn, items=partial, usage=Usage(), reason="cancelled"
                )
            )

    def _add(self) -> None:
        """Put items that no model wrote into the output, unless a turn is just being written."""
        if not self._added or not self._has_begun or self._turns.is_open:
            return

        items, self._added = tuple(self._added), []
        place = len(self.state.places)
        self._ledger.store(ItemsAdded(at=self._ledger.now, items=items))
        for number, item in enumerate(items):
            self._ledger.tell_whole(place + number, item)

    def _make_approved(self) -> None:
        """Begin the output with the calls that the asker has allowed in what this run was asked."""
        items = find_approved(self.state, self._ledger.mint)
        if not items:
            return

        place = len(self.state.places)
        self._ledger.store(ItemsAdded(at=self._ledger.now, items=items))
        for number, item in enumerate(items):
            self._ledger.tell(*begin_item(place + number, item))

    def _advance(self) -> None:
        """Go on with what is owed; where something is on its way, wait for it."""
        if self._is_over or self._turns.is_open or self._shortening.is_compacting:
            return

        self._calls.start()
        if self._calls.limit is not None and not self._calls.running:
            self._end(_Ending("incomplete", self._calls.limit))
        elif self.state.open_calls:
            self._ledger.tell_status("waiting" if self.is_idle else "in_progress")
        elif self.state.draft:
            self._judge()
        elif self._is_answered():
            self._end(_Ending("completed"))
        else:
            self._begin_turn()

    def _is_answered(self) -> bool:
        """Whether the asker is next: nothing is owed, or it must carry out or allow calls."""
        return bool(self.state.client_calls or self.state.wanted) or not self.state.owes_turn

    def _judge(self) -> None:
        """Have the draft judged, give it, or have it mended."""
        state = self.state
        is_good = state.is_judged and verdict_of(state).is_good
        if is_good or find_spent(state) is not None:
            self._added = [*state.draft, *self._added]
            self._add()
            self._advance()
        else:
            self._begin_turn()

    def _begin_turn(self) -> None:
        state = self.state
        spent = find_spent(state)
        if spent is not None:
            self._end(_Ending("incomplete", spent))
            return

        self._calls.forget_handover()
        self._ledger.tell_status("in_progress")
        hidden = self._shortening.prepare()
        if hidden is None:
            return

        if state.draft and not state.is_judged:
            self._turns.begin("reflection", hidden)
        else:
            self._turns.begin("decision" if needs_decision(state) else "answer", hidden)

    def _settle_turn(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return

        match outcome.kind:
            case "given" | "cut" | "repeated":
                self._tries = 0
                self._shortening.settle()
                self._add()
                if outcome.kind == "repeated":
                    self._end(_Ending("incomplete", "repetition"))
                elif outcome.kind == "cut":
                    is_spent = find_spent(self.state) == "tokens"
                    self._end(_Ending("incomplete", "tokens" if is_spent else "max_output_tokens"))
                else:
                    self._advance()
            case "stopped":
                self._end(self._ending or _Ending("cancelled", "the model was stopped"))
            case "broke":
                assert outcome.fault is not None
                self._recover(outcome.fault, has_shown=outcome.has_shown)

    def _recover(self, fault: Fault, *, has_shown: bool) -> None:
        """Go on after a fault of the model, or end."""
        self._tries += 1
        plan = self.state.plan
        recovery = decide_recovery(
            fault,
            tries=self._tries,
            has_next_model=len(plan.models) > 1,
            may_repeat=not has_shown or plan.door != "responses",
        )
        match recovery:
            case "again":
                self._add()
                self._advance()
            case "shorten":
                self._shorten(fault)
            case "next_model":
                self._take_next_model(fault)
            case "fail":
                self._end(_Ending("failed", fault=fault))

    def _shorten(self, fault: Fault) -> None:
        """Make the prompt shorter, or take a model that has more room."""
        if self._shortening.shorten(fault):
            self._advance()
        elif len(self.state.plan.models) > 1:
            self._take_next_model(fault)
        else:
            self._end(_Ending("failed", fault=fault))

    def _take_next_model(self, fault: Fault) -> None:
        plan = self.state.plan
        self._tries = 0
        changed = msgspec.structs.replace(plan, models=plan.models[1:])
        reason = f"fallback: {plan.models[0]}: {fault.code}"
        self._ledger.store(PlanChanged(at=self._ledger.now, plan=changed, reason=reason))
        self._shortening.change_model()
        self._add()
        self._advance()

    def _give_up(self, ending: _Ending) -> None:
        """Turn towards the end: a turn is stopped and its end awaited once; what else runs ends at once."""
        if not self._has_begun:
            self._close_broken_turn(())
        elif self._ending is None and self._turns.is_open:
            self._ending = ending
            self._turns.stop()
            return

        self._turns.drop()
        self._end(self._ending or ending)

    def _end(self, ending: _Ending) -> None:
        self._has_begun = True
        self._shortening.give_up()
        self._calls.close_all()
        ended = RunEnded(at=self._ledger.now, status=ending.status, reason=ending.reason, fault=ending.fault)
        self._ledger.store(ended)
        self._finish()

    def _finish(self, *, is_told: bool = False) -> None:
        self._is_over = True
        record = self._ledger.record
        if not is_told:
            self._ledger.tell(RunOver(record=record))
        self._ledger.order(Finish(record=record))
