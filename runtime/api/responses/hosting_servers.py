"""Servers of MCP in a request: which they are, what they offer, and what of it the asker lets be called.

    server_url      a server that comes with the request, lent for its run, and there for its asker alone
    a label alone   a server of Lar's own or of mcp.json, by its name
What a server lists is an item of the output, unless the conversation holds the same list already.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from runtime.api.errors import forbidden, invalid, unsupported
from runtime.api.responses.tool_bodies import REDACTED, McpApprovals, McpBody, McpFilter
from runtime.api.responses.tools_in import NAME_LIMIT, HostedWish, mcp_name
from runtime.core.agents.hub_tools import at_server
from runtime.core.agents.items import AnyItem, Listed
from runtime.core.agents.lending import Lease, Lending
from runtime.core.agents.plans import ApprovalRule, PlannedTool
from runtime.core.agents.ports import Lent
from runtime.core.gate.principals import Principal
from runtime.core.gate.words import Gate, GateResource, Question
from runtime.core.minting import new_id
from runtime.core.tools import Caller, Tool

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SCHEMES = ("http", "https")
_SECRET_CHARACTERS = 4
"""What is shorter is no secret, and may stand in any message."""


class Offered(NamedTuple):
    """What the servers of a request come to."""

    resolved: Mapping[int, Sequence[PlannedTool]]
    added: tuple[AnyItem, ...]
    lease: Lease | None
    failed: Mapping[str, str]
    """Why servers have listed nothing, by label."""


class _Wanted(NamedTuple):
    wish: HostedWish
    body: McpBody


class RequestServers:
    """Finds what the servers of requests offer."""

    def __init__(self, lending: Lending, gate: Gate) -> None:
        self._lending = lending
        self._gate = gate

    async def offer(
        self,
        principal: Principal,
        wishes: Sequence[HostedWish],
        context: Sequence[AnyItem],
        taken: Collection[str] = (),
    ) -> Offered:
        """Return the tools; whoever gets a lease keeps it or gives it back. Raises LarError, Refused."""
        wanted = [_Wanted(each, each.body) for each in wishes if isinstance(each.body, McpBody)]
        _check(wanted)
        definitions = {
            each.body.server_label: definition_of(each.body) for each in wanted if _is_remote(each)
        }
        for each in wanted:
            await self._check_reach(principal, each)
        lease: Lease | None = None
        if definitions:
            lease = await self._lending.lend(Lent(definitions, principal), "the request")
        try:
            return await self._listed(principal, wanted, context, taken, lease)
        except BaseException:
            if lease is not None:
                lease.give_back()
            raise

    async def _check_reach(self, principal: Principal, wanted: _Wanted) -> None:
        """See to it that the server may be reached for this asker. Raises Refused."""
        label, path = wanted.body.server_label, wanted.wish.path
        if not _is_remote(wanted):
            status = await self._lending.source.server(label)
            if status is None:
                message = (
                    f"There is no MCP server '{label}' here. Give 'server_url' to name one that is elsewhere."
                )
                raise invalid(message, f"{path}.server_url", code="missing_required_parameter")
            return

        target = urlsplit(wanted.body.server_url or "")
        place = f"{target.scheme}://{target.hostname or ''}" + (f":{target.port}" if target.port else "")
        resource = GateResource(kind="Server", id=label, attributes={"transport": "http", "target": place})
        ruling = await self._gate.rule(Question(principal=principal, action="connect", resource=resource))
        if ruling.outcome != "allow":
            raise forbidden(f"The MCP server '{label}' may not be reached: {ruling.reason}", "denied")

    async def _listed(
        self,
        principal: Principal,
        wanted: Sequence[_Wanted],
        context: Sequence[AnyItem],
        taken: Collection[str],
        lease: Lease | None,
    ) -> Offered:
        names = {} if lease is None else lease.names
        servers = {
            each.body.server_label: names.get(each.body.server_label, each.body.server_label)
            for each in wanted
        }
        caller = Caller(principal=principal, door="api", servers=frozenset(servers.values()))
        tools = await self._lending.source.tools(caller)
        known = {each.server: each for each in context if isinstance(each, Listed) and each.error is None}
        resolved: dict[int, list[PlannedTool]] = {}
        added: list[AnyItem] = []
        failed: dict[str, str] = {}
        for wish, body in wanted:
            server = servers[body.server_label]
            offered = [each for each in tools if each.server == server]
            shown = [each for each in offered if _is_allowed(each, body.allowed_tools)]
            resolved[wish.place] = [at_server(each, server) for each in _planned(shown, body)]
            fault = await self._fault(server, body) if not offered else ""
            if fault:
                failed[body.server_label] = fault
                added.append(Listed(id=new_id("mcpl_"), server=body.server_label, error=fault))
            elif _words_of(shown) != (known[body.server_label].tools if body.server_label in known else None):
                added.append(Listed(id=new_id("mcpl_"), server=body.server_label, tools=_words_of(shown)))
        return Offered(_named(resolved, taken), tuple(added), lease, failed)

    async def _fault(self, server: str, body: McpBody) -> str:
        """Return why a server has listed nothing; empty where it simply has nothing."""
        status = await self._lending.source.server(server)
        if status is not None and status.status == "ready":
            return ""
        cause = "" if status is None else status.fault
        told = f"The tools of the MCP server '{body.server_label}' could not be listed"
        return without_secrets(f"{told}: {cause}" if cause else f"{told}.", body)


def definition_of(body: McpBody) -> dict[str, object]:
    """Return a remote server as mcp.json would write it; with its secrets, for the memory alone."""
    headers = dict(body.headers or {})
    if body.authorization:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        word = body.authorization
        headers["Authorization"] = word if " " in word.strip() else f"Bearer {word.strip()}"
    is_sse = urlsplit(body.server_url or "").path.rstrip("/").endswith("/sse")
    return {"type": "sse" if is_sse else "http", "url": body.server_url, "headers": headers}


def without_secrets(text: str, body: McpBody) -> str:
    """Return a text in which nothing stands that only the asker and the server should know."""
    url = urlsplit(body.server_url or "")
    secrets = {body.authorization or "", *(body.headers or {}).values(), url.query, url.password or ""}
    secrets |= {each.rpartition(" ")[2] for each in secrets}
    path = url.path.strip("/")
    secrets.add(path if len(path) > len("mcp") else "")
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) > _SECRET_CHARACTERS:
            text = text.replace(secret, REDACTED)
    return text


def approval_of(tool: Tool, rules: str | McpApprovals | None) -> ApprovalRule:
    """Return whether the asker wants to be asked about a tool: always, unless it says never."""
    if isinstance(rules, McpApprovals):
        if rules.always is not None and _fits(tool, rules.always):
            return "always"
        return "never" if rules.never is not None and _fits(tool, rules.never) else "always"
    return "never" if rules == "never" else "always"


def _check(wanted: Iterable[_Wanted]) -> None:
    """Refuse what cannot be a server. Raises Refused."""
    labels: set[str] = set()
    for wish, body in wanted:
        for field in ("connector_id", "tunnel_id"):
            if getattr(body, field) is not None:
                message = (
                    f"'{field}' names a service of others. Give 'server_url', or the label of a server here."
                )
                raise unsupported(message, f"{wish.path}.{field}")
        if body.server_label in labels:
            path = f"{wish.path}.server_label"
            raise invalid(f"Two MCP servers are labelled '{body.server_label}'. Labels are unique.", path)
        labels.add(body.server_label)
        _check_url(wish, body)


def _check_url(wish: HostedWish, body: McpBody) -> None:
    if body.server_url is None:
        if body.authorization or body.headers:
            path = f"{wish.path}.server_url"
            raise invalid(f"'{path}' is needed beside 'authorization' and 'headers'.", path)
        return
    path = f"{wish.path}.server_url"
    try:
        url = urlsplit(body.server_url)
        is_good = url.scheme in _SCHEMES and bool(url.hostname) and url.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise invalid(f"'{path}' must be an address that begins with http:// or https://.", path)
    if any(
        "${" in each for each in (body.server_url, body.authorization or "", *(body.headers or {}).values())
    ):
        raise invalid(f"'{wish.path}' names a variable ('${{…}}'). Send the value itself.", wish.path)


def _is_remote(wanted: _Wanted) -> bool:
    return wanted.body.server_url is not None


def _is_allowed(tool: Tool, allowed: list[str] | McpFilter | None) -> bool:
    if allowed is None:
        return True
    return tool.name in allowed if isinstance(allowed, list) else _fits(tool, allowed)


def _fits(tool: Tool, wanted: McpFilter) -> bool:
    """Whether a filter names a tool; what a server says of itself is enough for its asker's own filter."""
    if wanted.tool_names is not None and tool.name not in wanted.tool_names:
        return False
    if wanted.read_only is None:
        return wanted.tool_names is not None
    return wanted.read_only == (tool.hints.is_read_only or tool.annotations.get("readOnlyHint") is True)


def _planned(tools: Sequence[Tool], body: McpBody) -> list[PlannedTool]:
    return [
        PlannedTool(
            name=each.name,
            description=each.description or each.title,
            parameters=each.input_schema,
            form="mcp",
            executor="hub",
            full_name=each.full_name,
            server=body.server_label,
            tool=each.name,
            approval=approval_of(each, body.require_approval),
            is_idempotent=each.trust == "internal" and (each.hints.is_read_only or each.hints.is_idempotent),
            is_deferred=bool(body.defer_loading),
        )
        for each in tools
    ]


def _words_of(tools: Sequence[Tool]) -> tuple[dict[str, object], ...]:
    return tuple(
        {
            "name": each.name,
            "description": each.description or each.title or None,
            "input_schema": each.input_schema,
            "annotations": each.annotations or None,
        }
        for each in tools
    )


def _named(
    resolved: Mapping[int, Sequence[PlannedTool]], taken: Collection[str]
) -> dict[int, list[PlannedTool]]:
    """Call each tool as its server does; where that is somebody else's name, with its label before it."""
    every = [each for tools in resolved.values() for each in tools]
    plain = [each.tool for each in every]
    names: dict[tuple[str, str], str] = {}
    for each in every:
        is_free = plain.count(each.tool) == 1 and each.tool not in taken
        is_good = len(each.tool) <= NAME_LIMIT and _NAME.fullmatch(each.tool) is not None
        names[each.server, each.tool] = each.tool if is_free and is_good else mcp_name(each.server, each.tool)
    return {place: [_renamed(each, names) for each in tools] for place, tools in resolved.items()}


def _renamed(tool: PlannedTool, names: Mapping[tuple[str, str], str]) -> PlannedTool:
    return msgspec.structs.replace(tool, name=names[tool.server, tool.tool])
