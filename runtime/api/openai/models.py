"""GET /v1/models and /v1/models/{id}: what can be asked for, with Lar's own facts in the field `lar`."""

import msgspec
from aiohttp import web

from runtime.api.deps import DEPS
from runtime.core.errors import Fault, ModelUnavailable
from runtime.core.events import Progress
from runtime.core.ids import ModelId
from runtime.core.readiness import unknown_model
from runtime.core.states import ModelStage, ModelState


class LarFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What OpenAI's model object has no word for."""

    stage: ModelStage
    engine: str
    is_default: bool
    size_bytes: int | None
    needs_bytes: int | None
    licence: str | None
    context_tokens: int | None
    sequences: int
    features: tuple[str, ...]
    progress: Progress | None
    fault: Fault | None


class WireModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model as OpenAI's clients know it."""

    id: ModelId
    object: str = "model"
    created: int
    owned_by: str = "lar"
    lar: LarFacts


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All models."""

    object: str = "list"
    data: list[WireModel]


async def get_models(request: web.Request) -> web.Response:
    """List every known model, the default one first."""
    models = request.app[DEPS].models.list_models()
    return _json(ModelList(data=[_wire(each) for each in models]))


async def get_model(request: web.Request) -> web.Response:
    """Describe one model. Raises ModelUnavailable where the id is unknown."""
    model_id = ModelId(request.match_info["id"])
    model = request.app[DEPS].models.find_model(model_id)
    if model is None:
        raise ModelUnavailable(unknown_model(model_id))

    return _json(_wire(model))


def _wire(model: ModelState) -> WireModel:
    facts = LarFacts(
        stage=model.stage,
        engine=model.engine,
        is_default=model.is_default,
        size_bytes=model.size_bytes,
        needs_bytes=model.needs_bytes,
        licence=model.licence,
        context_tokens=model.context_tokens,
        sequences=model.sequences,
        features=tuple(sorted(model.features)),
        progress=model.progress,
        # What a part printed last is for operators; they find it in GET /api/state.
        fault=None if model.fault is None else msgspec.structs.replace(model.fault, detail=None),
    )
    return WireModel(id=model.id, created=model.created, lar=facts)


def _json(body: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
