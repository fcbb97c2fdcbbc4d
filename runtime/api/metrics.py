"""Prometheus metrics: counters fed by facts from the bus and by the request middleware, gauges at scrape.

`observe` is a plain match over facts; it owns no task. Labels are closed lists or names from the
catalogue, never what a client sent.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from runtime.core.bus import Bus
from runtime.core.events import (
    BackendFailed,
    BackendInstalled,
    BusLagged,
    Envelope,
    ModelEvicted,
    ModelFailed,
    ModelInstalled,
    ModelLoaded,
    RunAdmitted,
    RunCancelled,
    RunFailed,
    RunFinished,
    RunRejected,
    RunRequested,
    SeqFinished,
    WorkerAbandoned,
    WorkerExited,
    WorkerRestarted,
)
from runtime.core.ids import ModelId, RunId
from runtime.core.states import ModelState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SUBSCRIPTION_CAPACITY = 8192
"""Facts that may wait for the metrics; beyond that they are counted as missed."""

_RUNS_REMEMBERED = 4096
"""Live runs whose model is remembered; a bound in case a terminal fact is missed."""
_LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_TOKEN_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_GAUGES_LIMIT = 64
"""Series that one engine may add for one model."""
_GAUGE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_UNKNOWN = ModelId("unknown")


class _ModelGauges(Collector):
    """What the models are doing at the moment of the scrape."""

    def __init__(self) -> None:
        self.models: Sequence[ModelState] = ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one family per gauge."""
        running = GaugeMetricFamily("lar_runs_running", "Runs that generate now.", labels=["model"])
        waiting = GaugeMetricFamily("lar_queue_length", "Runs that wait for a place.", labels=["model"])
        loaded = GaugeMetricFamily("lar_model_loaded", "1 where the model is in memory.", labels=["model"])
        engine = GaugeMetricFamily(
            "lar_engine_gauge", "What a loaded model's engine counts of itself.", labels=["model", "name"]
        )
        for model in self.models:
            running.add_metric([model.id], model.running)
            waiting.add_metric([model.id], model.waiting)
            loaded.add_metric([model.id], 1.0 if model.stage == "loaded" else 0.0)
            for name, value in _known_gauges(model.gauges):
                engine.add_metric([model.id, name], value)
        yield from (running, waiting, loaded, engine)


def _known_gauges(gauges: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return what an engine counts of itself: plain names only, and not too many of them."""
    plain = sorted((name, value) for name, value in gauges.items() if _GAUGE_NAME.fullmatch(name))
    return plain[:_GAUGES_LIMIT]


class Metrics:
    """All series of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._models = _ModelGauges()
        self.registry.register(self._models)
        self._model_of: OrderedDict[RunId, ModelId] = OrderedDict()
        self._requests = self._counter("lar_http_requests", "Answers by route.", "method", "route", "status")
        self._request_s = self._histogram(
            "lar_http_request_seconds", "Time to the end of the answer.", "route", buckets=_LATENCY_S
        )
        self._runs = self._counter("lar_runs", "Runs that ended.", "model", "outcome", "code")
        self._tokens = self._counter("lar_tokens", "Tokens of finished generations.", "model", "kind")
        self._first_token_s = self._histogram(
            "lar_first_token_seconds", "From submission to the first token.", "model", buckets=_LATENCY_S
        )
        self._token_s = self._histogram(
            "lar_token_seconds", "Mean time per token after the first.", "model", buckets=_TOKEN_S
        )
        self._queue_s = self._histogram(
            "lar_queue_wait_seconds", "Time in the queue of admitted runs.", "model", buckets=_LATENCY_S
        )
        self._loads = self._counter("lar_model_loads", "Models read into memory.", "model", "outcome")
        self._evictions = self._counter("lar_model_evictions", "Models freed.", "model", "reason")
        self._installs = self._counter("lar_installs", "Installs that ended.", "kind", "name", "outcome")
        self._exits = self._counter("lar_worker_exits", "Workers that ended.", "model", "expected")
        self._restarts = self._counter("lar_worker_restarts", "Workers started anew.", "model")
        self._abandoned = self._counter("lar_workers_abandoned", "Workers given up.", "model")
        self._missed = self._counter("lar_bus_missed_facts", "Facts that a reader missed.", "subscriber")

    async def follow(self, bus: Bus) -> None:
        """Observe every fact from now on, until the bus closes."""
        with bus.subscribe("metrics", SUBSCRIPTION_CAPACITY) as facts:
            async for envelope in facts:
                self.observe(envelope)

    def observe(self, envelope: Envelope) -> None:
        """Count one fact; facts without a series pass."""
        event = envelope.event
        match event:
            case (
                RunRequested() | RunAdmitted() | RunFinished() | RunRejected() | RunFailed() | RunCancelled()
            ):
                self._observe_run(event, envelope.run_id)
            case SeqFinished():
                self._observe_seq(event, self._model(envelope.run_id))
            case ModelInstalled() | ModelFailed() | BackendInstalled() | BackendFailed():
                self._observe_install(event)
            case ModelLoaded():
                self._loads.labels(event.model, "loaded").inc()
            case ModelEvicted():
                self._evictions.labels(event.model, event.reason).inc()
            case WorkerExited():
                self._exits.labels(event.model, str(event.is_expected).lower()).inc()
            case WorkerRestarted():
                self._restarts.labels(event.model).inc()
            case WorkerAbandoned():
                self._abandoned.labels(event.model).inc()
            case BusLagged():
                self._missed.labels(event.subscriber).inc(event.dropped)
            case _:
                return

    def count_request(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count one answered request; `route` is the pattern, not the path."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_s.labels(route).observe(duration_s)

    def expose(self, models: Sequence[ModelState]) -> bytes:
        """Return all series in Prometheus' text form, with the gauges as of now."""
        self._models.models = models
        return generate_latest(self.registry)

    def _observe_run(
        self,
        event: RunRequested | RunAdmitted | RunFinished | RunRejected | RunFailed | RunCancelled,
        run_id: RunId | None,
    ) -> None:
        match event:
            case RunRequested():
                self._remember(run_id, event.model)
            case RunAdmitted():
                self._queue_s.labels(self._model(run_id)).observe(event.waited_s)
            case RunFinished():
                self._count_run(run_id, "finished", "")
            case RunRejected():
                self._count_run(run_id, "rejected", event.code)
            case RunFailed():
                self._count_run(run_id, "failed", event.code)
            case RunCancelled():
                self._count_run(run_id, "cancelled", "")

    def _observe_seq(self, event: SeqFinished, model: ModelId) -> None:
        usage = event.usage
        counts = {
            "prompt": usage.prompt_tokens,
            "cached": usage.cached_tokens,
            "completion": usage.completion_tokens,
            "reasoning": usage.reasoning_tokens,
            "drafted": usage.drafted_tokens,
            "accepted": usage.accepted_tokens,
            "forced": usage.forced_tokens,
        }
        for kind, count in counts.items():
            self._tokens.labels(model, kind).inc(count)
        if event.first_token_s is None:
            return

        self._first_token_s.labels(model).observe(event.first_token_s)
        followers = usage.completion_tokens - 1
        if followers > 0:
            self._token_s.labels(model).observe((event.duration_s - event.first_token_s) / followers)

    def _observe_install(
        self, event: ModelInstalled | ModelFailed | BackendInstalled | BackendFailed
    ) -> None:
        match event:
            case ModelInstalled():
                self._installs.labels("model", event.model, "installed").inc()
            case ModelFailed(stage="load"):
                self._loads.labels(event.model, "failed").inc()
            case ModelFailed():
                self._installs.labels("model", event.model, "failed").inc()
            case BackendInstalled():
                self._installs.labels("backend", event.backend, "installed").inc()
            case BackendFailed():
                self._installs.labels("backend", event.backend, "failed").inc()

    def _remember(self, run_id: RunId | None, model: ModelId) -> None:
        if run_id is None:
            return

        self._model_of[run_id] = model
        if len(self._model_of) > _RUNS_REMEMBERED:
            self._model_of.popitem(last=False)

    def _model(self, run_id: RunId | None) -> ModelId:
        return _UNKNOWN if run_id is None else self._model_of.get(run_id, _UNKNOWN)

    def _count_run(self, run_id: RunId | None, outcome: str, code: str) -> None:
        self._runs.labels(self._model(run_id), outcome, code).inc()
        if run_id is not None:
            self._model_of.pop(run_id, None)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)
