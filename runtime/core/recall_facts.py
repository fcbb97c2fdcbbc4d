"""The facts of Recall. No text of a document, of an item or of a query is in any of them."""

from runtime.core.fact import Fact
from runtime.core.ids import CollectionId, DocumentId, JobId, SourceId


class RecallIngested(Fact, frozen=True, kw_only=True, tag="recall.ingested"):
    """A document can be found by its words and by its meaning."""

    collection: CollectionId
    document: DocumentId
    name: str
    chunks: int


class RecallFailed(Fact, frozen=True, kw_only=True, tag="recall.failed"):
    """A document could not be taken in."""

    collection: CollectionId
    document: DocumentId
    name: str
    code: str
    message: str


class RecallForgotten(Fact, frozen=True, kw_only=True, tag="recall.forgotten"):
    """Documents or items were removed everywhere."""

    collection: CollectionId
    documents: int = 0
    items: int = 0


class RecallSearched(Fact, frozen=True, kw_only=True, tag="recall.searched"):
    """A search was answered."""

    collections: tuple[CollectionId, ...]
    hits: int
    took_s: float
    is_degraded: bool = False
    """Whether an arm could not take part."""


class SourceSynced(Fact, frozen=True, kw_only=True, tag="recall.source_synced"):
    """A source was looked at; what changed there changed here."""

    collection: CollectionId
    source: SourceId
    uri: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    failed: int = 0
    fault: str | None = None
    """Why nothing could be looked at."""


class RecallJobEnded(Fact, frozen=True, kw_only=True, tag="recall.job_ended"):
    """Work behind the scenes came to its end."""

    job: JobId
    job_kind: str
    status: str
    done: int = 0
    failed: int = 0


RecallFact = RecallIngested | RecallFailed | RecallForgotten | RecallSearched | SourceSynced | RecallJobEnded
