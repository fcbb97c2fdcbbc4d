"""LocalAGI's routes for agents, over a real port."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from runtime.api.localagi.config import agent_of_config, changed_agent, config_of
from runtime.core.agent_facts import AgentFailed, AgentFinished, AgentStarted, AgentWaiting
from runtime.core.agents.definition import Agent, Knowledge, Memory, Trigger
from runtime.core.agents.steps import RunEnded
from runtime.core.errors import Fault
from runtime.core.ids import LOCAL_TENANT, ApprovalId, ModelId, PrincipalId, TenantId
from tests.kit.response_stage import answering, called, said
from tests.kit.services_stage import ServicesStage, services_stage

CONFIG = {
    "name": "helper",
    "description": "Helps",
    "system_prompt": "You help.",
    "enable_planning": True,
    "enable_kb": True,
    "kb_results": 3,
}


async def make(stage: ServicesStage) -> None:
    assert await stage.ask("POST", "/api/agent/create", json=CONFIG) == (200, {"status": "ok"})


async def test_an_agent_is_made_shown_changed_paused_and_removed(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        await make(stage)
        assert await stage.ask("GET", "/api/agent/helper") == (200, {"active": True})
        _, config = await stage.ask("GET", "/api/agent/helper/config")
        assert {name: config[name] for name in CONFIG} == CONFIG
        changed = {**config, "system_prompt": "You help a lot."}
        assert (await stage.ask("PUT", "/api/agent/helper/config", json=changed))[0] == 200
        assert (await stage.ask("GET", "/api/agent/helper/config"))[1] == changed

        assert (await stage.ask("PUT", "/api/agent/helper/pause"))[0] == 200
        assert await stage.ask("GET", "/api/agent/helper") == (200, {"active": False})
        _, listed = await stage.ask("GET", "/api/agents")
        assert (listed["agentCount"], listed["statuses"]) == (1, {"helper": False})
        assert listed["agents"][0]["agent"]["name"] == "helper"
        assert (await stage.ask("PUT", "/api/agent/helper/start"))[0] == 200
        assert await stage.ask("GET", "/api/agent/helper") == (200, {"active": True})
        assert await stage.ask("DELETE", "/api/agent/helper") == (200, {"status": "ok"})


async def test_what_is_wrong_is_said_as_localagi_says_it(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        for method, path in (
            ("GET", "/api/agent/nobody"),
            ("GET", "/api/agent/nobody/config"),
            ("GET", "/api/agent/nobody/status"),
            ("GET", "/sse/nobody"),
            ("GET", "/settings/export/nobody"),
        ):
            status, told = await stage.ask(method, path)
            assert (status, list(told)) == (404, ["error"])
            assert "nobody" in told["error"]
        status, told = await stage.ask("POST", "/api/chat/nobody", json={"message": "Hi"})
        assert (status, list(told)) == (404, ["error"])
        status, told = await stage.ask("POST", "/api/agent/create", json=[])
        assert (status, list(told)) == (400, ["error"])


async def test_an_agent_goes_out_and_comes_in_as_a_file(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        await make(stage)
        _, exported = await stage.ask("GET", "/settings/export/helper")
        await stage.ask("DELETE", "/api/agent/helper")
        form = aiohttp.FormData()
        form.add_field("file", msgspec.json.encode(exported), filename="helper.json")
        assert (await stage.ask("POST", "/settings/import", data=form))[0] == 200
        assert (await stage.ask("GET", "/settings/export/helper"))[1] == exported
        _, described = await stage.ask("GET", "/api/agent/config/metadata")
        assert {each["name"] for each in described["Fields"]} <= {*exported, "permanent_goal"}


def test_a_configuration_changes_only_what_it_says_differently() -> None:
    former = Agent(
        name="helper",
        instructions="You help {{ user }}.",
        model=("a", "b"),
        skills=("writing",),
        knowledge=(Knowledge(collection="books", passages=4),),
        memory=Memory(enabled=True, scope="session"),
        triggers=(Trigger(cron="0 8 * * *", timezone="Europe/Lisbon"), Trigger(webhook="bell")),
        labels={"team": "x"},
    )
    same, _ = changed_agent(former, config_of(former))
    assert same == former
    changed, _ = changed_agent(former, {**config_of(former), "description": "New"})
    assert changed == msgspec.structs.replace(former, description="New")


def test_the_servers_that_an_agent_uses_go_out_and_come_in_as_actions() -> None:
    former = Agent(name="helper", instructions="x", tools=("recall", "files"))
    taken, _ = agent_of_config(config_of(former))
    assert taken.tools == former.tools
    fewer = {**config_of(former), "actions": [{"name": "files", "config": "{}"}]}
    assert changed_agent(former, fewer)[0].tools == ("files",)
    assert agent_of_config({**fewer, "actions": [{"name": "search"}]})[0].tools == ("web",)


async def read_events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    async for raw in answer.content:
        text = raw.decode().strip()
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            yield name, msgspec.json.decode(text.removeprefix("data: "))


async def test_a_message_starts_a_run_and_listeners_hear_of_it(tmp_path: Path) -> None:
    async with services_stage(tmp_path, answering("Here I am")) as stage:
        await make(stage)
        async with stage.http.http.get(f"{stage.http.address}/sse/helper") as answer:
            events = read_events(answer)
            status, told = await stage.ask("POST", "/api/chat/helper", json={"message": "Hello?"})
            assert (status, told["status"]) == (202, "message_received")
            run = stage.responses.runs.last
            assert run.new.session is not None
            stage.http.bus.publish(
                AgentStarted(agent="other", model=ModelId("m"), principal=PrincipalId("o")), run_id=run.id
            )
            started = AgentStarted(agent="helper", model=ModelId("m"), principal=PrincipalId("o"))
            stage.http.bus.publish(started, run_id=run.id, tenant=TenantId("ada"))
            stage.http.bus.publish(started, run_id=run.id)
            waiting = AgentWaiting(agent="helper", approvals=(ApprovalId("apr_1"),))
            stage.http.bus.publish(waiting, run_id=run.id)
            stage.http.bus.publish(AgentFinished(agent="helper"), run_id=run.id)
            failed = AgentFailed(agent="helper", code="engine_failed", message="It broke.")
            stage.http.bus.publish(failed, run_id=run.id)
            heard = [await anext(events) for _ in range(7)]

        assert [name for name, _ in heard] == [
            "json_message",
            "json_message_status",
            "status",
            "json_message",
            "json_message_status",
            "json_error",
            "json_message_status",
        ]
        data = [each for _, each in heard]
        assert (data[0]["sender"], data[0]["content"], data[0]["id"]) == (
            "user",
            "Hello?",
            told["message_id"],
        )
        assert data[1]["status"] == "processing"
        assert data[2]["approvals"] == ["apr_1"]
        assert (data[3]["sender"], data[3]["content"]) == ("agent", "Here I am")
        assert data[4]["status"] == "completed"
        assert data[5]["error"] == "It broke."


async def test_the_chat_with_an_agent_is_one_conversation(tmp_path: Path) -> None:
    async with services_stage(tmp_path, answering()) as stage:
        await make(stage)
        for _ in range(2):
            await stage.ask("POST", "/api/chat/helper", json={"message": "Hi"})
        sessions = {each.new.session for each in stage.responses.runs.runs.values()}
        assert len(sessions) == 1
        await stage.responses.home.sessions.remove(LOCAL_TENANT, sessions.pop() or "")
        await stage.ask("POST", "/api/chat/helper", json={"message": "Hi"})
        assert len({each.new.session for each in stage.responses.runs.runs.values()}) == 2


async def test_runs_are_shown_as_observables(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        await make(stage)
        await stage.ask("POST", "/api/chat/helper", json={"message": "Look"})
        runs = stage.responses.runs
        for each in (*called("look", '{"at": "it"}'), *said("Seen", 1)):
            assert not isinstance(each, RunEnded)
            runs.tell(runs.last, each)
        runs.end(runs.last)
        await stage.ask("POST", "/api/chat/helper", json={"message": "Fail"})
        runs.end(runs.last, "failed", fault=Fault(code="engine_failed", message="It broke."))

        _, status = await stage.ask("GET", "/api/agent/helper/status")
        assert (status["Name"], len(status["History"])) == ("helper", 2)
        _, told = await stage.ask("GET", "/api/agent/helper/observables")
        job, action, broken = told["History"]
        assert job["creation"]["chat_completion_message"]["content"] == "Look"
        assert job["completion"]["conversation"][0]["content"] == "Seen"
        assert action["parent_id"] == job["id"]
        assert action["creation"]["function_definition"]["name"] == "look"
        assert action["creation"]["function_params"] == {"at": "it"}
        assert broken["completion"] == {"error": "It broke."}


@pytest.mark.parametrize("message", ["", "  ", None])
async def test_an_empty_message_is_refused(tmp_path: Path, message: str | None) -> None:
    async with services_stage(tmp_path) as stage:
        await make(stage)
        assert (await stage.ask("POST", "/api/chat/helper", json={"message": message}))[0] == 400
        assert not stage.responses.runs.runs
