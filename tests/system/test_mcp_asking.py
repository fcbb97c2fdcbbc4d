"""What servers ask back in mid-call: the person, a model, the folders; both eras, real processes."""

import sys
from pathlib import Path

import anyio
import pytest

from runtime.core.settings import McpSandbox, McpServer
from runtime.core.tools import Elicitation, ElicitationAnswer, Sampled, Sampling
from runtime.mcp.asking import Answerers
from tests.kit.hub_stage import open_stage, text_of

SCRIPT = str(Path(__file__).parents[1] / "kit" / "sdk_mcp_server.py")
ERAS = pytest.mark.parametrize("era", ["legacy", "modern"])


def asking_server(era: str, **more: object) -> McpServer:
    return McpServer(
        command=sys.executable,
        args=(SCRIPT, "stdio"),
        era=era,  # type: ignore[arg-type]  # one of the two
        trust=True,
        sandbox=McpSandbox(enabled=False),
        **more,  # type: ignore[arg-type]  # as the test says
    )


@ERAS
async def test_a_question_reaches_the_person_and_the_answer_the_server(tmp_path: Path, era: str) -> None:
    asked: list[Elicitation] = []

    async def elicit(question: Elicitation) -> ElicitationAnswer:
        asked.append(question)
        return ElicitationAnswer(action="accept", content={"name": "Anna"})

    answerers = Answerers(elicit=elicit)
    async with open_stage(tmp_path, {"sdk": asking_server(era)}, answerers=answerers) as stage:
        assert await stage.say("mcp__sdk__greet_person") == "Hello, Anna!"

    assert (asked[0].server, asked[0].message) == ("sdk", "What is your name?")
    assert asked[0].form is not None
    assert list(asked[0].form["properties"]) == ["name"]


@ERAS
async def test_a_question_that_nobody_answers_is_declined(tmp_path: Path, era: str) -> None:
    async def elicit(question: Elicitation) -> ElicitationAnswer:
        await anyio.sleep_forever()
        raise AssertionError

    answerers = Answerers(elicit=elicit, elicit_wait_s=0.1)
    async with open_stage(tmp_path, {"sdk": asking_server(era)}, answerers=answerers) as stage:
        result = await stage.call("mcp__sdk__greet_person")

    assert result.is_error
    assert "decline" in text_of(result).lower()


@ERAS
async def test_without_anybody_to_ask_the_call_fails_at_once(tmp_path: Path, era: str) -> None:
    async with open_stage(tmp_path, {"sdk": asking_server(era)}) as stage:
        with anyio.fail_after(20):
            results = [
                await stage.call(f"mcp__sdk__{tool}") for tool in ("greet_person", "capital", "folders")
            ]
        assert await stage.say("mcp__sdk__echo", text="alive") == "alive"
    assert all(each.is_error for each in results)


@ERAS
async def test_a_model_answers_where_the_definition_allows_it(tmp_path: Path, era: str) -> None:
    asked: list[Sampling] = []

    async def sample(question: Sampling) -> Sampled | str:
        asked.append(question)
        return Sampled(model="m", text="Paris")

    servers = {"may": asking_server(era, sampling=True), "not": asking_server(era)}
    async with open_stage(tmp_path, servers, answerers=Answerers(sample=sample)) as stage:
        assert await stage.say("mcp__may__capital") == "Paris"
        assert (await stage.call("mcp__not__capital")).is_error
    assert asked == [Sampling(server="may", messages=(("user", "Capital of France?"),), max_tokens=9)]


@ERAS
async def test_the_configured_folders_are_told(tmp_path: Path, era: str) -> None:
    async with open_stage(tmp_path, {"sdk": asking_server(era, roots=("data",))}) as stage:
        assert await stage.say("mcp__sdk__folders") == f"{tmp_path.as_uri()}/data"
