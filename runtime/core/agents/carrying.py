"""How the calls of a run are carried out: side by side, each by its executor, each cancelled by itself.

    hub ─ the servers' tools    hosted ─ Lar's own    agent ─ a child run    handover ─ another agent's plan
Whatever goes wrong is a result that the model can read.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import anyio

from runtime.core.agents.callers import caller_of
from runtime.core.agents.children import Children
from runtime.core.agents.items import Answered
from runtime.core.agents.moves import AnyTold, HandedOver, MakeCall, Moved, Returned
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.ports import HostedTool, ToolSource
from runtime.core.agents.results import failed
from runtime.core.agents.steps import RunRecord
from runtime.core.clock import Clock
from runtime.core.errors import LarError
from runtime.core.ids import ApprovalId

logger = logging.getLogger(__name__)

_PROGRESS_GAP_S = 0.25
"""Between two words of how far a call is; servers may say it a thousand times a second."""


class Naming(Protocol):
    """Finds what a lent server's tool is called in the hub."""

    async def __call__(self, tool: PlannedTool) -> PlannedTool:
        """Return the tool under its name of now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Executors:
    """Who carries calls out."""

    source: ToolSource
    hosted: Mapping[str, HostedTool]
    """By the tool's own name, or by its form."""
    children: Children
    clock: Clock


class Carrier:
    """The calls of one run that are on their way."""

    def __init__(self, executors: Executors, tell: Callable[[AnyTold], None], naming: Naming) -> None:
        self._executors = executors
        self._tell = tell
        self._naming = naming
        self._scopes: dict[str, anyio.CancelScope] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a call is on its way."""
        return bool(self._scopes)

    def stop(self, call_id: str) -> None:
        """Cancel a call; its server learns of it."""
        if call_id in self._scopes:
            self._scopes[call_id].cancel()

    async def carry_out(self, command: MakeCall, plan: Plan, record: RunRecord) -> None:
        """Carry a call out and tell the run what came of it, once."""
        call = command.call
        told: AnyTold | None = None
        with anyio.CancelScope() as scope:
            self._scopes[call.call_id] = scope
            try:
                told = await self._carry(command, plan, record)
            except LarError as problem:
                told = _returned(failed(call, problem.fault.message, problem.fault.code))
            except Exception as problem:  # the border of calls: a defect of a tool is not the run's
                logger.exception("carrying a call out", extra={"run_id": record.id, "tool": call.name})
                text = (
                    f"The tool failed inside Lar ({type(problem).__name__}). The server's log has the cause."
                )
                told = _returned(failed(call, text, "failed"))
            finally:
                del self._scopes[call.call_id]
        if told is None:
            told = _returned(failed(call, "The call was given up.", "cancelled"))
        self._tell(told)

    async def _carry(self, command: MakeCall, plan: Plan, record: RunRecord) -> AnyTold:
        call, tool, executors = command.call, command.tool, self._executors
        caller = caller_of(plan, record.id, record.session)
        move = self._mover(call.call_id)
        match tool.executor:
            case "hub":
                named = await self._naming(tool)
                wait_s = command.waits_for_person_s
                return _returned(await executors.source.call(caller, call, named, wait_s, move))
            case "hosted":
                hosted = executors.hosted.get(tool.tool) or executors.hosted.get(tool.name)
                hosted = hosted or executors.hosted.get(tool.form)
                if hosted is None:
                    text = f"This server cannot carry '{tool.name}' out."
                    return _returned(failed(call, text, "unknown_tool"))
                return _returned(await hosted.call(caller, call, tool, move))
            case "agent":
                return _returned(await executors.children.ask(call, tool, plan, record, move))
            case "handover":
                planned = await executors.children.plan(call, tool, plan, record)
                return HandedOver(call_id=call.call_id, plan=planned)
            case "client" | "machine":
                text = f"'{tool.name}' is not for the server to carry out."
                return _returned(failed(call, text, "unknown_tool"))

    def _mover(self, call_id: str) -> Callable[[str, float, float | None], None]:
        clock = self._executors.clock
        last_at = -_PROGRESS_GAP_S

        def move(message: str, done: float, total: float | None) -> None:
            nonlocal last_at
            now = clock.monotonic()
            if now - last_at >= _PROGRESS_GAP_S:
                last_at = now
                self._tell(Moved(call_id=call_id, message=message[:500], done=done, total=total))

        return move


def _returned(result: Answered) -> Returned:
    approval = result.extra.get("approval") if result.code == "asked" else None
    return Returned(
        call_id=result.call_id, result=result, approval=ApprovalId(approval) if approval else None
    )
