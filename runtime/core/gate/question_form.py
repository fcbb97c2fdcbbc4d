"""How people write a question down: over HTTP, on the command line, in a table of cases. Pure."""

from datetime import datetime
from typing import Any

import msgspec

from runtime.core.gate.principals import Principal, Role
from runtime.core.gate.words import Action, GateResource, Outcome, Question, ResourceKind
from runtime.core.ids import LOCAL_TENANT, PrincipalId, TenantId

_KINDS: dict[Action, ResourceKind] = {
    "call_tool": "Tool",
    "generate": "Model",
    "recall_read": "Collection",
    "recall_write": "Collection",
    "install": "Model",
    "connect": "Host",
}


class QuestionForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question in few words; what is left out is the most usual."""

    action: Action
    resource: str
    """A tool's full name (`mcp__server__tool`), a model's id, a collection, `host:port`, a server's name."""
    kind: ResourceKind | None = None
    """None: the one that goes with the action; for `connect` a host, for `install` a model."""
    attributes: dict[str, Any] = {}
    """Of the resource. A tool is taken as approved, a collection as the caller's own."""
    arguments: dict[str, Any] = {}
    principal: str = "owner"
    """The id of a key, or `owner`."""
    role: Role | None = None
    """None: `operator` for the owner, else `user`."""
    tenant: str = LOCAL_TENANT
    agent: str | None = None
    door: str = "api"
    session: str | None = None
    at: float | datetime | None = None
    """When it is asked: seconds since the epoch, or a date with its time; None: now."""


class CaseForm(QuestionForm, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a table of cases."""

    outcome: Outcome
    policy: str | None = None
    """One that must be among those that decide."""
    name: str = ""


def read_question(form: QuestionForm) -> Question:
    """Return the question that a form stands for."""
    kind = form.kind or _KINDS[form.action]
    role = form.role or ("operator" if form.principal == "owner" else "user")
    return Question(
        principal=Principal(id=PrincipalId(form.principal), role=role, tenant=TenantId(form.tenant)),
        action=form.action,
        resource=GateResource(
            kind=kind, id=form.resource, attributes={**_usual(kind, form), **form.attributes}
        ),
        arguments=form.arguments,
        door=form.door,
        session=form.session,
        agent=form.agent,
    )


def read_time(form: QuestionForm) -> float | None:
    """Return when the question is asked, in seconds since the epoch; a date without zone is local time."""
    return form.at.timestamp() if isinstance(form.at, datetime) else form.at


def _usual(kind: ResourceKind, form: QuestionForm) -> dict[str, Any]:
    match kind:
        case "Tool":
            server, _, name = form.resource.removeprefix("mcp__").partition("__")
            return {"server": server, "name": name or form.resource, "trust": "approved"}
        case "Collection":
            return {"tenant": form.tenant}
        case "Host":
            host, _, port = form.resource.rpartition(":")
            is_numbered = bool(host) and port.isascii() and port.isdecimal() and len(port) <= 5
            return {"host": host, "port": int(port)} if is_numbered else {"host": form.resource}
        case _:
            return {}
