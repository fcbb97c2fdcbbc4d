"""Snapshots that the server gives to whoever opens a screen; events keep them true afterwards."""

from typing import Literal

import msgspec

from runtime.core.errors import Fault
from runtime.core.events import Progress
from runtime.core.ids import ModelId

ModelStage = Literal["available", "installing", "installed", "loading", "loaded", "broken"]
"""available: known, not installed · installed: on disk, not loaded · broken: last load or install failed."""

Feature = Literal[
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
    "typical_p",
    "custom_tools",
    "completions",
    "suffix",
    "images",
    "adapters",
    "embeddings",
    "rerank",
    "tokenize",
]
"""What an engine honours beyond temperature, top_p, stop and limits; the API refuses the rest by name."""


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """One model as people and programs see it."""

    id: ModelId
    engine: str
    stage: ModelStage
    is_default: bool = False
    created: int = 0
    """Seconds since the epoch; when the weights came to be here, 0 before."""
    size_bytes: int | None = None
    licence: str | None = None
    context_tokens: int | None = None
    sequences: int = 1
    running: int = 0
    """Runs that generate now."""
    waiting: int = 0
    """Runs in the queue."""
    features: frozenset[Feature] = frozenset()
    gauges: dict[str, float] = {}
    """What the engine counts of itself while it is loaded, by name; a heartbeat old."""
    progress: Progress | None = None
    """Of the install or the load that is under way."""
    fault: Fault | None = None
    """Why the stage is broken."""


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole server at one moment."""

    version: str
    address: str
    started_at: float
    """Seconds since the epoch."""
    seq: int
    """Follow the events from here: everything up to it is in this snapshot."""
    models: tuple[ModelState, ...]
