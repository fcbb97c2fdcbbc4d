"""What the core and the HTTP edge expect of their adapters; tests/contract holds one suite per port."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from runtime.core.events import Envelope
from runtime.core.ids import ModelId, RunId, WorkerId
from runtime.core.messages import Output, Request
from runtime.core.states import ModelState


class Generation(Protocol):
    """One sequence being generated. Iterating yields outputs up to and with Ended or Broke."""

    def __aiter__(self) -> AsyncIterator[Output]:
        """Yield outputs in order. Not reading holds the sequence back once its credits are spent."""

    def cancel(self) -> None:
        """Ask to stop within one step; Ended(reason="cancelled") still comes. Does not wait."""


class Lease(Protocol):
    """A resident model that stays resident while the lease lasts."""

    @property
    def worker(self) -> WorkerId:
        """The worker that serves."""

    def generate(self, request: Request, index: int) -> AbstractAsyncContextManager[Generation]:
        """Submit one choice of the request; leaving the context cancels it if it still lives.

        Raises WorkerFailed when the worker is gone already.
        """


class ModelPool(Protocol):
    """Keeps models resident within limits."""

    def lease(self, model: ModelId) -> AbstractAsyncContextManager[Lease]:
        """Make the model resident (loading it, evicting an idle one) and hold it. Raises ModelUnavailable."""


class Models(Protocol):
    """The models that this Lar knows, and their installs."""

    def list_models(self) -> Sequence[ModelState]:
        """Return every known model, the default one first."""

    def find_model(self, model: ModelId) -> ModelState | None:
        """Return one model; None where the id is unknown."""

    def start_install(self, model: ModelId) -> ModelState:
        """Begin to install what is missing, if anything. Raises ModelUnavailable if unknown."""

    async def unload(self, model: ModelId) -> bool:
        """Free a resident model once its runs end; False where it was not resident.

        Raises ModelUnavailable if unknown.
        """


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which stored facts to read, oldest first."""

    after: int = 0
    """Only facts with a greater seq."""
    kinds: frozenset[str] = frozenset()
    """Exact kinds (`run.started`) or whole groups (`run.*`); empty: all."""
    run_id: RunId | None = None
    limit: int = 1000


class Journal(Protocol):
    """Stored facts."""

    @property
    def is_healthy(self) -> bool:
        """Whether facts can be stored; False from a failure until it works again."""

    async def append(self, envelopes: Sequence[Envelope]) -> None:
        """Store facts; returns once they survive a crash of this process and of the machine."""

    async def settle(self, seq: int) -> None:
        """Return once every fact of the bus up to `seq` is stored; waits as long as the disk refuses."""

    async def read(self, query: EventQuery) -> list[Envelope]:
        """Return stored facts, oldest first."""

    async def last_seq(self) -> int:
        """Return the greatest stored seq, 0 when nothing is stored."""

    async def seq_before_newest(self, count: int) -> int:
        """Return the seq after which the newest `count` facts come, 0 when fewer are stored."""
