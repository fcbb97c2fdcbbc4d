"""Models and a journal in memory; fulfil `core.ports.Models` and `core.ports.Journal`."""

from collections.abc import Sequence

import anyio
import msgspec

from runtime.core.errors import Fault, ModelUnavailable
from runtime.core.events import Envelope, Progress
from runtime.core.ids import ModelId
from runtime.core.ports import EventQuery
from runtime.core.states import Feature, ModelStage, ModelState

ALL_FEATURES: frozenset[Feature] = frozenset(
    {
        "chat",
        "tools",
        "response_format",
        "logprobs",
        "logit_bias",
        "penalties",
        "seed",
        "reasoning",
        "min_p",
        "top_k",
        "ignore_eos",
    }
)


def known_model(
    model: str, stage: ModelStage = "loaded", features: frozenset[Feature] = ALL_FEATURES
) -> ModelState:
    """Return a model as the pool would describe it."""
    return ModelState(
        id=ModelId(model), engine="scripted", stage=stage, features=features, created=1_600_000_000
    )


class FakeModels:
    """Fulfils `core.ports.Models`; an install gets as far as its first progress and stays there."""

    def __init__(self, *models: ModelState) -> None:
        self.states = {each.id: each for each in models}
        self.installs: list[ModelId] = []
        self.unloads: list[ModelId] = []

    def list_models(self) -> Sequence[ModelState]:
        return list(self.states.values())

    def find_model(self, model: ModelId) -> ModelState | None:
        return self.states.get(model)

    def start_install(self, model: ModelId) -> ModelState:
        self._check(model)
        self.installs.append(model)
        progress = Progress(phase="building llama.cpp", done=34, total=100, left_s=170)
        self.states[model] = msgspec.structs.replace(
            self.states[model], stage="installing", progress=progress
        )
        return self.states[model]

    async def unload(self, model: ModelId) -> bool:
        self._check(model)
        self.unloads.append(model)
        was_loaded = self.states[model].stage == "loaded"
        self.states[model] = msgspec.structs.replace(self.states[model], stage="installed")
        return was_loaded

    def _check(self, model: ModelId) -> None:
        if model not in self.states:
            raise ModelUnavailable(Fault(code="model_not_found", message=f"No model '{model}'."))


class FakeJournal:
    """Fulfils `core.ports.Journal`. `problem` makes every call fail."""

    def __init__(self, *stored: Envelope) -> None:
        self.stored = list(stored)
        self.queries: list[EventQuery] = []
        self.problem: Exception | None = None
        self.is_healthy = True

    async def append(self, envelopes: Sequence[Envelope]) -> None:
        self.stored += envelopes

    async def settle(self, seq: int) -> None:
        await anyio.lowlevel.checkpoint()

    async def read(self, query: EventQuery) -> list[Envelope]:
        self.queries.append(query)
        await anyio.lowlevel.checkpoint()
        if self.problem is not None:
            raise self.problem
        found = [each for each in self.stored if each.seq > query.after and _is_wanted(each, query)]
        return found[: query.limit]

    async def last_seq(self) -> int:
        if self.problem is not None:
            raise self.problem
        return self.stored[-1].seq if self.stored else 0

    async def seq_before_newest(self, count: int) -> int:
        return self.stored[-count - 1].seq if len(self.stored) > count else 0


def _is_wanted(envelope: Envelope, query: EventQuery) -> bool:
    if query.run_id is not None and envelope.run_id != query.run_id:
        return False
    group = f"{envelope.kind.partition('.')[0]}.*"
    return not query.kinds or envelope.kind in query.kinds or group in query.kinds
