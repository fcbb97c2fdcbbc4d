"""Agents in LocalAGI's words and back: its AgentConfig, and the description of its fields.

What LocalAGI has no word for stays as it is when a configuration is written: only what its fields say
differently is taken over.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from runtime.core.agents.definition import Agent, Knowledge, ToolFilter
from runtime.core.agents.localagi import from_localagi

Config = dict[str, Any]
OWN_SERVERS = frozenset({"files", "inference", "recall", "system", "time", "web"})
"""Servers of Lar's own, which agents use as LocalAGI's use actions."""


def config_of(agent: Agent) -> Config:
    """Return an agent as LocalAGI writes it. No secret is in a definition, so none is in here."""
    timed = next((each for each in agent.triggers if each.every is not None or each.cron is not None), None)
    knowledge = [each for each in agent.knowledge if isinstance(each, Knowledge)]
    named = [each if isinstance(each, str) else each.collection for each in agent.knowledge]
    return {
        "name": agent.name,
        "description": agent.description,
        "model": _model(agent),
        "system_prompt": agent.instructions,
        "mcp_servers": _remote(agent),
        "mcp_stdio_servers": _local(agent),
        "actions": [{"name": name, "config": "{}"} for name in _servers(agent)],
        "connectors": [],
        "dynamic_prompts": [],
        "filters": [],
        "enable_planning": agent.planning,
        "enable_evaluation": agent.reflection,
        "enable_kb": agent.memory.enabled or bool(agent.knowledge),
        "kb_results": agent.memory.recall,
        "kb_as_tools": agent.memory.enabled and agent.memory.tools,
        "kb_auto_search": any(each.passages for each in knowledge),
        "collection": named[0] if named else "",
        "long_term_memory": agent.memory.enabled and agent.memory.consolidate,
        "standalone_job": timed is not None,
        "periodic_runs": "" if timed is None else timed.every or timed.cron,
        "inner_monologue_template": "" if timed is None else timed.message,
        "loop_detection": agent.limits.repeats,
        "parallel_jobs": agent.limits.parallel_calls,
    }


def actions_of(told: Config) -> list[str]:
    """Return the names of the actions in a configuration."""
    return [_action(each) for each in told.get("actions") or ()]


def agent_of_config(told: Config, servers: Collection[str] = OWN_SERVERS) -> tuple[Agent, Sequence[str]]:
    """Return the agent that a configuration describes, and what could not be taken over.

    Actions that are called as one of the servers are those servers. Raises RequestInvalid.
    """
    own = [each for each in told.get("actions") or () if _action(each) in servers]
    rest = [each for each in told.get("actions") or () if _action(each) not in servers]
    agent, notes = from_localagi({**told, "actions": rest})
    named = (_action(each) for each in own)
    tools = tuple(dict.fromkeys([*agent.tools, *named]))
    return msgspec.structs.replace(agent, tools=tools), notes


def changed_agent(
    former: Agent, told: Config, servers: Collection[str] = OWN_SERVERS
) -> tuple[Agent, Sequence[str]]:
    """Return an agent as a configuration wants it: changed where that says something else than before.

    Raises RequestInvalid.
    """
    before = config_of(former)
    base, _ = agent_of_config(before, servers)
    wanted, notes = agent_of_config({**before, **told, "name": former.name}, servers)
    changes = {
        name: getattr(wanted, name)
        for name in Agent.__struct_fields__
        if name != "name" and getattr(wanted, name) != getattr(base, name)
    }
    return msgspec.structs.replace(former, **changes), notes


def metadata() -> Config:
    """Return the description of the fields from which LocalAGI's pages build their forms."""
    return {
        "Fields": [_field(*each) for each in _FIELDS],
        "Connectors": [],
        "Actions": [],
        "DynamicPrompts": [],
        "MCPServers": [
            _field("url", "URL", "text", "", "MCPServer"),
            _field("token", "API Key", "password", "", "MCPServer"),
        ],
        "Filters": [],
    }


_FIELDS: tuple[tuple[str, str, str, object, str], ...] = (
    ("name", "Name", "text", "", "BasicInfo"),
    ("description", "Description", "textarea", "", "BasicInfo"),
    ("model", "Model", "text", "", "ModelSettings"),
    ("system_prompt", "System Prompt", "textarea", "", "PromptsGoals"),
    ("permanent_goal", "Permanent Goal", "textarea", "", "PromptsGoals"),
    ("enable_kb", "Enable Knowledge Base", "checkbox", False, "MemorySettings"),
    ("kb_results", "Knowledge Base Results", "number", 5, "MemorySettings"),
    ("kb_auto_search", "Knowledge Base Auto Search", "checkbox", True, "MemorySettings"),
    ("kb_as_tools", "Knowledge Base As Tools", "checkbox", False, "MemorySettings"),
    ("long_term_memory", "Long Term Memory", "checkbox", False, "MemorySettings"),
    ("standalone_job", "Standalone Job", "checkbox", False, "AdvancedSettings"),
    ("periodic_runs", "Periodic Runs", "text", "10m", "AdvancedSettings"),
    ("inner_monologue_template", "Inner Monologue Template", "textarea", "", "AdvancedSettings"),
    ("enable_planning", "Enable Planning", "checkbox", False, "AdvancedSettings"),
    ("enable_evaluation", "Enable Evaluation", "checkbox", False, "AdvancedSettings"),
    ("loop_detection", "Loop Detection", "number", 5, "AdvancedSettings"),
    ("parallel_jobs", "Parallel Jobs", "number", 5, "AdvancedSettings"),
)


def _field(name: str, label: str, kind: str, default: object, section: str) -> Config:
    return {"name": name, "label": label, "type": kind, "defaultValue": default, "tags": {"section": section}}


def _action(action: object) -> str:
    return str(action.get("name", "")) if isinstance(action, dict) else ""


def _model(agent: Agent) -> str:
    if isinstance(agent.model, str):
        return agent.model
    return agent.model[0] if agent.model else ""


def _remote(agent: Agent) -> list[Config]:
    return [{"url": each["url"], "token": ""} for each in agent.servers.values() if "url" in each]


def _local(agent: Agent) -> list[Config]:
    return [
        {
            "name": name,
            "cmd": each["command"],
            "args": list(each.get("args") or ()),
            "env": [f"{key}={value}" for key, value in (each.get("env") or {}).items()],
        }
        for name, each in agent.servers.items()
        if "command" in each
    ]


def _servers(agent: Agent) -> list[str]:
    """Return the servers that the agent uses and that are not its own: LocalAGI has actions for such."""
    named = [each.server if isinstance(each, ToolFilter) else each for each in agent.tools]
    return [each for each in dict.fromkeys(named) if each not in agent.servers]
