"""GET /api/tags and /api/ps, POST /api/show: the models, told in Ollama's words.

What Lar does not know of a model is left empty, never guessed. A digest is the hash of the weights where the
catalogue states it, else a hash of id and size, which changes when the weights are others.
"""

import hashlib

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from runtime.api.deps import DEPS
from runtime.api.ollama.body import ShowBody
from runtime.api.ollama.lines import rfc3339
from runtime.api.ollama.names import find, given_name, tagged
from runtime.api.ollama.reading import read_wire
from runtime.core.readiness import decide_readiness
from runtime.core.states import Feature, ModelState

_ABILITIES: tuple[tuple[Feature, str], ...] = (
    ("tools", "tools"),
    ("suffix", "insert"),
    ("images", "vision"),
    ("embeddings", "embedding"),
    ("reasoning", "thinking"),
)
_OF_READERS: frozenset[Feature] = frozenset({"embeddings", "rerank", "tokenize"})
"""A model that offers some of these and nothing else reads texts and writes none."""


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is made of."""

    parent_model: str = ""
    format: str
    family: str = ""
    families: list[str] | None = None
    parameter_size: str
    quantization_level: str = ""


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is on disk."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: Details


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is in memory."""

    name: str
    model: str
    size: int
    """What it takes in memory, by estimate; of its file where there is none."""
    digest: str
    details: Details
    expires_at: str | UnsetType = UNSET
    """When it leaves if nobody uses it any more."""
    context_length: int | UnsetType = UNSET


class ShownModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model at length."""

    license: str
    modelfile: str = ""
    parameters: str
    template: str = ""
    details: Details
    model_info: dict[str, str | int]
    capabilities: list[str]
    modified_at: str


async def get_tags(request: web.Request) -> web.Response:
    """List the models that are on disk, the default one first."""
    models = [each for each in request.app[DEPS].models.list_models() if decide_readiness(each) is None]
    listed = [
        ListedModel(
            name=tagged(each.id),
            model=tagged(each.id),
            modified_at=rfc3339(each.created),
            size=each.size_bytes or 0,
            digest=digest_of(each),
            details=_details(each),
        )
        for each in models
    ]
    return _json({"models": listed})


async def get_ps(request: web.Request) -> web.Response:
    """List the models that are in memory."""
    deps = request.app[DEPS]
    now = deps.clock.now()
    models = [each for each in deps.models.list_models() if each.stage == "loaded"]
    loaded = [
        LoadedModel(
            name=tagged(each.id),
            model=tagged(each.id),
            size=each.needs_bytes or each.size_bytes or 0,
            digest=digest_of(each),
            details=_details(each),
            expires_at=UNSET if each.leaves_in_s is None else rfc3339(now + each.leaves_in_s),
            context_length=UNSET if each.context_tokens is None else each.context_tokens,
        )
        for each in models
    ]
    return _json({"models": loaded})


async def post_show(request: web.Request) -> web.Response:
    """Describe one model. Raises ModelUnavailable where the name is unknown."""
    body = await read_wire(request, ShowBody)
    name = given_name({"model": body.model, "name": body.name})
    return _json(_shown(find(request.app[DEPS], name)))


def digest_of(model: ModelState) -> str:
    """Return 64 hexadecimal digits that stand for the model's weights."""
    return model.digest or hashlib.sha256(f"{model.id}\0{model.size_bytes or 0}".encode()).hexdigest()


def size_name(parameters: int | None) -> str:
    """Say a number of parameters as Ollama does: 134.52M, 8.0B; empty where it is unknown."""
    if not parameters:
        return ""

    if parameters >= 1_000_000_000:
        return f"{parameters / 1_000_000_000:.1f}B"
    return f"{parameters / 1_000_000:.2f}M" if parameters >= 1_000_000 else f"{parameters / 1_000:.2f}K"


def _shown(model: ModelState) -> ShownModel:
    facts: dict[str, str | int | None] = {
        "general.basename": model.id,
        "general.license": model.licence,
        "general.parameter_count": model.parameters,
        "lar.engine": model.engine,
        "lar.context_length": model.context_tokens,
    }
    parameters = (
        "" if model.context_tokens is None else f"num_ctx                        {model.context_tokens}"
    )
    return ShownModel(
        license=model.licence or "",
        parameters=parameters,
        details=_details(model),
        model_info={name: value for name, value in facts.items() if value is not None},
        capabilities=_capabilities(model),
        modified_at=rfc3339(model.created),
    )


def _details(model: ModelState) -> Details:
    return Details(format=model.format, parameter_size=size_name(model.parameters))


def _capabilities(model: ModelState) -> list[str]:
    is_reader = bool(model.features) and model.features <= _OF_READERS
    writes = [] if is_reader else ["completion"]
    return [*writes, *(name for feature, name in _ABILITIES if feature in model.features)]


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
