"""The calls of a run that Lar carries out: which begin, which wait, how each ends, exactly once.

A call is begun on disk before it is made. One that was begun when the server was killed is made again only
where that does no harm; else a person decides.
"""

from collections.abc import Sequence

import msgspec

from runtime.core.agents.builtins import Search, carry_out, failed
from runtime.core.agents.fold import CallState, RunState, ended_call, is_hosted
from runtime.core.agents.happenings import CallMoved, ItemEnded
from runtime.core.agents.items import Answered, Called, CallForm, Decided, Text, Wanted
from runtime.core.agents.ledger import Ledger
from runtime.core.agents.loops import find_loop, with_note
from runtime.core.agents.moves import (
    AskPerson,
    CallIdles,
    HandedOver,
    MakeCall,
    Moved,
    PersonAsked,
    PersonDecided,
    Returned,
    StopCall,
)
from runtime.core.agents.outputs import ID_PREFIXES, Mint
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.steps import CallAsked, CallBegun, CallEnded, ItemsAdded, PlanChanged
from runtime.core.ids import ApprovalId

_REPEATABLE = ("agent", "handover", "machine")
"""Executors that find what they began: a child run by its parent's call, or nothing that has an effect."""
_UNKNOWN = (
    "The server was stopped while this call was on its way. Nobody knows whether it was made, and the person "
    "does not want it made again."
)
CUT_OFF = "The run has ended before this call had its result."
_WAITS = "The agent that was asked waits for a person."


class Calls:
    """The calls of one run that are to be made, are on their way, or wait for a person."""

    def __init__(self, ledger: Ledger, search: Search) -> None:
        self.limit: str | None = None
        """The limit that a call ran into; the run ends for it."""
        self.idle: set[str] = set()
        """Calls for runs that do nothing but wait for persons."""
        self._ledger = ledger
        self._search = search
        self._running: set[str] = set()
        self._approved: set[str] = set()
        self._has_handed_over = False

    @property
    def running(self) -> frozenset[str]:
        """Calls that are on their way."""
        return frozenset(self._running)

    def resume(self) -> None:
        """Take up calls that steps say were begun or wait for a person."""
        for call in self._ledger.state.open_calls:
            if call.phase == "asked":
                self._ask_again(call)
            elif call.phase == "begun" and not _is_repeatable(call.tool):
                reason = "The server was stopped while this call was on its way."
                self._ask(call, reason, is_repeat=True)

    def forget_handover(self) -> None:
        """Let the turn that begins hand over again."""
        self._has_handed_over = False

    def start(self) -> None:
        """Begin what may be begun: so many side by side, those that need nobody's yes."""
        if self.limit is not None:
            return

        ready: list[CallState] = []
        for call in self._ledger.state.open_calls:
            call_id = call.call.call_id
            if call_id in self._running or (call.phase == "asked" and call_id not in self._approved):
                continue

            if self._answers_itself(call, ready):
                continue

            if self._must_ask(call):
                self._ask(call, "The asker wants to approve each call of this tool.")
                continue

            if not self._has_place(ready):
                break

            if self._is_too_many(call, ready):
                self.limit = "calls"
                break

            ready.append(call)
        self._begin(ready)

    def take(self, told: Returned | HandedOver | PersonDecided | PersonAsked | Moved | CallIdles) -> None:
        """Take what is told of a call; of one that is not open it changes nothing."""
        match told:
            case Returned():
                self._returned(told)
            case HandedOver():
                self._handed_over(told)
            case PersonDecided():
                self._decided(told)
            case PersonAsked():
                self._person_asked(told)
            case Moved():
                self._moved(told)
            case CallIdles():
                self._idles(told)

    def _returned(self, told: Returned) -> None:
        """Take a result, or the word that a person must be asked."""
        call = self._on_its_way(told.call_id)
        if call is None:
            return

        self._running.discard(told.call_id)
        if told.result.code != "asked":
            self._end(call, told.result)
        elif self._ledger.state.plan.door == "responses":
            self._want(call, told.result)
        else:
            self._ask(call, told.result.text, approval=told.approval)

    def _handed_over(self, told: HandedOver) -> None:
        """Let another agent go on; the first of a turn wins."""
        call = self._on_its_way(told.call_id)
        if call is None:
            return

        self._running.discard(told.call_id)
        result_id = self._ledger.mint("res_")
        if self._has_handed_over:
            message = "Another agent has taken over in this turn already."
            self._end(call, failed(call.call, result_id, message, "conflict"))
            return

        self._has_handed_over = True
        text = f"{told.plan.agent or 'Another agent'} goes on from here."
        result = Answered(id=result_id, call_id=told.call_id, parts=(Text(text=text),), form=call.call.form)
        self._end(call, result)
        plan = _taken_over(self._ledger.state.plan, told.plan)
        self._ledger.store(PlanChanged(at=self._ledger.now, plan=plan, reason=f"handover: {told.plan.agent}"))

    def _moved(self, told: Moved) -> None:
        """Tell how far a call is."""
        call = self._on_its_way(told.call_id)
        if call is not None:
            self._ledger.tell(
                CallMoved(
                    place=call.place,
                    call_id=told.call_id,
                    stage="progress",
                    message=told.message,
                    done=told.done,
                    total=told.total,
                )
            )

    def _idles(self, told: CallIdles) -> None:
        """Take note that the run behind a call waits for a person, or goes on."""
        (self.idle.add if told.is_idle else self.idle.discard)(told.call_id)
        call = self._on_its_way(told.call_id)
        if call is not None:
            stage, message = ("asked", _WAITS) if told.is_idle else ("progress", "")
            self._ledger.tell(CallMoved(place=call.place, call_id=told.call_id, stage=stage, message=message))

    def _person_asked(self, told: PersonAsked) -> None:
        """Keep which approval a call waits for."""
        call = self._waiting(told.call_id)
        if call is not None and call.approval != told.approval:
            self._ledger.store(
                CallAsked(
                    at=self._ledger.now,
                    call_id=told.call_id,
                    approval=told.approval,
                    reason=call.reason,
                    is_repeat=call.is_repeat,
                )
            )

    def _decided(self, told: PersonDecided) -> None:
        """Take the person's answer: the call is made, or its result is the no."""
        call = self._waiting(told.call_id)
        if call is None or told.call_id in self._approved:
            return

        if told.is_approved:
            self._approved.add(told.call_id)
            return

        if call.is_repeat:
            message, code = _UNKNOWN, "unknown_outcome"
        else:
            reason = f": {told.reason}" if told.reason else "."
            message, code = f"The person did not allow this call{reason}", "denied"
        self._end(call, failed(call.call, self._ledger.mint("res_"), message, code))

    def close_all(self) -> None:
        """End whatever is open: the run is over."""
        for call in self._ledger.state.open_calls:
            call_id = call.call.call_id
            if call_id in self._running:
                self._running.discard(call_id)
                self._ledger.order(StopCall(call_id=call_id))
            self._finish(call, failed(call.call, self._ledger.mint("res_"), CUT_OFF, "cancelled"))

    def _on_its_way(self, call_id: str) -> CallState | None:
        return self._ledger.state.calls.get(call_id) if call_id in self._running else None

    def _waiting(self, call_id: str) -> CallState | None:
        call = self._ledger.state.calls.get(call_id)
        return call if call is not None and call.phase == "asked" else None

    def _has_place(self, ready: Sequence[CallState]) -> bool:
        return len(self._running) + len(ready) < max(1, self._ledger.state.plan.limits.parallel_calls)

    def _is_too_many(self, call: CallState, ready: Sequence[CallState]) -> bool:
        """Whether the run may not make this call as well; one that is repeated was counted."""
        state = self._ledger.state
        made = state.calls_made + sum(not each.attempts for each in ready)
        return not call.attempts and made >= state.plan.limits.calls

    def _is_withheld(self, call: CallState, ready: Sequence[CallState]) -> bool:
        """Whether `max_tool_calls` of the asker is used up."""
        state = self._ledger.state
        most = state.plan.hosted_calls
        if most is None or call.attempts or not is_hosted(call.tool):
            return False

        return state.hosted_made + sum(not each.attempts and is_hosted(each.tool) for each in ready) >= most

    def _answers_itself(self, call: CallState, ready: Sequence[CallState]) -> bool:
        """Give a call its result where nobody outside is needed for it."""
        state = self._ledger.state
        tool = call.tool
        if tool is None:
            message = f"There is no tool '{call.call.name}' here."
            self._end(call, failed(call.call, self._ledger.mint("res_"), message, "unknown_tool"))
            return True

        if self._is_withheld(call, ready):
            message = "No more calls of this kind may be made. Answer with what is known."
            self._end(call, failed(call.call, self._ledger.mint("res_"), message, "limit"))
            return True

        if tool.executor != "machine" or self._is_too_many(call, ready):
            return False

        self._ledger.store(self._begun(call))
        result = carry_out(call.call, tool, state.plan.tools, self._search, self._ledger.mint("res_"))
        self._end(call, result)
        return True

    def _must_ask(self, call: CallState) -> bool:
        tool = call.tool
        return (
            tool is not None
            and tool.approval == "always"
            and call.phase == "open"
            and call.call.approval is None
        )

    def _begun(self, call: CallState) -> CallBegun:
        return CallBegun(at=self._ledger.now, call_id=call.call.call_id, attempt=call.attempts + 1)

    def _begin(self, ready: list[CallState]) -> None:
        if not ready:
            return

        ledger = self._ledger
        ledger.store(*map(self._begun, ready))
        for call in ready:
            call_id = call.call.call_id
            assert call.tool is not None
            self._running.add(call_id)
            self._approved.discard(call_id)
            ledger.tell(CallMoved(place=call.place, call_id=call_id, stage="started"))
            made = call.call
            if call.approval is not None:
                made = msgspec.structs.replace(made, approval=call.approval)
            waits_s = 0.0 if ledger.state.plan.door == "responses" else ledger.state.plan.waits_for_person_s
            ledger.order(MakeCall(call=made, tool=call.tool, waits_for_person_s=waits_s))

    def _ask(
        self, call: CallState, reason: str, *, approval: ApprovalId | None = None, is_repeat: bool = False
    ) -> None:
        assert call.tool is not None
        asked = CallAsked(
            at=self._ledger.now,
            call_id=call.call.call_id,
            approval=approval,
            reason=reason,
            is_repeat=is_repeat,
        )
        self._ledger.store(asked)
        self._ask_again(call)

    def _ask_again(self, call: CallState) -> None:
        assert call.tool is not None
        self._ledger.tell(
            CallMoved(place=call.place, call_id=call.call.call_id, stage="asked", message=call.reason)
        )
        self._ledger.order(
            AskPerson(call=call.call, tool=call.tool, reason=call.reason, approval=call.approval)
        )

    def _want(self, call: CallState, result: Answered) -> None:
        """Let the asker decide by another request: the call ends, and the question is an item."""
        self._end(call, result)
        made = call.call
        wanted = Wanted(
            id=self._ledger.mint("mcpr_"),
            call_id=self._ledger.mint("call_"),
            name=made.name,
            server=made.server,
            tool=made.tool or made.name,
            arguments=made.arguments,
        )
        self._ledger.store(ItemsAdded(at=self._ledger.now, items=(wanted,)))
        self._ledger.tell_whole(len(self._ledger.state.places) - 1, wanted)

    def _end(self, call: CallState, result: Answered) -> None:
        """Take a result, unless the same was seen too often."""
        limits = self._ledger.state.plan.limits
        finding = find_loop(self._ledger.state.conversation, call.call, result, limits.repeats)
        if finding == "tell":
            result = with_note(result, limits.repeats)
        elif finding == "end":
            self.limit = "loop"
        self._finish(call, result)

    def _finish(self, call: CallState, result: Answered) -> None:
        call_id = call.call.call_id
        self._approved.discard(call_id)
        result = msgspec.structs.replace(result, call_id=call_id, form=call.call.form)
        self._ledger.store(CallEnded(at=self._ledger.now, result=result))
        stage = "failed" if result.is_error else "finished"
        self._ledger.tell(
            CallMoved(place=call.place, call_id=call_id, stage=stage),
            ItemEnded(place=call.place, item=ended_call(call.call, result), result=result),
        )


def find_approved(state: RunState, mint: Mint) -> tuple[Called, ...]:
    """Return the calls that the asker has allowed by this request, as they are now to be made."""
    conversation = state.conversation
    wanted = {each.id: each for each in conversation if isinstance(each, Wanted)}
    made = {each.approval for each in conversation if isinstance(each, Called)}
    called = {each.call_id for each in conversation if isinstance(each, Called | Answered)}
    tools = {each.name: each for each in state.plan.tools}
    allowed = (each.wanted for each in state.input if isinstance(each, Decided) and each.is_approved)
    asked = [wanted[each] for each in dict.fromkeys(allowed) if each in wanted and each not in made]
    return tuple(
        _approved_call(each, tools.get(each.name), mint) for each in asked if each.call_id not in called
    )


def _approved_call(wanted: Wanted, tool: PlannedTool | None, mint: Mint) -> Called:
    form: CallForm = "mcp" if tool is None else tool.form
    return Called(
        id=mint(ID_PREFIXES[form]),
        call_id=wanted.call_id,
        name=wanted.name,
        arguments=wanted.arguments,
        form=form,
        by_client=False,
        server=wanted.server,
        tool=wanted.tool,
        approval=wanted.id,
    )


def _is_repeatable(tool: PlannedTool | None) -> bool:
    return tool is None or tool.is_idempotent or tool.executor in _REPEATABLE


def _taken_over(before: Plan, after: Plan) -> Plan:
    """Return the plan of the agent that goes on, under the limits and in the name of who began."""
    return msgspec.structs.replace(
        after,
        principal=before.principal,
        limits=before.limits,
        hosted_calls=before.hosted_calls,
        priority=before.priority,
        door=before.door,
        waits_for_person_s=before.waits_for_person_s,
    )
