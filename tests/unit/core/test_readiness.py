"""Whether a model can serve, and what is said where it cannot yet."""

import msgspec
import pytest

from runtime.core.errors import Fault, FaultCode
from runtime.core.events import Progress
from runtime.core.readiness import RETRY_AFTER_S, decide_readiness, describe_progress, installing
from runtime.core.states import ModelStage
from tests.kit.fake_models import known_model


@pytest.mark.parametrize("stage", ["installed", "loading", "loaded"])
def test_a_model_on_disk_takes_runs(stage: ModelStage) -> None:
    assert decide_readiness(known_model("m", stage)) is None


def test_a_model_on_its_way_says_so() -> None:
    fault = decide_readiness(known_model("m", "installing"))

    assert fault is not None
    assert fault.code == "model_installing"
    assert fault.retry_after_s == RETRY_AFTER_S


@pytest.mark.parametrize(
    ("code", "is_refused"), [("install_failed", True), ("backend_missing", True), ("model_broken", False)]
)
def test_a_broken_model_is_tried_again_unless_it_is_not_there(code: FaultCode, is_refused: bool) -> None:
    cause = Fault(code=code, message="why")
    broken = msgspec.structs.replace(known_model("m", "broken"), fault=cause)

    assert decide_readiness(broken) == (cause if is_refused else None)


@pytest.mark.parametrize(("left_s", "retry_s"), [(0.2, 1.0), (30.0, 30.0), (4000.0, 60.0)])
def test_the_time_to_come_back_is_bounded(left_s: float, retry_s: float) -> None:
    progress = Progress(phase="fetching weights", left_s=left_s)
    model = msgspec.structs.replace(known_model("m", "installing"), progress=progress)

    assert installing(model).retry_after_s == retry_s


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(phase="checking"), "checking"),
        (
            Progress(phase="building llama.cpp", done=34, total=100, left_s=170),
            "building llama.cpp 34 %, about 3 min left",
        ),
        (Progress(phase="fetching", done=5, total=0), "fetching"),
        (Progress(phase="fetching", done=7, total=5), "fetching 100 %"),
        (Progress(phase="fetching", left_s=0.1), "fetching, about 1 s left"),
        (Progress(phase="fetching", left_s=7200), "fetching, about 2.0 h left"),
    ],
)
def test_progress_is_told_in_words(progress: Progress, text: str) -> None:
    assert describe_progress(progress) == text
