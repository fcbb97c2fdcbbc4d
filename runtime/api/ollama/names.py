"""Names of models as Ollama's clients write them: with a tag, which is `latest` where none is given."""

from collections.abc import Mapping

from runtime.api.deps import ApiDeps
from runtime.api.errors import invalid
from runtime.core.errors import ModelUnavailable
from runtime.core.ids import ModelId
from runtime.core.readiness import unknown_model
from runtime.core.states import ModelState

_LATEST = ":latest"


def id_of(deps: ApiDeps, name: str) -> ModelId:
    """Return the id that a name means; a name that is no model's comes back as it is."""
    bare = ModelId(name.removesuffix(_LATEST))
    is_bare = deps.models.find_model(ModelId(name)) is None and deps.models.find_model(bare) is not None
    return bare if is_bare else ModelId(name)


def find(deps: ApiDeps, name: str) -> ModelState:
    """Return the model that a name means. Raises ModelUnavailable."""
    model = deps.models.find_model(id_of(deps, name))
    if model is None:
        raise ModelUnavailable(unknown_model(ModelId(name)))

    return model


def tagged(model: ModelId) -> str:
    """Return a model's id as Ollama lists it: with its tag."""
    return model if ":" in model else f"{model}{_LATEST}"


def given_name(names: Mapping[str, str | None]) -> str:
    """Return the first name that was given, of a body that may say it in several fields. Raises Refused."""
    for name in names.values():
        if name:
            return name

    first = next(iter(names))
    raise invalid(f"Missing required parameter: '{first}'.", first, code="missing_required_parameter")
