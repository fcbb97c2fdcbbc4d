"""The metrics follow the facts."""

from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtime.api.metrics import Metrics
from runtime.core.events import (
    BackendFailed,
    BackendInstalled,
    BusLagged,
    Envelope,
    Event,
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
    TurnStarted,
    WorkerAbandoned,
    WorkerExited,
    WorkerRestarted,
)
from runtime.core.ids import ModelId, PrincipalId, RunId, WorkerId
from runtime.core.messages import Usage
from runtime.core.states import ModelState
from tests.kit.fake_models import known_model
from tests.kit.http_stage import open_stage

M, W = ModelId("m"), WorkerId("w")


def observe(metrics: Metrics, *events: Event, run: str = "run_1") -> None:
    for seq, event in enumerate(events):
        metrics.observe(Envelope(seq=seq, at=0.0, event=event, run_id=RunId(run)))


def requested() -> RunRequested:
    return RunRequested(model=M, route="/x", principal=PrincipalId("p"), choices=1, is_stream=False)


class Scrape:
    """The samples of one scrape, by name and the set of their label values."""

    def __init__(self, metrics: Metrics, *models: ModelState) -> None:
        text = metrics.expose(models or [known_model("m")]).decode()
        families = text_string_to_metric_families(text)
        self._samples = {
            (sample.name, frozenset(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }

    def __contains__(self, key: tuple[str, tuple[str, ...]]) -> bool:
        name, labels = key
        return (name, frozenset(labels)) in self._samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, key: tuple[str, tuple[str, ...]]) -> float:
        name, labels = key
        return self._samples[name, frozenset(labels)]


def test_a_run_is_counted_with_its_tokens_and_times() -> None:
    metrics = Metrics()
    usage = Usage(
        prompt_tokens=10,
        completion_tokens=5,
        cached_tokens=4,
        reasoning_tokens=1,
        drafted_tokens=7,
        accepted_tokens=3,
        forced_tokens=2,
    )
    finished = SeqFinished(
        index=0, reason="stop", usage=usage, text="", tool_calls=(), first_token_s=1.0, duration_s=3.0
    )
    observe(
        metrics,
        requested(),
        RunAdmitted(waited_s=2.0),
        TurnStarted(turn=0),
        finished,
        RunFinished(usage=usage),
    )

    found = Scrape(metrics)
    assert found["lar_runs_total", ("m", "finished", "")] == 1
    assert found["lar_tokens_total", ("m", "prompt")] == 10
    assert found["lar_tokens_total", ("m", "completion")] == 5
    assert found["lar_tokens_total", ("m", "cached")] == 4
    assert found["lar_tokens_total", ("m", "reasoning")] == 1
    assert found["lar_tokens_total", ("m", "drafted")] == 7
    assert found["lar_tokens_total", ("m", "accepted")] == 3
    assert found["lar_tokens_total", ("m", "forced")] == 2
    assert found["lar_first_token_seconds_sum", ("m",)] == 1.0
    assert found["lar_token_seconds_sum", ("m",)] == 0.5
    assert found["lar_queue_wait_seconds_sum", ("m",)] == 2.0


@pytest.mark.parametrize(
    ("event", "outcome", "code"),
    [
        (RunRejected(code="queue_full", message="x"), "rejected", "queue_full"),
        (RunFailed(code="worker_died", message="x"), "failed", "worker_died"),
        (RunCancelled(reason="x"), "cancelled", ""),
    ],
)
def test_a_run_that_ends_badly_is_counted_by_cause(event: Event, outcome: str, code: str) -> None:
    metrics = Metrics()
    observe(metrics, requested(), event)

    assert Scrape(metrics)["lar_runs_total", ("m", outcome, code)] == 1
    assert not metrics._model_of


@pytest.mark.parametrize(
    ("event", "name", "labels", "value"),
    [
        (
            ModelLoaded(model=M, worker=W, context_tokens=1, duration_s=1),
            "lar_model_loads_total",
            ("m", "loaded"),
            1,
        ),
        (
            ModelFailed(model=M, stage="load", code="model_broken", message=""),
            "lar_model_loads_total",
            ("m", "failed"),
            1,
        ),
        (
            ModelFailed(model=M, stage="install", code="install_failed", message=""),
            "lar_installs_total",
            ("model", "m", "failed"),
            1,
        ),
        (ModelInstalled(model=M, duration_s=1), "lar_installs_total", ("model", "m", "installed"), 1),
        (
            BackendInstalled(backend="b", version="1", duration_s=1),
            "lar_installs_total",
            ("backend", "b", "installed"),
            1,
        ),
        (BackendFailed(backend="b", message="", log=""), "lar_installs_total", ("backend", "b", "failed"), 1),
        (ModelEvicted(model=M, reason="room"), "lar_model_evictions_total", ("m", "room"), 1),
        (
            WorkerExited(worker=W, model=M, returncode=-9, is_expected=False, last_words=""),
            "lar_worker_exits_total",
            ("m", "false"),
            1,
        ),
        (WorkerRestarted(model=M, attempt=1, delay_s=1), "lar_worker_restarts_total", ("m",), 1),
        (WorkerAbandoned(model=M, attempts=3), "lar_workers_abandoned_total", ("m",), 1),
        (
            BusLagged(subscriber="events", first_seq=1, last_seq=9, dropped=7),
            "lar_bus_missed_facts_total",
            ("events",),
            7,
        ),
    ],
)
def test_what_happens_to_models_and_workers_is_counted(
    event: Event, name: str, labels: tuple[str, ...], value: float
) -> None:
    metrics = Metrics()
    observe(metrics, event)

    assert Scrape(metrics)[name, labels] == value


def test_runs_whose_end_was_missed_do_not_pile_up() -> None:
    metrics = Metrics()
    for number in range(5000):
        observe(metrics, requested(), run=f"run_{number}")

    assert len(metrics._model_of) == 4096


def test_what_an_engine_counts_of_itself_is_a_gauge_by_model_and_name() -> None:
    loaded = msgspec.structs.replace(known_model("m"), gauges={"kv_cells_used": 12.5, "Bad name!": 1.0})
    other = msgspec.structs.replace(known_model("n"), gauges={"kv_cells_used": 1.0})
    found = Scrape(Metrics(), loaded, other)

    assert found["lar_engine_gauge", ("m", "kv_cells_used")] == 12.5
    assert found["lar_engine_gauge", ("n", "kv_cells_used")] == 1.0
    assert ("lar_engine_gauge", ("m", "Bad name!")) not in found


def test_an_engine_cannot_make_series_without_end() -> None:
    plain = len(Scrape(Metrics(), known_model("m")))
    many = msgspec.structs.replace(known_model("m"), gauges={f"g{each}": 1.0 for each in range(1000)})

    assert len(Scrape(Metrics(), many)) - plain == 64


async def test_the_scrape_has_requests_by_route_and_gauges_by_model(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        for path in ("/v1/models/m", "/v1/models/x/y/z", "/guess/1", "/guess/2"):
            async with stage.http.get(f"{stage.address}{path}"):
                pass
        async with stage.http.request("PROPFIND", f"{stage.address}/pot"):
            pass
        async with stage.http.get(f"{stage.address}/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        found = Scrape(stage.deps.metrics)

    assert found["lar_http_requests_total", ("GET", "/v1/models/{id}", "200")] == 1
    assert found["lar_http_requests_total", ("GET", "/v1/models/{id}", "404")] == 1
    assert found["lar_http_requests_total", ("GET", "unknown", "404")] == 2
    assert found["lar_http_requests_total", ("other", "unknown", "404")] == 1
    assert found["lar_model_loaded", ("m",)] == 1
    assert found["lar_queue_length", ("m",)] == 0
