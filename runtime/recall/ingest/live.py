"""What is under way in memory: the documents at work, what holds models up, and bells that wake the stages.

Everything that must outlive the process is in the tables; this is what a restart forgets.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import anyio

from runtime.core.ids import DocumentId, JobId, ModelId

Stage = Literal["read", "vectors"]
BellName = Literal["read", "vectors", "tidy"]


class Bell:
    """Wakes everybody who waits. Take `next` before looking for work: a ring meanwhile is not missed."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    @property
    def next(self) -> anyio.Event:
        """Set at the next ring."""
        return self._event

    def ring(self) -> None:
        """Wake all who wait."""
        event, self._event = self._event, anyio.Event()
        event.set()


class Live:
    """Shared by jobs and stages."""

    def __init__(self) -> None:
        self.bells: dict[BellName, Bell] = {"read": Bell(), "vectors": Bell(), "tidy": Bell()}
        self.held: dict[ModelId, str] = {}
        """Why nothing is embedded with a model at present."""
        self.learnt: set[int] = set()
        """Spaces whose dimensions nobody asked for."""
        self.on_stop: list[Callable[[Sequence[DocumentId]], None]] = []
        """Called with documents whose vectors nobody wants any more."""
        self._scopes: dict[DocumentId, anyio.CancelScope] = {}
        self._names: dict[DocumentId, str] = {}
        self._job_bells: defaultdict[JobId, Bell] = defaultdict(Bell)

    @property
    def reading(self) -> list[DocumentId]:
        """The documents that are being read."""
        return [*self._scopes]

    @property
    def names(self) -> dict[DocumentId, str]:
        """The documents at work, by their names; the one begun last comes last."""
        return self._names

    def begin_reading(self, document: DocumentId) -> anyio.CancelScope:
        """Note that a document is being read; the scope is cancelled when it is to be stopped."""
        self._scopes[document] = anyio.CancelScope()
        return self._scopes[document]

    def end_reading(self, document: DocumentId) -> None:
        """Note that a document is not being read any more."""
        self._scopes.pop(document, None)
        self._names.pop(document, None)

    def stop(self, documents: Sequence[DocumentId]) -> None:
        """Stop what is being done with these documents."""
        for document in documents:
            if (scope := self._scopes.get(document)) is not None:
                scope.cancel()
        for callback in self.on_stop:
            callback(documents)

    def ring_all(self) -> None:
        """Let every stage look for work."""
        for bell in self.bells.values():
            bell.ring()

    def job_bell(self, job: JobId) -> Bell:
        """Return the bell that rings when a job has ended."""
        return self._job_bells[job]

    def end_jobs(self, jobs: Iterable[JobId]) -> None:
        """Wake those who wait for these jobs."""
        for job in jobs:
            self._job_bells.pop(job, Bell()).ring()
