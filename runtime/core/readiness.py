"""Whether a model can serve a request now, and what to tell the asker where it cannot yet. Pure."""

from runtime.core.errors import Fault
from runtime.core.events import Progress
from runtime.core.ids import ModelId
from runtime.core.states import ModelState

RETRY_AFTER_S = 5.0
"""When to ask again after an install whose end cannot be foretold."""
_RETRY_LIMIT_S = 60.0
"""Never told to stay away longer: an estimate may be far off, and clients give up on long waits."""


def unknown_model(model: ModelId) -> Fault:
    """Return the fault for a model that nobody here knows."""
    return Fault(
        code="model_not_found",
        message=f"The model `{model[:120]}` does not exist. GET /v1/models lists those that do; "
        "'lar models' shows how to add one.",
        param="model",
    )


def decide_readiness(model: ModelState) -> Fault | None:
    """Return why the model cannot take a run now; None where it can (it may have to be loaded first)."""
    match model.stage:
        case "installed" | "loading" | "loaded":
            return None
        case "available" | "installing":
            return installing(model)
        case "broken":
            # What failed at load is tried again by the run itself. What is not on disk cannot be.
            is_absent = model.fault is not None and model.fault.code in ("install_failed", "backend_missing")
            return model.fault if is_absent else None


def installing(model: ModelState) -> Fault:
    """Return the fault for a model that is on its way, with how far it is."""
    progress = model.progress
    so_far = f": {describe_progress(progress)}" if progress is not None else ""
    left_s = progress.left_s if progress is not None else None
    wait_s = RETRY_AFTER_S if left_s is None else min(max(left_s, 1.0), _RETRY_LIMIT_S)
    return Fault(
        code="model_installing",
        message=f"The model '{model.id}' is being installed{so_far}. "
        "Watch it with 'lar status' or GET /api/events, and send the request again then.",
        param="model",
        retry_after_s=wait_s,
    )


def not_installed(model: ModelState) -> Fault:
    """Return the fault for a model that is known but absent, for somebody who may not install it."""
    return Fault(
        code="backend_missing",
        message=f"The model '{model.id}' is known but not installed, and this key may not install it. "
        f"Ask the operator to run 'lar models install {model.id}'.",
        param="model",
    )


def describe_progress(progress: Progress) -> str:
    """Say how far a long job is: `building llama.cpp 34 %, about 3 min left`."""
    text = progress.phase
    if progress.done is not None and progress.total:
        text += f" {min(100.0, 100 * progress.done / progress.total):.0f} %"
    if progress.left_s is not None:
        text += f", about {_duration(progress.left_s)} left"
    return text


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"

    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
