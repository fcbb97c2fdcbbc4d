"""`lar mcp add`, `import`, `list`, `test`, `remove` and `approve`: the servers that Lar uses."""

import argparse
import difflib
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from runtime.api.client import LarClient
from runtime.cli.calls import call_server
from runtime.cli.mcp_arguments import read_definition
from runtime.cli.output import EXIT_FAILED, EXIT_USAGE, CommandFailed, notice, say, say_json, say_table
from runtime.cli.place import find_place, require_server
from runtime.cli.recall_calls import clean
from runtime.core.tools import ServerStatus, ToolChange
from runtime.mcp.hosts import Found, HostFile, find_servers, own_files, plain_secrets

_SERVERS = "/api/mcp/servers"
_TEST_S = 120.0
"""A server may be downloaded by its own command first."""
_LOGIN_START_S = 60.0
_LOGIN_S = 300.0
"""For the person; the server gives up by then as well."""
_T = TypeVar("_T")


class _Servers(msgspec.Struct):
    servers: list[ServerStatus]


class _Login(msgspec.Struct):
    url: str


class _Changes(msgspec.Struct):
    changes: list[ToolChange]


def list_servers(chosen: argparse.Namespace) -> int:
    """Print the servers."""
    servers = _run(lambda client: client.ask("GET", _SERVERS, _Servers)).servers
    if chosen.json:
        say_json(servers)
        return 0

    rows = [
        [each.name, each.transport, each.status, str(each.tools), str(each.waiting_tools), _about(each)]
        for each in servers
    ]
    say_table(("SERVER", "BY", "STATUS", "TOOLS", "WAITING", "WHAT"), rows)
    if any(each.waiting_tools for each in servers):
        notice("Tools that wait cannot be called. 'lar mcp approve SERVER' shows them.")
    _warn_of_file(servers)
    return 0


def add_server(chosen: argparse.Namespace) -> int:
    """Take a server up and connect it once."""
    definition = _definition(chosen)
    _warn_of_secrets(chosen.name, definition)
    return _take(chosen.name, definition)


def import_servers(chosen: argparse.Namespace) -> int:
    """Show the servers of other programs, or take some over."""
    found, faults = _find(chosen.file)
    for fault in faults:
        notice(f"! {fault}")
    if chosen.json:
        say_json([{"name": each.name, "host": each.host, "path": str(each.path)} for each in found])
        return 0

    wanted = found if chosen.all else [each for each in found if each.name in chosen.names]
    missing = [name for name in chosen.names if name not in {each.name for each in found}]
    if missing:
        raise CommandFailed(
            f"No program has a server '{missing[0]}'. 'lar mcp import' shows them.", EXIT_USAGE
        )
    if not wanted:
        _show_found(found)
        return 0
    return _take_all(wanted)


def test_server(chosen: argparse.Namespace) -> int:
    """Connect a server anew and print what came of it."""
    status = _run(lambda client: _test(client, chosen.name))
    if chosen.json:
        say_json(status)
    else:
        _show_status(status)
        _warn_of_file(_run(lambda client: client.ask("GET", _SERVERS, _Servers)).servers)
    return 0 if status.status == "ready" else EXIT_FAILED


def log_in(chosen: argparse.Namespace) -> int:
    """Log in at a remote server: show where to go, and wait until the person has been there."""
    path = f"{_SERVERS}/{quote(chosen.name, safe='')}"
    url = _run(lambda client: client.ask("POST", f"{path}/login", _Login, limit_s=_LOGIN_START_S)).url
    if not url:
        notice(f"'{chosen.name}' wants no login.")
        return 0

    notice("Open this address in a browser and log in there:")
    say(clean(url))
    deadline = time.monotonic() + _LOGIN_S
    while time.monotonic() < deadline:
        time.sleep(1.0)
        status = _run(lambda client: client.ask("GET", path, ServerStatus))
        if status.status == "ready":
            _show_status(status)
            return 0
    raise CommandFailed(f"Nobody logged in within {_LOGIN_S:g} s. Begin anew: lar mcp login {chosen.name}")


def remove_server(chosen: argparse.Namespace) -> int:
    """Forget a server."""
    _run(lambda client: client.ask("DELETE", f"{_SERVERS}/{quote(chosen.name, safe='')}", type(None)))
    notice(f"The server '{chosen.name}' is removed, and what was approved of it.")
    return 0


def approve_tools(chosen: argparse.Namespace) -> int:
    """Show the tools of a server that wait, and approve those that the person agrees to."""
    status = _run(lambda client: _test(client, chosen.name))
    if status.status != "ready":
        raise CommandFailed(f"The server '{chosen.name}' cannot be reached: {status.fault}", EXIT_FAILED)

    every = _run(lambda client: client.ask("GET", "/api/mcp/changes", _Changes)).changes
    waiting = [each for each in every if each.tool.server == chosen.name]
    waiting = [each for each in waiting if not chosen.tools or each.tool.name in chosen.tools]
    if not waiting:
        notice(f"No tool of '{chosen.name}' waits for approval.")
        return 0

    agreed = [each for each in waiting if _agrees(each, is_agreed=chosen.yes)]
    for each in agreed:
        _run(partial(_approve, each))
    left = len(waiting) - len(agreed)
    notice(f"{len(agreed)} approved" + (f", {left} still wait." if left else "."))
    return 0 if not left else EXIT_FAILED


def _agrees(change: ToolChange, *, is_agreed: bool) -> bool:
    _show_change(change)
    if is_agreed:
        return not change.warnings
    if not sys.stdin.isatty():
        raise CommandFailed("Nobody can be asked here: say --yes.", EXIT_USAGE)
    notice("Approve it? [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _show_change(change: ToolChange) -> None:
    kind = "changed since it was approved" if change.before else "new"
    say(f"── {change.tool.server} · {clean(change.tool.name)} · {kind}")
    if change.before:
        lines = difflib.unified_diff(
            change.before.splitlines(), change.now.splitlines(), "approved", "now", lineterm=""
        )
        say(clean("\n".join(lines)))
    else:
        say(clean(change.tool.description or "(no description)"))
    for each in change.warnings:
        say(f"   ! {clean(each)}")


def _find(file: str | None) -> tuple[Sequence[Found], Sequence[str]]:
    """Return the servers of other programs, or of one file. Raises CommandFailed where that is no good."""
    if file is None:
        return find_servers(own_files(os.environ))

    path = Path(file).expanduser()
    if not path.is_file():
        raise CommandFailed(
            f"--file: there is no file {path}. Name one in which a program keeps its servers.", EXIT_USAGE
        )
    found, faults = find_servers([HostFile("file", path)])
    if faults:
        raise CommandFailed(f"--file: {faults[0]}", EXIT_USAGE)
    if not found:
        raise CommandFailed(
            f"--file: {path} defines no MCP servers; they stand under 'mcpServers' or 'servers'.", EXIT_USAGE
        )
    return found, ()


def _show_found(found: Sequence[Found]) -> None:
    if not found:
        notice("No program with MCP servers was found. 'lar mcp import --file FILE' reads one.")
        return
    say_table(("SERVER", "OF", "FILE"), [[each.name, each.host, str(each.path)] for each in found])
    notice("'lar mcp import NAME …' takes some of them over, '--all' all of them.")


def _take_all(found: Sequence[Found]) -> int:
    code = 0
    for each in found:
        _warn_of_secrets(each.name, each.definition)
        try:
            code = max(code, _take(each.name, each.definition))
        except CommandFailed as problem:
            notice(f"✖ {each.name}: {problem}")
            code = EXIT_FAILED
    return code


def _take(name: str, definition: dict[str, Any]) -> int:
    body = {"name": name, "definition": definition}

    async def take(client: LarClient) -> ServerStatus:
        headers = {"Content-Type": "application/json"}
        await client.ask("POST", _SERVERS, ServerStatus, data=msgspec.json.encode(body), headers=headers)
        return await _test(client, name)

    status = _run(take)
    _show_status(status)
    if status.waiting_tools:
        notice(f"Its tools wait for you: lar mcp approve {name}")
    return 0 if status.status in ("ready", "disabled") else EXIT_FAILED


async def _test(client: LarClient, name: str) -> ServerStatus:
    return await client.ask("POST", f"{_SERVERS}/{quote(name, safe='')}/test", ServerStatus, limit_s=_TEST_S)


async def _approve(change: ToolChange, client: LarClient) -> None:
    body = msgspec.json.encode({"tool": change.tool.name, "digest": change.tool.digest})
    path = f"{_SERVERS}/{quote(change.tool.server, safe='')}/approve"
    await client.ask("POST", path, type(None), data=body, headers={"Content-Type": "application/json"})


def _show_status(status: ServerStatus) -> None:
    say(f"{status.name}: {status.status}, {status.tools} tools, {status.waiting_tools} wait for approval")
    if status.fault:
        say(f"  {clean(status.fault)}")
    if status.sandbox:
        say(f"  {status.sandbox}")


def _definition(chosen: argparse.Namespace) -> dict[str, Any]:
    target = read_definition(chosen)
    if not target:
        raise CommandFailed("Name the server's address, or '--' and its command.", EXIT_USAGE)
    is_remote = target[0].startswith(("http://", "https://"))
    _refuse_unfitting(chosen, target[0], is_remote=is_remote)
    if is_remote:
        told: dict[str, Any] = {"type": "sse" if chosen.sse else "http", "url": target[0]}
        if chosen.header:
            told["headers"] = _pairs(chosen.header)
    else:
        told = {"command": target[0], "args": target[1:]}
        if chosen.env:
            told["env"] = _pairs(chosen.env)
        if chosen.cwd:
            told["cwd"] = str(Path(chosen.cwd).absolute())
        sandbox = _sandbox(chosen)
        if sandbox:
            told["sandbox"] = sandbox
    if chosen.trust:
        told["trust"] = True
    return told


def _refuse_unfitting(chosen: argparse.Namespace, target: str, *, is_remote: bool) -> None:
    """Refuse what would be passed over in silence. Raises CommandFailed."""
    if not is_remote and "://" in target:
        raise CommandFailed(
            f"'{target}' is no address of an MCP server: it begins with http:// or https://.", EXIT_USAGE
        )
    kind, other, options = (
        ("remote", "local", ("env", "cwd", "network", "read", "write", "no_sandbox"))
        if is_remote
        else ("local", "remote", ("header", "sse"))
    )
    for each in options:
        if getattr(chosen, each):
            option = f"--{each.replace('_', '-')}"
            raise CommandFailed(
                f"{option} is for a {other} server, and '{target}' makes a {kind} one. Leave it out.",
                EXIT_USAGE,
            )


def _sandbox(chosen: argparse.Namespace) -> dict[str, Any]:
    if chosen.no_sandbox:
        return {"enabled": False}
    grants: dict[str, Any] = {"network": True} if chosen.network else {}
    for kind in ("read", "write"):
        paths = [str(Path(each).expanduser().absolute()) for each in getattr(chosen, kind)]
        if paths:
            grants[kind] = paths
    return grants


def _pairs(told: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for each in told:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise CommandFailed(f"'{each}' is not NAME=VALUE.", EXIT_USAGE)
        pairs[name] = value
    return pairs


def _warn_of_secrets(name: str, definition: dict[str, Any]) -> None:
    for field in plain_secrets(definition):
        notice(
            f"! {name}: {field} holds its value in place; better write ${{VAR}} and set VAR where Lar starts."
        )


def _warn_of_file(servers: Sequence[ServerStatus]) -> None:
    """Tell that a file of servers is broken, which stands among them under its own name."""
    for each in servers:
        if each.name == each.origin:
            notice(f"! {clean(each.fault)}")


def _about(status: ServerStatus) -> str:
    if status.name == status.origin:
        return "this file is broken, see below"
    return clean(status.fault or status.target)


def _run(work: Callable[[LarClient], Awaitable[_T]]) -> _T:
    return call_server(require_server(find_place()), work)
