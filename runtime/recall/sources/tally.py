"""What a look has found so far, and what is made of a find: a name that can be stored, an entry."""

from dataclasses import dataclass, field

from runtime.core.ids import DocumentId
from runtime.core.knowledge import DocumentFault
from runtime.recall.ingest.intake import NAME_LIMIT
from runtime.recall.sources.origin import Changed, Entry, Finished, Gone, Refused


@dataclass(slots=True)
class Tally:
    """What a look has found so far."""

    listed: int = 0
    same: int = 0
    stored: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    refused: list[Refused] = field(default_factory=list)
    found: set[str] = field(default_factory=set)
    gone: list[Gone] = field(default_factory=list)
    finished: Finished | None = None
    fault: DocumentFault | None = None
    retry_after_s: float | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of this look."""
        told = () if self.finished is None else self.finished.notes
        if not self.refused:
            return told
        first = self.refused[0]
        what = "entry" if len(self.refused) == 1 else "entries"
        return (*told, f"{len(self.refused)} {what} could not be had: {first.key}: {first.fault.message}")


def entry_of(seen: Changed, document: DocumentId | None) -> Entry:
    """Return what is remembered of an entry whose document was stored."""
    return Entry(
        key=seen.key,
        stamp=seen.stamp,
        etag=seen.etag,
        last_modified=seen.last_modified,
        document=document,
    )


def name_of(seen: Changed) -> str:
    """Return a name that can be stored, whatever the place calls it."""
    for told in (seen.name, seen.title, seen.key):
        name = "".join(each for each in told if each.isprintable()).strip()[:NAME_LIMIT]
        if name:
            return name
    return "unnamed"
