"""Snapshots that the server gives to whoever opens a screen; events keep them true afterwards."""

from typing import Literal

import msgspec

from runtime.core.errors import Fault
from runtime.core.events import Progress
from runtime.core.ids import ModelId

ModelStage = Literal["available", "installing", "installed", "loading", "loaded", "broken"]
"""available: known, not installed · installed: on disk, not loaded · broken: last load or install failed."""

Feature = Literal[
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
    needs_bytes: int | None = None
    """Main memory that it takes or would take when loaded, by estimate; None before the weights are here."""
    licence: str | None = None
    digest: str | None = None
    """SHA-256 of the weights, where the catalogue states it."""
    format: str = ""
    """How the weights are written, as their file is called: gguf, onnx."""
    parameters: int | None = None
    """Numbers in the weights, known once the model was loaded."""
    context_tokens: int | None = None
    sequences: int = 1
    running: int = 0
    """Runs that were given to the model: more than `sequences` where its engine puts them in order itself."""
    waiting: int = 0
    """Runs that wait for that."""
    features: frozenset[Feature] = frozenset()
    decides_first: bool = False
    """Whether agents ask it which tool is needed before it writes."""
    leaves_in_s: float | None = None
    """How long a loaded model stays in memory if nobody uses it from now on."""
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
