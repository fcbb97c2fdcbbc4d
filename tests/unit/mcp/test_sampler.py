"""Sampling requests of servers, answered by Lar's models over the fakes of the stage."""

from pathlib import Path

from runtime.core.errors import Fault
from runtime.core.messages import Broke, ChatRequest
from runtime.core.tools import Sampled, Sampling
from runtime.mcp.sampler import Sampler
from tests.kit.fake_models import known_model
from tests.kit.fake_pool import saying
from tests.kit.http_stage import open_stage

ASKED = Sampling(
    server="far", messages=(("user", "Hi"), ("assistant", "Yes?")), system="Be brief", max_tokens=7
)


async def test_the_default_model_answers_as_a_run_of_the_servers_own_principal(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[known_model("m")]) as stage:
        stage.pool.script = lambda request, index: saying("Hel", "lo")
        answer = await Sampler(stage.runs, stage.models).ask(ASKED)
        (asked,) = stage.pool.requests

    assert answer == Sampled(model="m", text="Hello")
    assert isinstance(asked, ChatRequest)
    assert asked.principal == "mcp-server:far"
    assert [each.role for each in asked.messages] == ["system", "user", "assistant"]
    assert asked.sampling.max_tokens == 7


async def test_a_model_that_breaks_is_told_as_the_reason(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[known_model("m")]) as stage:
        stage.pool.script = lambda request, index: [
            Broke(fault=Fault(code="engine_failed", message="It broke."))
        ]
        assert await Sampler(stage.runs, stage.models).ask(ASKED) == "It broke."


async def test_nothing_is_installed_on_a_servers_account(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[known_model("far", stage="available")]) as stage:
        answer = await Sampler(stage.runs, stage.models).ask(ASKED)

    assert answer == "Lar has no model that could answer now."
