"""Which model a generation goes to, with which adapter, and whether it honours what is asked."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from runtime.api.deps import ApiDeps, gate_of
from runtime.api.errors import invalid
from runtime.api.features import check_features
from runtime.core.gate.principals import Principal
from runtime.core.ids import ModelId
from runtime.core.messages import ChatRequest
from runtime.core.readying import ready_model
from runtime.core.states import ModelState

_NO_NAMES: Mapping[str, str] = {}


class Chosen(NamedTuple):
    """A request that can be run, and the model that will."""

    request: ChatRequest
    model: ModelState


async def choose_model(
    deps: ApiDeps, asked: ChatRequest, principal: Principal, renamed: Mapping[str, str] = _NO_NAMES
) -> Chosen:
    """Return the request with its model, ready to run; `renamed` as in `check_features`.

    A name that is unknown as a whole may be `model:adapter`. Raises ModelUnavailable, PolicyDenied, Refused.
    """
    request = _with_adapter(deps, asked)
    known = deps.models.find_model(request.model)
    if known is not None:  # before anything is installed for it
        check_features(request, known, renamed)
    return Chosen(request, await ready_model(deps.models, gate_of(deps), request.model, principal))


def _with_adapter(deps: ApiDeps, asked: ChatRequest) -> ChatRequest:
    """Split `model:adapter` where that names a model that takes adapters."""
    if deps.models.find_model(asked.model) is not None:
        return asked

    name, _, adapter = asked.model.rpartition(":")
    model = deps.models.find_model(ModelId(name))
    if not adapter or model is None or "adapters" not in model.features:
        return asked

    if asked.adapter not in (None, adapter):
        raise invalid(f"'model' names the adapter '{adapter[:80]}', and 'adapter' another one.", "adapter")

    return msgspec.structs.replace(asked, model=model.id, adapter=adapter)
