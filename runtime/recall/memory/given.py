"""What the memory is given by the rest of Recall: ports, and all of them together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.core.clock import Clock
from runtime.core.fact import Fact
from runtime.core.ids import CollectionId, JobId, SourceId, TenantId
from runtime.core.knowledge import DocumentFault, Found, Job, JobKind, Query
from runtime.core.memories import Scope
from runtime.core.recall import Embedder
from runtime.recall.marks import Marks, Shelfmark
from runtime.recall.parts import VectorArm
from runtime.recall.truth import Truth


class Homes(Protocol):
    """Knows, and makes, the collection that a tenant's memory is."""

    async def memory_of(self, tenant: TenantId) -> Shelfmark:
        """Return where the tenant's memory stands; makes it on first use."""


class SearchIn(Protocol):
    """Searches namespaces; the caller answers for their being the tenant's."""

    async def __call__(
        self, tenant: TenantId, marks: Sequence[Shelfmark], query: Query, scope: Scope | None
    ) -> Found:
        """Return hits that a scope sees; None sees all."""


class DrivenJobs(Protocol):
    """Jobs that their beginner drives."""

    async def find(self, tenant: TenantId, job: JobId) -> Job:
        """Return one. Raises NotFound."""

    async def begin(
        self,
        tenant: TenantId,
        kind: JobKind,
        collection: CollectionId | None = None,
        source: SourceId | None = None,
    ) -> Job:
        """Begin a job."""

    def adopt(self, job: JobId) -> None:
        """Take up a job of a former process."""

    def progress(
        self,
        job: JobId,
        *,
        total: int | None = None,
        done: int | None = None,
        failed: int | None = None,
        current: str | None = None,
    ) -> bool:
        """Note how far a job is; return whether it goes on."""

    async def end(self, job: JobId, fault: DocumentFault | None = None) -> None:
        """End a job; does nothing where it was cancelled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """All that the memory stands on."""

    truth: Truth
    marks: Marks
    homes: Homes
    search_in: SearchIn
    vectors: VectorArm
    embedder: Embedder
    jobs: DrivenJobs
    clock: Clock
    publish: Callable[[Fact, TenantId], object]
    """Tells the bus a fact of a tenant; never waits."""
    heal: Callable[[int], None]
    """Makes the vectors that chunks of a namespace lack, in the background."""
