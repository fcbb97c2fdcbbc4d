"""Takes in agents as LocalAGI exports them (its AgentConfig as JSON), and says what cannot be taken over."""

import re
from typing import Any

from runtime.core.agents.definition import Agent, Knowledge, Memory, Trigger
from runtime.core.agents.plans import Limits
from runtime.core.agents.reading import agent_of

_MARKS = frozenset({"system_prompt", "standalone_job", "enable_kb", "mcp_servers", "actions", "connectors"})
_ACTIONS = {
    "search": "web",
    "browse": "web",
    "scraper": "web",
    "wikipedia": "web",
    "add_to_memory": "recall",
    "search_memory": "recall",
    "list_memory": "recall",
    "remove_from_memory": "recall",
}
"""Actions that servers of Lar's own stand in for."""
_EVERY = re.compile(r"^(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+)s)?$")


def is_localagi(told: dict[str, Any]) -> bool:
    """Say whether this looks like an agent of LocalAGI."""
    return len(_MARKS & told.keys()) >= 2 or "system_prompt" in told


def from_localagi(told: dict[str, Any]) -> tuple[Agent, tuple[str, ...]]:
    """Return the agent and what could not be taken over. Raises RequestInvalid."""
    notes: list[str] = []
    servers = _servers(told, notes)
    fields: dict[str, Any] = {
        "name": _name(str(told.get("name") or "agent")),
        "description": str(told.get("description") or "")[:1000],
        "instructions": _plain(_instructions(told)),
        "servers": servers,
        "tools": [*servers, *_tools(told, notes)],
        "planning": bool(told.get("enable_planning")),
        "reflection": bool(told.get("enable_evaluation")),
    }
    if told.get("model"):
        fields["model"] = str(told["model"])
    agent = agent_of(fields, "the LocalAGI agent")
    changes: dict[str, Any] = {
        "memory": _memory(told),
        "knowledge": _knowledge(told),
        "triggers": _triggers(told, notes),
        "limits": _limits(told),
    }
    _note_rest(told, notes)
    return _with(agent, changes), tuple(notes)


def _with(agent: Agent, changes: dict[str, Any]) -> Agent:
    fields = {name: getattr(agent, name) for name in Agent.__struct_fields__}
    return Agent(**{**fields, **changes})


def _name(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:63] or "agent"


def _plain(text: str) -> str:
    """Keep what a template would take for its own as it stands."""
    return (
        text.replace("{{", "{{ '{{' }}").replace("{%", "{{ '{%' }}") if "{{" in text or "{%" in text else text
    )


def _instructions(told: dict[str, Any]) -> str:
    goal = told.get("permanent_goal")
    parts = [told.get("system_prompt"), told.get("identity_guidance"), f"Your goal: {goal}" if goal else ""]
    return "\n\n".join(str(each).strip() for each in parts if each)


def _servers(told: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    servers: dict[str, Any] = {}
    for place, each in enumerate(told.get("mcp_servers") or ()):
        servers[f"server-{place + 1}"] = {"url": each.get("url", "")}
        if each.get("token"):
            variable = f"MCP_TOKEN_{place + 1}"
            servers[f"server-{place + 1}"]["headers"] = {"Authorization": f"Bearer ${{{variable}}}"}
            notes.append(f"The token of {each.get('url')} was left out: set it as the variable {variable}.")
    for each in told.get("mcp_stdio_servers") or ():
        env = {
            str(pair).partition("=")[0]: f"${{{str(pair).partition('=')[0]}}}"
            for pair in each.get("env") or ()
        }
        entry: dict[str, Any] = {"command": each.get("cmd", ""), "args": list(each.get("args") or ())}
        servers[_name(str(each.get("name") or "stdio"))] = entry | ({"env": env} if env else {})
        if env:
            notes.append(f"Values of {', '.join(env)} were left out: set them in Lar's environment.")
    if told.get("mcp_prepare_script"):
        notes.append("'mcp_prepare_script' is not run: install what the servers need by hand.")
    return servers


def _tools(told: dict[str, Any], notes: list[str]) -> list[str]:
    found: list[str] = []
    for each in told.get("actions") or ():
        name = str(each.get("name"))
        if name in _ACTIONS:
            found.append(_ACTIONS[name])
        elif name == "call_agents":
            notes.append("The action 'call_agents' became nothing: name the agents under 'helpers'.")
        else:
            notes.append(f"The action '{name}' has no counterpart: add an MCP server that offers it.")
    if told.get("enable_kb") and told.get("kb_as_tools"):
        found.append("recall")
    return list(dict.fromkeys(found))


def _memory(told: dict[str, Any]) -> Memory:
    is_kept = bool(told.get("long_term_memory") or told.get("summary_long_term_memory"))
    return Memory(
        enabled=is_kept or bool(told.get("enable_kb")),
        recall=int(told.get("kb_results") or 5) if told.get("enable_kb") else 0,
        tools=bool(told.get("kb_as_tools")),
        consolidate=is_kept,
    )


def _knowledge(told: dict[str, Any]) -> tuple[Knowledge, ...]:
    if not told.get("enable_kb") or not told.get("collection"):
        return ()
    passages = int(told.get("kb_results") or 5) if told.get("kb_auto_search") else 0
    return (Knowledge(collection=str(told["collection"]), passages=passages),)


def _triggers(told: dict[str, Any], notes: list[str]) -> tuple[Trigger, ...]:
    if not told.get("standalone_job"):
        return ()
    every = str(told.get("periodic_runs") or "10m")
    message = str(told.get("inner_monologue_template") or "Go on with your goal.")
    if len(every.split()) == 5:
        return (Trigger(cron=every, message=_plain(message)),)
    parts = _EVERY.match(every)
    if not parts or not any(parts.groups()):
        notes.append(f"'periodic_runs' ({every}) could not be read: every ten minutes was taken.")
        return (Trigger(every="10m", message=_plain(message)),)
    seconds = sum(
        int(parts[name] or 0) * unit for name, unit in (("hours", 3600), ("minutes", 60), ("seconds", 1))
    )
    return (Trigger(every=f"{max(seconds, 10)}s", message=_plain(message)),)


def _limits(told: dict[str, Any]) -> Limits:
    repeats = int(told.get("loop_detection") or 0)
    parallel = int(told.get("parallel_jobs") or 0)
    return Limits(repeats=repeats or Limits().repeats, parallel_calls=parallel or Limits().parallel_calls)


def _note_rest(told: dict[str, Any], notes: list[str]) -> None:
    notes += [
        f"The connector '{each.get('type')}' was left out: use a webhook trigger, or an MCP server."
        for each in told.get("connectors") or ()
    ]
    for name, fix in (
        ("api_key", "Lar's own models need none"),
        ("api_url", "Lar's own models are used"),
        ("dynamic_prompts", "write them as 'dynamic'"),
        ("filters", "write a policy"),
    ):
        if told.get(name):
            notes.append(f"'{name}' was left out: {fix}.")
