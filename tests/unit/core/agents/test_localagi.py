"""Agents of LocalAGI: taken over as far as Lar goes, with a note for the rest, and no secret kept."""

import msgspec

from runtime.core.agents.instructions import check_templates
from runtime.core.agents.localagi import from_localagi, is_localagi
from runtime.core.agents.reading import read_agent, write_agent

EXPORTED = {
    "name": "News Hound",
    "description": "Reads the news.",
    "model": "qwen3-4b",
    "system_prompt": "Write {{.Name}} plainly.",
    "permanent_goal": "Know what is new.",
    "standalone_job": True,
    "periodic_runs": "1h30m",
    "mcp_servers": [{"url": "https://example.org/mcp", "token": "s3cret"}],
    "mcp_stdio_servers": [{"name": "files", "cmd": "npx", "args": ["-y", "server"], "env": ["KEY=s3cret"]}],
    "mcp_prepare_script": "apt install x",
    "actions": [{"name": "search", "config": "{}"}, {"name": "send-mail", "config": "{}"}],
    "connectors": [{"type": "slack", "config": '{"token": "s3cret"}'}],
    "enable_kb": True,
    "kb_results": 7,
    "kb_as_tools": True,
    "long_term_memory": True,
    "enable_planning": True,
    "loop_detection": 5,
    "parallel_jobs": 2,
    "api_key": "s3cret",
}


def test_what_lar_has_is_taken_over() -> None:
    agent, _ = from_localagi(EXPORTED)

    assert (agent.name, agent.model, agent.planning) == ("news-hound", "qwen3-4b", True)
    assert "Your goal: Know what is new." in agent.instructions
    assert agent.servers["files"]["env"] == {"KEY": "${KEY}"}
    assert agent.tools == ("server-1", "files", "web", "recall")
    assert agent.triggers[0].every == "5400s"
    assert (agent.memory.enabled, agent.memory.recall, agent.memory.consolidate) == (True, 7, True)
    assert (agent.limits.repeats, agent.limits.parallel_calls) == (5, 2)
    assert read_agent(write_agent(agent)) == agent


def test_no_secret_is_kept_and_each_loss_is_told() -> None:
    agent, notes = from_localagi(EXPORTED)

    assert b"s3cret" not in msgspec.json.encode(agent)
    told = "\n".join(notes)
    for word in ("MCP_TOKEN_1", "KEY", "mcp_prepare_script", "send-mail", "slack", "api_key"):
        assert word in told


def test_what_looked_like_a_template_stays_text() -> None:
    agent, _ = from_localagi(EXPORTED)

    check_templates(agent)


def test_an_agent_of_lar_is_not_taken_for_one_of_localagi() -> None:
    assert is_localagi(EXPORTED)
    assert not is_localagi({"name": "clerk", "instructions": "x", "tools": []})


def test_a_pace_that_cannot_be_read_becomes_one_that_can_with_a_note() -> None:
    agent, notes = from_localagi(
        {"name": "x", "system_prompt": "", "standalone_job": True, "periodic_runs": "often"}
    )

    assert agent.triggers[0].every == "10m"
    assert "often" in notes[0]
