"""How a model that is asked for becomes ready: one way for every asker. What is merely known is installed.

An install is asked of the gate like any other: it is told, and where policies want a person, one is asked.
"""

from runtime.core.errors import Fault, ModelUnavailable, PolicyDenied
from runtime.core.gate.principals import Principal, decide_access
from runtime.core.gate.words import Gate, GateResource, Question
from runtime.core.ids import ModelId
from runtime.core.ports import Models
from runtime.core.readiness import decide_readiness, installing, not_installed, unknown_model
from runtime.core.states import ModelState


async def ready_model(
    models: Models, gate: Gate | None, model_id: ModelId, principal: Principal, door: str = "api"
) -> ModelState:
    """Return the model if it can take a run; starts its install where it is merely known.

    Raises ModelUnavailable, and PolicyDenied where it may not be installed, or not before a person agrees.
    """
    model = models.find_model(model_id)
    if model is None:
        raise ModelUnavailable(unknown_model(model_id))

    if model.stage == "available":
        if decide_access(principal, "operate") is not None:
            raise ModelUnavailable(not_installed(model))
        await pass_install(gate, model_id, principal, door)
        raise ModelUnavailable(installing(models.start_install(model_id)))

    fault = decide_readiness(model)
    if fault is not None:
        raise ModelUnavailable(fault)
    return model


async def pass_install(gate: Gate | None, model_id: ModelId, principal: Principal, door: str = "api") -> None:
    """Let the gate decide about the install of a model. Raises PolicyDenied."""
    if gate is None:
        return

    resource = GateResource(kind="Model", id=model_id)
    ruling = await gate.rule(Question(principal=principal, action="install", resource=resource, door=door))
    if ruling.outcome != "allow":
        raise PolicyDenied(Fault(code="denied", message=ruling.reason, param="model"))
