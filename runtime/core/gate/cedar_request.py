"""Writes a question as Cedar reads it: principal, action, resource, context, entities. Pure.

Cedar has no untyped records, and tools take whatever they like. So the arguments are an entity with tags:
every scalar as text under its path, whole numbers and lists of scalars beside them in entities of their own.
"""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

import msgspec

from runtime.core.gate.words import GateResource, Question, ResourceKind

RESOURCE_ATTRIBUTES: dict[ResourceKind, dict[str, str | bool | int]] = {
    "Tool": {
        "server": "",
        "name": "",
        "trust": "new",
        "is_internal": False,
        "is_read_only": False,
        "is_destructive": True,
        "is_open_world": True,
    },
    "Model": {},
    "Collection": {"tenant": "", "name": "", "id": "", "kind": ""},
    "Backend": {},
    "Server": {"transport": "", "target": ""},
    "Host": {"host": "", "port": 0},
}
"""What the schema says of each kind, with what is taken where a question does not tell: the careful side."""
CIRCUMSTANCES = frozenset({"arguments", "door", "tenant", "session", "time"})
"""What policies can look at beside principal, action and resource."""
_LONG = range(-(2**63), 2**63)
_Json = dict[str, Any]


class CedarRequest(NamedTuple):
    """One question, ready for Cedar."""

    principal: _Json
    action: _Json
    resource: _Json
    context: str
    """JSON."""
    entities: str
    """JSON."""

    def as_dict(self) -> _Json:
        """Return it as cedarpy takes a request."""
        return {
            "principal": self.principal,
            "action": self.action,
            "resource": self.resource,
            "context": self.context,
        }


def write_request(
    question: Question, now: float, *, needs: frozenset[str] = CIRCUMSTANCES, zone: tzinfo | None = None
) -> CedarRequest:
    """Write a question that is asked at `now`, with the circumstances that somebody looks at.

    Raises ValueError for arguments that are no JSON.
    """
    principal, people = _principal(question)
    resource = _uid(question.resource.kind, question.resource.id)
    entities = [*people, _entity(resource, _attributes(question.resource))]
    if "arguments" in needs:
        entities += _arguments(question.arguments)
    context: _Json = {
        "arguments": _reference("Arguments", "call"),
        "door": question.door,
        "tenant": question.principal.tenant,
        "session": question.session,
        "time": _moment(now, zone) if "time" in needs else None,
    }
    told = {name: value for name, value in context.items() if name in needs and value is not None}
    action = _uid("Action", question.action)
    return CedarRequest(principal, action, resource, _text(told), _text(entities))


def principal_of(question: Question) -> tuple[str, str]:
    """Return type and id of who asks: the agent or the MCP client where one acts, else the key or person."""
    if question.agent is not None:
        return "Agent", question.agent
    if question.door == "mcp":
        return "Client", question.principal.id
    return owner_of(question)


def owner_of(question: Question) -> tuple[str, str]:
    """Return type and id of the key or person on whose behalf something is asked."""
    return ("Person" if question.principal.id == "owner" else "Key"), question.principal.id


def _principal(question: Question) -> tuple[_Json, list[_Json]]:
    owner, acting = _uid(*owner_of(question)), _uid(*principal_of(question))
    attributes = {"role": question.principal.role, "tenant": question.principal.tenant}
    tenant = _uid("Tenant", question.principal.tenant)
    people = [_entity(owner, attributes, [tenant])]
    if acting != owner:
        people.append(_entity(acting, attributes, [owner]))
    return acting, people


def _attributes(resource: GateResource) -> _Json:
    known = RESOURCE_ATTRIBUTES[resource.kind]
    given = (
        {"name": resource.id, **resource.attributes} if resource.kind == "Collection" else resource.attributes
    )
    return {
        name: given[name] if type(given.get(name)) is type(careful) else careful
        for name, careful in known.items()
    }


def _moment(now: float, zone: tzinfo | None) -> _Json:
    local = datetime.fromtimestamp(now, zone)
    return {
        "epoch": int(now),
        "date": local.date().isoformat(),
        "hour": local.hour,
        "minute": local.minute,
        "weekday": local.isoweekday(),
    }


def _arguments(arguments: _Json) -> list[_Json]:
    texts: dict[str, str] = {}
    numbers: dict[str, int] = {}
    lists: dict[str, list[str]] = {}
    for path, value in _walk(arguments):
        if isinstance(value, list):
            lists[path] = [_scalar(each) for each in value]
        else:
            texts[path] = _scalar(value)
            if isinstance(value, int) and not isinstance(value, bool) and value in _LONG:
                numbers[path] = value
    attributes = {
        "names": list(arguments),
        "json": _text(arguments) if arguments else "{}",
        "numbers": _reference("Numbers", "call"),
        "lists": _reference("Lists", "call"),
    }
    return [
        _entity(_uid("Arguments", "call"), attributes, tags=texts),
        _entity(_uid("Numbers", "call"), {}, tags=numbers),
        _entity(_uid("Lists", "call"), {}, tags=lists),
    ]


def _walk(arguments: _Json) -> Iterator[tuple[str, Any]]:
    """Yield every scalar with its path, and every list without dicts and lists in it."""
    rest: list[tuple[str, Any]] = [(_step(name), value) for name, value in arguments.items()]
    while rest:
        path, value = rest.pop()
        if isinstance(value, dict):
            rest += [(f"{path}.{_step(name)}", each) for name, each in value.items()]
        elif isinstance(value, list | tuple):
            if not any(isinstance(each, dict | list | tuple) for each in value):
                yield path, list(value)
            rest += [(f"{path}.{index}", each) for index, each in enumerate(value)]
        elif value is not None:
            yield path, value


def _step(name: str) -> str:
    """Keep names with dots apart from paths."""
    return name.replace("\\", "\\\\").replace(".", "\\.")


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else _text(value)


def _text(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError) as problem:
        raise ValueError(f"the arguments are no JSON ({problem})") from problem


def _uid(kind: str, name: str) -> _Json:
    return {"type": kind, "id": name}


def _reference(kind: str, name: str) -> _Json:
    return {"__entity": _uid(kind, name)}


def _entity(
    uid: _Json, attributes: _Json, parents: list[_Json] | None = None, tags: _Json | None = None
) -> _Json:
    entity = {"uid": uid, "attrs": attributes, "parents": parents or []}
    return entity if tags is None else {**entity, "tags": tags}
