"""Whether a model can do at all what a route is for, asked before anything is installed or started."""

from aiohttp import web

from runtime.api.deps import gate_of
from runtime.api.errors import unsupported
from runtime.api.runs import Asker, asker_of
from runtime.core.ids import ModelId
from runtime.core.readying import ready_model
from runtime.core.states import Feature, ModelState


async def ready_model_for(
    source: web.Request | Asker, model_id: ModelId, feature: Feature, doing: str
) -> ModelState:
    """Return the model if it has the feature and can take a run; may start its install.

    `doing` completes "cannot …" in the refusal. Raises Refused (400 naming `model`), ModelUnavailable,
    PolicyDenied.
    """
    asker = source if isinstance(source, Asker) else asker_of(source)
    deps = asker.deps
    known = deps.models.find_model(model_id)
    if known is not None and feature not in known.features:
        able = [each.id for each in deps.models.list_models() if feature in each.features]
        hint = f"Models that can: {', '.join(able)}." if able else "No model here can."
        raise unsupported(f"The model '{model_id}' (engine '{known.engine}') cannot {doing}. {hint}", "model")

    return await ready_model(deps.models, gate_of(deps), model_id, asker.principal)
