"""How often a run was taken up in a row without getting further: one that takes the server down is ended.

    the server dies ── taken up, noted first ── it dies again ── … ── too often: the run fails, and says why
Only runs at work count, not those that wait for a person or a place, and no stop that was asked for.
"""

from collections.abc import Sequence

import msgspec

from runtime.core.agents.ports import Records
from runtime.core.agents.steps import (
    AnyStep,
    CallEnded,
    ContextCompacted,
    ItemsAdded,
    PlanChanged,
    RunRecord,
    TurnEnded,
)
from runtime.core.errors import Fault, LarError
from runtime.core.ids import RunId, TenantId

MOST_TIMES = 3
"""So often a run is taken up at the same place."""
_KIND = "retaken"


class _Retaken(msgspec.Struct):
    done: int
    """Steps that had got it further."""
    times: int


class Retakes:
    """Counts, on disk."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def take(self, record: RunRecord, steps: Sequence[AnyStep]) -> None:
        """Note that a run goes on. Raises LarError where that came to nothing too often, StoreFull."""
        if record.status != "in_progress":
            return

        tenant, done = TenantId(record.tenant), sum(map(_is_further, steps))
        body = await self._records.get(tenant, _KIND, record.id)
        known = None if body is None else msgspec.json.decode(body, type=_Retaken)
        times = 1 if known is None or known.done != done else known.times + 1
        if times > MOST_TIMES:
            raise LarError(_fault(record.id, len(steps)))
        noted = msgspec.json.encode(_Retaken(done=done, times=times))
        await self._records.put(tenant, _KIND, record.id, noted)

    async def forget(self, tenant: TenantId, run: RunId) -> None:
        """Forget a run that has ended, or that was left whole."""
        await self._records.remove(tenant, _KIND, run)


def _is_further(step: AnyStep) -> bool:
    """Whether a step got its run further; the end of a turn that was cut off did not."""
    match step:
        case TurnEnded():
            return step.reason != "cancelled"
        case CallEnded() | ItemsAdded() | ContextCompacted() | PlanChanged():
            return True
        case _:
            return False


def _fault(run: RunId, steps: int) -> Fault:
    return Fault(
        code="internal_error",
        message=f"The server died {MOST_TIMES + 1} times while this run was at work and got no further. It "
        "is not taken up again. The server's log may tell why. "
        f"'lar agents fork {run} --after {steps}' goes on from its last step.",
    )
