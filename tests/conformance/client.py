"""What the suite uses as a client: Lar's own link, asked to use whatever a server offers."""

import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import mcp.types as wire
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.auth import AuthorizationCodeResult
from mcp.client.streamable_http import streamable_http_client

from runtime.core.settings import McpOAuth, McpServer
from runtime.mcp.config import ServerEntry
from runtime.mcp.link import Link
from runtime.mcp.link_words import LinkCall, LinkFailed, LinkLimits
from runtime.mcp.oauth import Login, find_auth
from runtime.mcp.transports import CLIENT
from runtime.mcp.vault import Vault

logger = logging.getLogger(__name__)

CALLBACK = "http://localhost:3000/callback"
METADATA_URL = "https://conformance-test.local/client-metadata.json"
HANDSHAKE = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"})
LIMIT_S = 60.0
CALL_S = 20.0


class Scenario(NamedTuple):
    """What the suite wants."""

    name: str
    is_legacy: bool
    context: dict[str, Any]


class Browser(Login):
    """A person who logs in; the suite's servers let everybody in at once."""

    async def redirect(self, url: str) -> None:
        await super().redirect(url)
        async with httpx2.AsyncClient(follow_redirects=False) as browser:
            answer = await browser.get(url)
        self._found = parse_qs(urlsplit(answer.headers["location"]).query)

    async def result(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(
            code=self._found["code"][0],
            state=self._found.get("state", [None])[0],
            iss=self._found.get("iss", [None])[0],
        )


class Nobody:
    """Is told what becomes of the link, and does not mind."""

    async def link_opened(self, protocol: str, tools: Sequence[wire.Tool]) -> None:
        return

    async def tools_changed(self, tools: Sequence[wire.Tool]) -> None:
        return

    async def link_lost(self, message: str) -> None:
        logger.warning("lost: %s", message)

    async def link_closed(self) -> None:
        return


def run(url: str) -> int:
    """Use the server at the address; what scenario it plays, and its details, stand in the environment."""
    warnings.simplefilter("ignore")  # servers of the older era are asked in its own words
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    wanted = Scenario(
        os.environ.get("MCP_CONFORMANCE_SCENARIO", ""),
        os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "") in HANDSHAKE,
        json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}")),
    )
    with tempfile.TemporaryDirectory() as place:
        return anyio.run(_use, url, wanted, Path(place))


async def _use(url: str, scenario: Scenario, home: Path) -> int:
    """Use all that the server offers; 0 where it could be used."""
    options = {
        "client_info": CLIENT,
        "mode": "legacy" if scenario.is_legacy else "auto",
        "elicitation_callback": accept_defaults,
    }
    limits = LinkLimits(connect_s=CALL_S)
    status = 1
    with anyio.fail_after(LIMIT_S):
        who = await auth(url, scenario, home)
        async with httpx2.AsyncClient(auth=who, timeout=CALL_S) as http:

            async def make(on_end: Callable[[], None]) -> Any:
                return transport(url, http, on_end)

            link = Link("suite", make, Nobody(), limits, options)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(link.run)
                try:
                    status = await use_all(link, scenario)
                finally:
                    link.stop()
    return status


@asynccontextmanager
async def transport(url: str, http: httpx2.AsyncClient, on_end: Callable[[], None]) -> AsyncIterator[Any]:
    try:
        async with streamable_http_client(url, http_client=http) as streams:
            yield streams
    finally:
        on_end()


async def use_all(link: Link, scenario: Scenario) -> int:
    """List, call, read and fill whatever there is; 0 where the tools could be listed."""
    try:
        client = await link.connected()
    except LinkFailed as problem:
        logger.warning("%s", problem)
        return 1

    capabilities = client.server_capabilities
    if capabilities.tools is not None:
        listed = await link.use(lambda used: used.list_tools(), limit_s=CALL_S)
        planned = scenario.context.get("toolCalls")
        calls = planned or [
            {"name": each.name, "arguments": sample(each, listed.tools)} for each in listed.tools
        ]
        for each in calls:
            await quietly(link, each["name"], each.get("arguments") or {})
    if capabilities.resources is not None:
        await read_all(link)
    if capabilities.prompts is not None:
        await fill_all(link)
    return 0


async def quietly(link: Link, name: str, arguments: dict[str, Any]) -> None:
    """Call a tool; that a server refuses is part of some scenarios."""
    try:
        await link.call(LinkCall(tool=name, arguments=arguments, limit_s=CALL_S))
    except LinkFailed as problem:
        logger.warning("%s: %s", name, problem)


async def read_all(link: Link) -> None:
    async def read(client: Client) -> None:
        for each in (await client.list_resources()).resources:
            await client.read_resource(str(each.uri))

    await link.use(read, limit_s=CALL_S)


async def fill_all(link: Link) -> None:
    async def fill(client: Client) -> None:
        for each in (await client.list_prompts()).prompts:
            await client.get_prompt(each.name, {given.name: "x" for given in each.arguments or ()})

    await link.use(fill, limit_s=CALL_S)


async def accept_defaults(
    context: ClientRequestContext, params: wire.ElicitRequestParams
) -> wire.ElicitResult:
    """Answer as a person who agrees with what is filled in already."""
    schema = getattr(params, "requested_schema", None) or {}
    fields = schema.get("properties", {})
    content = {name: field["default"] for name, field in fields.items() if "default" in field}
    content |= {
        name: True for name, field in fields.items() if field.get("type") == "boolean" and name not in content
    }
    return wire.ElicitResult(action="accept", content=content)


def sample(tool: wire.Tool, known: Sequence[wire.Tool]) -> dict[str, Any]:
    """Return arguments that a tool takes; one that wants a schema gets that of the other tool, as it came."""
    values: dict[str, Any] = {"integer": 2, "number": 3, "boolean": True, "array": [], "object": {}}
    fields = tool.input_schema.get("properties", {})
    if "schema" in fields:
        return {"schema": next(each.input_schema for each in known if each.name != tool.name)}

    required = tool.input_schema.get("required", [])
    return {name: values.get(fields.get(name, {}).get("type"), "x") for name in required}


async def auth(url: str, scenario: Scenario, home: Path) -> httpx2.Auth | None:
    """Return who logs in, in scenarios where somebody must: Lar's own login, with a vault for its tokens."""
    if not scenario.name.startswith("auth/"):
        return None

    known = McpOAuth(
        grant="client_credentials" if "client-credentials-" in scenario.name else "authorization_code",
        private_key_file=_key_file(home, scenario),
        client_id=scenario.context.get("client_id"),
        client_secret=scenario.context.get("client_secret"),
        issuer=scenario.context.get("issuer"),
        client_metadata_url=METADATA_URL,
    )
    entry = ServerEntry(name="suite", origin="the suite", config=McpServer(url=url, oauth=known))
    return await find_auth(entry, url, Vault(home), {}, CALLBACK, Browser("suite"))


def _key_file(home: Path, scenario: Scenario) -> str | None:
    """Return where the key lies that the scenario gives; None where it gives none."""
    pem = scenario.context.get("private_key_pem")
    if pem is None:
        return None
    path = home / "client.pem"
    path.write_text(pem)
    return str(path)
