"""From the text of an agent's file to its definition and back; errors name the field and the fix."""

import difflib
import hashlib
import re
from typing import Any

import msgspec
import yaml

from runtime.core.agents.definition import Agent, Trigger
from runtime.core.errors import Fault, RequestInvalid

LARGEST_CHARACTERS = 1_000_000
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_OTHER = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_STARTS = ("cron", "every", "webhook", "files", "collection", "after")


class _Loader(yaml.SafeLoader):
    """YAML without its traps: keys that are written twice, days that turn into dates, and aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped
            mark = event.start_mark
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read here", mark)
        return super().compose_node(parent, index)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key, _ in node.value:
        name = loader.construct_object(key)
        if name in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{name}' is written twice", key.start_mark
            )
        seen.add(name)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.yaml_implicit_resolvers = {
    first: [entry for entry in entries if entry[0] != "tag:yaml.org,2002:timestamp"]
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_agent(text: str, origin: str = "the definition") -> Agent:
    """Read a definition from YAML or JSON. Raises RequestInvalid that names the line or the field."""
    if len(text) > LARGEST_CHARACTERS:
        raise _invalid(f"{origin} has more than {LARGEST_CHARACTERS:,} characters.", None)

    try:
        told = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        what = getattr(problem, "problem", None) or str(problem)
        raise _invalid(f"{origin}{place}: {what}.", None) from problem

    if not isinstance(told, dict):
        raise _invalid(f"{origin} must be a mapping of fields such as 'name' and 'instructions'.", None)
    return agent_of(told, origin)


def agent_of(told: dict[str, Any], origin: str = "the definition") -> Agent:
    """Return the definition that plain values make. Raises RequestInvalid that names the field."""
    try:
        agent = msgspec.convert(told, Agent)
    except msgspec.ValidationError as problem:
        raise _explained(str(problem), origin) from problem

    for place, trigger in enumerate(agent.triggers):
        _check_trigger(trigger, f"triggers[{place}]", origin)
    names = [each.agent for each in agent.helpers]
    if agent.name in (*names, *(agent.team.members if agent.team else ())):
        raise _invalid(f"{origin}: the agent '{agent.name}' cannot be its own helper.", "helpers")
    return agent


def write_agent(agent: Agent) -> str:
    """Return the definition as YAML, in the order of its fields, without what is left at its default."""
    told = msgspec.to_builtins(agent)
    return yaml.dump(told, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def version_of(agent: Agent) -> str:
    """Return the digest of what a definition says, however it is written."""
    return hashlib.sha256(msgspec.json.encode(agent, order="deterministic")).hexdigest()[:16]


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a definition."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An agent of Lar",
        **msgspec.json.schema(Agent),
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, which people can read."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _check_trigger(trigger: Trigger, path: str, origin: str) -> None:
    given = [name for name in _STARTS if getattr(trigger, name) is not None]
    if len(given) != 1:
        listed = ", ".join(_STARTS)
        raise _invalid(f"{origin}: '{path}' must have exactly one of: {listed}.", path)


def _explained(problem: str, origin: str) -> RequestInvalid:
    unknown = _UNKNOWN.match(problem)
    if unknown:
        path, name = unknown["path"] or "", unknown["name"]
        known = _fields_at(path)
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(known)}." if known else ""
        field = f"{path}.{name}" if path else name
        return _invalid(f"{origin}: unknown field '{field}'.{hint}", field)

    other = _OTHER.match(problem)
    path = (other["path"] if other else None) or ""
    what = other["what"] if other else problem
    where = f"'{path}': " if path else ""
    return _invalid(f"{origin}: {where}{what}.", path or None)


def _fields_at(path: str) -> list[str]:
    """Return the names of the fields of the struct at a path such as `triggers[...]`, if it is one."""
    told: Any = msgspec.json.schema(Agent)
    definitions = told["$defs"]
    node: Any = definitions["Agent"]
    for step in filter(None, re.split(r"\.|\[\.*\d*\]", path)):
        node = _resolved(node.get("properties", {}).get(step, {}), definitions)
    return sorted(node.get("properties", {}))


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow references, items of lists and alternatives to the object that is meant."""
    for _ in range(8):
        if "$ref" in node:
            node = definitions[node["$ref"].rpartition("/")[2]]
        elif "items" in node and isinstance(node["items"], dict):
            node = node["items"]
        elif "anyOf" in node:
            objects = [each for each in node["anyOf"] if "$ref" in each or "items" in each]
            node = objects[0] if objects else {}
        else:
            break
    return node


def _invalid(message: str, param: str | None) -> RequestInvalid:
    return RequestInvalid(Fault(code="invalid_request", message=message, param=param))
