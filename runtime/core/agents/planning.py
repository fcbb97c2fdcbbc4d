"""From an agent's definition to the plan of a run, given what there is at this moment. Pure.

instructions   the template, filled · skills by name · who may be asked for help · dynamic parts, last
tools          of servers, in the hub's order, by the agent's filters · knowledge · helpers · planning
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from runtime.core.agents.builtins import LIST_TOOL
from runtime.core.agents.definition import EVERYWHERE, Agent, Helper, Knowledge, ToolFilter
from runtime.core.agents.hosted.words import file_search_tool
from runtime.core.agents.instructions import fill, values_of
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.reading import version_of
from runtime.core.agents.tool_search import defer_many
from runtime.core.errors import Fault, ModelUnavailable, RequestInvalid
from runtime.core.gate.principals import Principal
from runtime.core.ids import ModelId
from runtime.core.messages import ResponseFormat, Sampling, ToolChoice
from runtime.core.tools import Tool

_PASSAGES = 8
"""That one search gives."""
_CHANGES_MEMORY = frozenset({"remember", "revise", "forget"})
_MEMORY_TOOLS = ("search", "remember", "revise", "forget")
"""Of the server `recall`, whose search finds both documents and memories."""
_ASK: dict[str, Any] = {
    "type": "object",
    "properties": {
        "task": {
            "type": "string",
            "minLength": 1,
            "description": "All that is needed to do it: the other agent sees nothing else.",
        }
    },
    "required": ["task"],
    "additionalProperties": False,
}
_SKILL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "skill": {"type": "string", "description": "The skill's name."},
        "file": {"type": "string", "description": "A file of its folder; without it, the instructions."},
    },
    "required": ["skill"],
    "additionalProperties": False,
}
_NOTE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "note": {"type": "string", "minLength": 1, "maxLength": 4000, "description": "What all should know."}
    },
    "required": ["note"],
    "additionalProperties": False,
}
_NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class Skill:
    """A folder with instructions that are read when they are wanted."""

    name: str
    description: str
    folder: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What a plan is made from, beside the definition."""

    principal: Principal
    tools: Sequence[Tool]
    """All that the principal may call, in the hub's order."""
    now: datetime
    """With its time zone."""
    default_model: ModelId | None = None
    lent: Mapping[str, str] = field(default_factory=dict)
    """What the agent's own servers are called in the hub."""
    agents: Mapping[str, Agent] = field(default_factory=dict)
    """Those that exist, by name."""
    collections: Mapping[str, str] = field(default_factory=dict)
    """Ids of collections by name."""
    skills: Sequence[Skill] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    small_models: frozenset[ModelId] = frozenset()
    """Those whose settings say that they decide first whether to call a tool."""
    turn_tokens: int | None = None
    """What a turn may give where the agent does not say; None: as much as the model can."""
    context_share: float = 0.0
    """Above this share of the context, definitions of tools give way to `search_tools`; 0: never."""
    context_tokens: int | None = None
    """Of the model, where it is known."""


def plan_of(agent: Agent, around: Surroundings) -> Plan:
    """Return the plan of a run of the agent. Raises RequestInvalid, ModelUnavailable."""
    models = _models(agent, around)
    tools = tools_of(agent, around)
    values = values_of(
        agent, around.now, {**around.variables, "tools": ", ".join(each.name for each in tools)}
    )
    decides = agent.decide_first
    return Plan(
        principal=around.principal,
        agent=agent.name,
        agent_version=version_of(agent),
        models=models,
        instructions=_instructions(agent, around, values),
        tools=tools,
        tool_choice=ToolChoice(mode=agent.tool_choice),
        parallel_tool_calls=agent.parallel_tool_calls,
        sampling=Sampling(
            temperature=agent.temperature,
            top_p=agent.top_p,
            seed=agent.seed,
            max_tokens=agent.max_output_tokens,
        ),
        reasoning_effort=agent.reasoning_effort,
        response_format=_format(agent),
        limits=agent.limits,
        is_truncated=True,
        turn_tokens=agent.max_output_tokens or around.turn_tokens,
        compact_at_tokens=agent.compact_at_tokens,
        decides_first=models[0] in around.small_models if decides is None else decides,
        reflects=agent.reflection,
        labels=agent.labels,
    )


def tools_of(agent: Agent, around: Surroundings) -> tuple[PlannedTool, ...]:
    """Return the tools of the agent, in an order that stays. Raises RequestInvalid where two are alike."""
    found = [
        *(tool for each in agent.tools for tool in _of_server(each, agent, around)),
        *_memory_tools(agent, around),
        *_knowledge_tools(agent, around),
        *(_helper_tool(each, around) for each in _helpers(agent)),
        *_own_tools(agent, around),
    ]
    by_name: dict[str, PlannedTool] = {}
    for each in found:
        by_name.setdefault(each.name, each)
    return defer_many(tuple(by_name.values()), around.context_tokens, around.context_share)


def faults_of(agent: Agent, around: Surroundings, models: Sequence[ModelId]) -> list[str]:
    """Return what stands against a run, each with the way out."""
    faults = [
        f"There is no model '{each}'. 'lar models list' shows those there are."
        for each in _named_models(agent)
        if each not in models
    ]
    faults += [
        f"There is no agent '{each.agent}', which helps it. Make one, or take it out."
        for each in _helpers(agent)
        if each.agent not in around.agents
    ]
    faults += [
        f"There is no collection '{name}'. 'lar recall collections create {name}' makes one."
        for name in _collections(agent)
        if name not in around.collections and name != EVERYWHERE
    ]
    return faults


def _named_models(agent: Agent) -> tuple[ModelId, ...]:
    named = (agent.model,) if isinstance(agent.model, str) else agent.model
    return tuple(ModelId(each) for each in named)


def _models(agent: Agent, around: Surroundings) -> tuple[ModelId, ...]:
    named = _named_models(agent)
    if named:
        return named
    if around.default_model is None:
        message = f"The agent '{agent.name}' names no model, and there is no default. Add 'model' to it."
        raise ModelUnavailable(Fault(code="model_not_found", message=message, param="model"))
    return (around.default_model,)


def _format(agent: Agent) -> ResponseFormat:
    if agent.output is None:
        return ResponseFormat()
    return ResponseFormat(type="json_schema", name=agent.output.name, schema=agent.output.schema, strict=True)


def _instructions(agent: Agent, around: Surroundings, values: Mapping[str, str]) -> str:
    parts = [fill(agent.instructions, values, "instructions").strip()]
    if around.skills:
        listed = "\n".join(f"- {each.name}: {each.description}" for each in around.skills)
        parts.append(f"Skills, to be read with read_skill before they are used:\n{listed}")
    if agent.planning:
        parts.append("For work of several steps keep a list with todo_write, and bring it up to date.")
    parts += [fill(each, values, f"dynamic[{place}]").strip() for place, each in enumerate(agent.dynamic)]
    return "\n\n".join(each for each in parts if each)


def _of_server(told: str | ToolFilter, agent: Agent, around: Surroundings) -> list[PlannedTool]:
    wanted = ToolFilter(server=told) if isinstance(told, str) else told
    server = around.lent.get(wanted.server, wanted.server)
    return [
        planned_tool(each, wanted)
        for each in around.tools
        if each.server == server and _is_wanted(each.name, wanted) and not _is_memory(each, agent)
    ]


def planned_tool(tool: Tool, wanted: ToolFilter) -> PlannedTool:
    """Return a tool of the hub as a tool of a run."""
    is_trusted = tool.trust == "internal"
    return PlannedTool(
        name=tool.full_name,
        description=tool.description or tool.title,
        parameters=tool.input_schema,
        form="mcp",
        executor="hub",
        full_name=tool.full_name,
        server=wanted.server,
        tool=tool.name,
        approval=wanted.approval,
        is_idempotent=is_trusted and (tool.hints.is_read_only or tool.hints.is_idempotent),
        is_deferred=wanted.deferred,
    )


def _is_wanted(name: str, wanted: ToolFilter) -> bool:
    if any(fnmatchcase(name, each) for each in wanted.without):
        return False
    return not wanted.only or any(fnmatchcase(name, each) for each in wanted.only)


def _is_memory(tool: Tool, agent: Agent) -> bool:
    """Whether the tool changes memories, which the agent's memory settings decide about."""
    return tool.server == "recall" and tool.name in _CHANGES_MEMORY and not agent.memory.enabled


def _memory_tools(agent: Agent, around: Surroundings) -> list[PlannedTool]:
    if not (agent.memory.enabled and agent.memory.tools):
        return []
    wanted = ToolFilter(server="recall", only=_MEMORY_TOOLS)
    return [
        planned_tool(each, wanted)
        for each in around.tools
        if each.server == "recall" and each.trust == "internal" and each.name in _MEMORY_TOOLS
    ]


def _collections(agent: Agent) -> list[str]:
    return [each if isinstance(each, str) else each.collection for each in agent.knowledge]


def _knowledge_tools(agent: Agent, around: Surroundings) -> list[PlannedTool]:
    if not agent.knowledge:
        return []

    names = _collections(agent)
    is_everywhere = EVERYWHERE in names
    missing = [name for name in names if name not in around.collections and name != EVERYWHERE]
    if missing:
        name = missing[0]
        message = f"There is no collection '{name}'. 'lar recall collections create {name}' makes one."
        raise RequestInvalid(Fault(code="invalid_request", message=message, param="knowledge"))
    where = "all collections" if is_everywhere else f"these collections: {', '.join(names)}"
    ids = [] if is_everywhere else [around.collections[name] for name in names]
    return [file_search_tool(f"Get passages to cite from {where}.", {"collections": ids, "limit": _PASSAGES})]


def _helpers(agent: Agent) -> list[Helper]:
    members = agent.team.members if agent.team else ()
    return [*agent.helpers, *(Helper(agent=each) for each in members)]


def _helper_tool(helper: Helper, around: Surroundings) -> PlannedTool:
    told = around.agents.get(helper.agent)
    if told is None:
        message = f"There is no agent '{helper.agent}'. Make one, or take it out of 'helpers'."
        raise RequestInvalid(Fault(code="invalid_request", message=message, param="helpers"))

    is_call = helper.how == "call"
    what = helper.description or told.description or f"The agent {told.name}."
    verb = "Give it a task and get its answer." if is_call else "It goes on in your place from here."
    return PlannedTool(
        name=f"{'ask' if is_call else 'hand_over_to'}_{helper.agent}".replace("-", "_"),
        description=f"{what} {verb}",
        parameters=_ASK,
        executor="agent" if is_call else "handover",
        full_name=helper.agent,
    )


def _own_tools(agent: Agent, around: Surroundings) -> list[PlannedTool]:
    tools: list[PlannedTool] = []
    if around.skills:
        folders = {each.name: each.folder for each in around.skills}
        told = "Read a skill's instructions, or a file of its folder."
        tools.append(_hosted("read_skill", told, _SKILL, {"folders": folders}))
    if agent.team is not None and agent.team.board:
        settings = {"board": agent.name}
        tools.append(_hosted("read_board", "Read the notes that the team shares.", _NOTHING, settings))
        told = "Write a note that everybody in the team can read."
        tools.append(_hosted("write_board", told, _NOTE, settings))
    if agent.planning:
        tools.append(LIST_TOOL)
    return tools


def _hosted(name: str, description: str, parameters: dict[str, Any], settings: dict[str, Any]) -> PlannedTool:
    return PlannedTool(
        name=name,
        description=description,
        parameters=parameters,
        executor="hosted",
        tool=name,
        is_idempotent=name != "write_board",
        settings=settings,
    )


def knowledge_of(agent: Agent) -> list[Knowledge]:
    """Return the collections, each with how many passages go into the prompt by themselves."""
    return [Knowledge(collection=each) if isinstance(each, str) else each for each in agent.knowledge]
