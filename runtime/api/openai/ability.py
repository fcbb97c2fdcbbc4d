"""Whether a model can do at all what a route is for, asked before anything is installed or started."""

from aiohttp import web

from runtime.api.errors import unsupported
from runtime.api.runs import Asker, asker_of, ready_model
from runtime.core.ids import ModelId
from runtime.core.states import Feature, ModelState


def ready_model_for(
    source: web.Request | Asker, model_id: ModelId, feature: Feature, doing: str
) -> ModelState:
    """Return the model if it has the feature and can take a run; may start its install.

    `doing` completes "cannot …" in the refusal. Raises Refused (400 naming `model`) and ModelUnavailable.
    """
    asker = source if isinstance(source, Asker) else asker_of(source)
    deps = asker.deps
    known = deps.models.find_model(model_id)
    if known is not None and feature not in known.features:
        able = [each.id for each in deps.models.list_models() if feature in each.features]
        hint = f"Models that can: {', '.join(able)}." if able else "No model here can."
        raise unsupported(f"The model '{model_id}' (engine '{known.engine}') cannot {doing}. {hint}", "model")

    return ready_model(deps, model_id, asker.principal)
