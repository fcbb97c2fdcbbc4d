"""The MCP server `system`: how this Lar is, its models, what it counts. It changes nothing."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import msgspec
import psutil
from mcp.server import Server

from runtime.core.clock import Clock
from runtime.core.ports import Models
from runtime.core.states import ModelState
from runtime.core.tools import ToolHints
from runtime.mcp.servers.offering import READS, Call, Offer, Readable, told, tool_server

_INSTRUCTIONS = "Tells how the Lar that serves you is: its machine, its models, its counters, its runs."
_SERIES_LIMIT = 500
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_LOOKS = msgspec.structs.replace(READS, is_idempotent=False)


class SystemParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the server looks at."""

    models: Models
    clock: Clock
    version: str
    started_at: float
    address: Callable[[], str]
    home: Path
    metrics: Callable[[], bytes]
    """All series in Prometheus' text form."""


class NothingGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No arguments."""


class MetricsGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of metrics."""

    prefix: Annotated[str, told("Only series whose names begin so", max_length=100)] = "lar_"
    limit: Annotated[int, told("Series at most", ge=1, le=_SERIES_LIMIT)] = 100


class StatusResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of status."""

    version: str
    address: str
    uptime_s: float
    loaded_models: list[str]
    running: int
    waiting: int
    """Generations that run, and that wait for a model."""
    cores: int
    load: float
    """Processes that wanted a core, over the last minute."""
    memory_bytes: int
    memory_free_bytes: int
    disk_free_bytes: int


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """A model."""

    id: str
    stage: str
    engine: str
    is_default: bool
    features: list[str]
    size_bytes: int | None
    context_tokens: int | None
    running: int
    waiting: int
    fault: str | None = None


class ModelsResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of models."""

    models: list[ModelLine]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A counter or a gauge."""

    name: str
    labels: dict[str, str]
    value: float


class MetricsResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of metrics."""

    series: list[Series]
    is_more: bool


def system_server(parts: SystemParts, runs: Readable | None = None) -> Server[Any]:
    """Return the server; its resources are the runs."""

    async def status(_: NothingGiven, __: Call) -> StatusResult:
        return await anyio.to_thread.run_sync(_status, parts)

    async def models(_: NothingGiven, __: Call) -> ModelsResult:
        return ModelsResult(models=[_line(each) for each in parts.models.list_models()])

    async def metrics(given: MetricsGiven, _: Call) -> MetricsResult:
        found = _series(parts.metrics().decode(), given.prefix)
        return MetricsResult(series=found[: given.limit], is_more=len(found) > given.limit)

    def offer(
        name: str, title: str, text: str, given: Any, result: Any, work: Any, hints: ToolHints
    ) -> Offer:
        return Offer(name, title, text, given, result, work, hints, "observe")

    text = "Tell version, uptime, load, memory and disk of this Lar and its machine."
    counted = "Tell what Lar counts: requests, runs, tokens, times. Series have names, labels and a value."
    return tool_server(
        "system",
        "System",
        _INSTRUCTIONS,
        (
            offer("status", "Status", text, NothingGiven, StatusResult, status, _LOOKS),
            offer(
                "models",
                "Models",
                "List every model that this Lar knows, and what each is doing.",
                NothingGiven,
                ModelsResult,
                models,
                _LOOKS,
            ),
            offer("metrics", "Metrics", counted, MetricsGiven, MetricsResult, metrics, _LOOKS),
        ),
        runs,
    )


def _status(parts: SystemParts) -> StatusResult:
    known = parts.models.list_models()
    memory = psutil.virtual_memory()
    return StatusResult(
        version=parts.version,
        address=parts.address(),
        uptime_s=round(parts.clock.now() - parts.started_at, 1),
        loaded_models=[each.id for each in known if each.stage == "loaded"],
        running=sum(each.running for each in known),
        waiting=sum(each.waiting for each in known),
        cores=psutil.cpu_count() or 1,
        load=round(psutil.getloadavg()[0], 2),
        memory_bytes=memory.total,
        memory_free_bytes=memory.available,
        disk_free_bytes=psutil.disk_usage(str(parts.home)).free,
    )


def _line(model: ModelState) -> ModelLine:
    return ModelLine(
        id=model.id,
        stage=model.stage,
        engine=model.engine,
        is_default=model.is_default,
        features=sorted(model.features),
        size_bytes=model.size_bytes,
        context_tokens=model.context_tokens,
        running=model.running,
        waiting=model.waiting,
        fault=None if model.fault is None else model.fault.message,
    )


def _series(text: str, prefix: str) -> list[Series]:
    """Return the samples of Prometheus' text form; buckets of histograms are left out."""
    found: list[Series] = []
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is None or not sample["name"].startswith(prefix):
            continue
        if sample["name"].endswith(("_bucket", "_created")):
            continue
        labels = dict(_LABEL.findall(sample["labels"] or ""))
        found.append(Series(name=sample["name"], labels=labels, value=float(sample["value"])))
    return found
