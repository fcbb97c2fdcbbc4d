"""How a model that is asked for becomes ready, and who may have it installed."""

import pytest

from runtime.core.errors import ModelUnavailable, PolicyDenied
from runtime.core.gate.principals import OWNER, Principal
from runtime.core.gate.words import Answer
from runtime.core.ids import ModelId, PrincipalId
from runtime.core.readying import ready_model
from tests.kit.fake_models import FakeModels, known_model
from tests.kit.gate import GateStage

MODEL = ModelId("m")
ASKS = '@id("ask-first") @outcome("ask") permit (principal, action == Action::"install", resource);'
USER = Principal(id=PrincipalId("key_1"), role="user")


async def test_a_model_on_disk_is_ready_and_nobody_is_asked() -> None:
    gate, models = GateStage(), FakeModels(known_model("m", "installed"))

    assert (await ready_model(models, gate.gate, MODEL, USER)).id == MODEL
    assert gate.facts == []


async def test_an_install_is_decided_by_the_gate_and_told() -> None:
    gate, models = GateStage(), FakeModels(known_model("m", "available"))

    with pytest.raises(ModelUnavailable) as refusal:
        await ready_model(models, gate.gate, MODEL, OWNER)

    assert refusal.value.fault.code == "model_installing"
    assert (models.installs, gate.kinds()) == ([MODEL], ["gate.decided"])


async def test_an_install_that_policies_ask_about_waits_for_a_person() -> None:
    gate, models = GateStage(ASKS), FakeModels(known_model("m", "available"))

    with pytest.raises(PolicyDenied):
        await ready_model(models, gate.gate, MODEL, OWNER)
    with pytest.raises(PolicyDenied) as refusal:  # asking again asks the same person once
        await ready_model(models, gate.gate, MODEL, OWNER)
    assert (models.installs, refusal.value.fault.param) == ([], "model")
    pending = gate.pending()
    assert pending.id in refusal.value.fault.message

    await gate.desk.answer(OWNER.tenant, pending.id, Answer(is_approved=True, scope="call"), "owner")
    with pytest.raises(ModelUnavailable):
        await ready_model(models, gate.gate, MODEL, OWNER)
    assert models.installs == [MODEL]


async def test_a_key_that_may_not_operate_installs_nothing_whatever_policies_say() -> None:
    gate, models = GateStage(ASKS), FakeModels(known_model("m", "available"))

    with pytest.raises(ModelUnavailable) as refusal:
        await ready_model(models, gate.gate, MODEL, USER)

    assert (refusal.value.fault.code, models.installs, gate.facts) == ("backend_missing", [], [])


async def test_a_model_that_nobody_knows_is_refused_by_its_name() -> None:
    with pytest.raises(ModelUnavailable, match="`m` does not exist"):
        await ready_model(FakeModels(), None, MODEL, OWNER)
