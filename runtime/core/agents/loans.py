"""What is kept of the servers of a request, so that its background run has them after a restart.

    begun ── keep (sealed) ── restart ── find ── lent again ── ended ── forget
The definitions hold logins: on disk they lie sealed, bound to their tenant and their run, until the run ends.
"""

import logging
from collections.abc import Collection
from typing import Any, Protocol

import msgspec

from runtime.core.agents.hub_tools import lent_servers
from runtime.core.agents.plans import Plan
from runtime.core.agents.ports import Lent, Records
from runtime.core.errors import Fault, LarError
from runtime.core.gate.principals import Principal
from runtime.core.ids import RunId, TenantId

logger = logging.getLogger(__name__)

KIND = "loan"
_PAGE = 200


class SealBroken(Exception):
    """What is to be opened was not sealed by this home for this tenant, or it was changed."""


class Seals(Protocol):
    """Authenticated encryption with a key of this home."""

    def close(self, tenant: TenantId, text: str) -> str:
        """Return the text so that only this home can read it."""

    def unseal(self, tenant: TenantId, sealed: str) -> str:
        """Return the text. Raises SealBroken."""


class _Loan(msgspec.Struct, frozen=True, kw_only=True):
    run: RunId
    """It is this run's and no other's, wherever the record lies."""
    definitions: dict[str, dict[str, Any]]
    owner: Principal | None


class Loans:
    """The servers of background runs, sealed."""

    def __init__(self, records: Records, seals: Seals) -> None:
        self._records = records
        self._seals = seals

    async def keep(self, tenant: TenantId, run: RunId, lent: Lent) -> None:
        """Keep what a run's servers are, until it is forgotten. Raises StoreFull."""
        loan = _Loan(run=run, definitions=dict(lent.definitions), owner=lent.owner)
        sealed = self._seals.close(tenant, msgspec.json.encode(loan).decode())
        await self._records.put(tenant, KIND, run, sealed.encode())

    async def find(self, tenant: TenantId, run: RunId, plan: Plan) -> Lent | None:
        """Return the servers that a run's tools are at; None where it needs none.

        Raises LarError where they are gone: it says whose logins.
        """
        labels = lent_servers(plan.tools)
        if not labels:
            return None

        body = await self._records.get(tenant, KIND, run)
        if body is None:
            raise LarError(_gone(labels, "nothing is kept of them"))
        try:
            loan = msgspec.json.decode(self._seals.unseal(tenant, body.decode()), type=_Loan)
        except (SealBroken, UnicodeDecodeError, msgspec.DecodeError) as problem:
            raise LarError(_gone(labels, "what was kept of them cannot be opened here")) from problem
        if loan.run != run:
            raise LarError(_gone(labels, "what was kept of them is another run's"))
        return Lent({each: told for each, told in loan.definitions.items() if each in labels}, loan.owner)

    async def forget(self, tenant: TenantId, run: RunId) -> None:
        """Drop what is kept of a run that has ended; what cannot be dropped now goes with the next start."""
        try:
            await self._records.remove(tenant, KIND, run)
        except LarError as problem:
            logger.warning(
                "servers of a run are not forgotten yet",
                extra={"run_id": run, "cause": problem.fault.message},
            )

    async def sweep(self, unfinished: Collection[RunId]) -> None:
        """Drop what is kept of runs that go on no more."""
        after: str | None = None
        while page := await self._records.list_records(None, KIND, after=after, limit=_PAGE):
            for tenant, key, _ in page:
                if key not in unfinished:
                    await self.forget(tenant, RunId(key))
            after = page[-1][1]


def _gone(labels: Collection[str], why: str) -> Fault:
    named = ", ".join(f"'{each}'" for each in sorted(labels))
    message = (
        f"The MCP servers {named} came with the request (tools[].server_url, authorization, headers), and "
        f"after a restart of Lar {why}. Send the request again, with their logins."
    )
    return Fault(code="conflict", message=message, param="tools")
