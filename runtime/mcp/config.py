"""Definitions of MCP servers: `mcp.json` as other hosts write it, and `[mcp.servers.<name>]` of lar.toml.

Texts keep their references (`${VAR}`) here; they are replaced when a server is connected, so that no
secret lies in a definition. A server with a mistake is an entry with a fault: the others work on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from runtime.core.fetching import Reach
from runtime.core.gate.principals import Principal, decide_access
from runtime.core.settings import McpServer, McpSettings
from runtime.core.tools import Transport
from runtime.mcp.jsonc import parse_jsonc
from runtime.mcp.variables import has_references

SERVERS_FILE = "mcp.json"

_FIELDS = {
    "type": "type",
    "transport": "type",
    "command": "command",
    "args": "args",
    "env": "env",
    "envFile": "env_file",
    "cwd": "cwd",
    "url": "url",
    "serverUrl": "url",
    "headers": "headers",
    "disabled": "disabled",
    "era": "era",
    "concurrency": "concurrency",
    "maxResultBytes": "max_result_bytes",
    "allowedTools": "allowed_tools",
    "disabledTools": "disabled_tools",
    "trust": "trust",
    "roots": "roots",
    "sampling": "sampling",
}
"""What is read of an entry of mcp.json, and the setting that it is. Anything else stays where it is."""
_OAUTH = {
    "grant": "grant",
    "clientId": "client_id",
    "clientSecret": "client_secret",
    "privateKeyFile": "private_key_file",
    "issuer": "issuer",
    "scopes": "scopes",
    "clientMetadataUrl": "client_metadata_url",
}
_TYPES = {
    "stdio": "stdio",
    "local": "stdio",
    "sse": "sse",
    "http": "http",
    "remote": "http",
    "streamable-http": "http",
    "streamable_http": "http",
    "streamableHttp": "http",
}


class ConfigInvalid(Exception):
    """A definition cannot be used; the message names file, server and field, and the way out."""


class ServerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One server as somebody has defined it."""

    name: str
    origin: str
    """`mcp.json`, `lar.toml`, or who else has defined it."""
    config: McpServer = McpServer()
    fault: str = ""
    """Why it cannot be used."""
    reach: Reach = "anywhere"
    """Where the hosts may be that it names."""
    is_file: bool = False
    """It stands for a whole file that cannot be read, and says why."""

    @property
    def transport(self) -> Transport:
        """How the server is spoken to."""
        if self.config.type is not None:
            return self.config.type
        return "stdio" if self.config.command else "http"


def read_entries(home: Path, settings: McpSettings) -> list[ServerEntry]:
    """Return the servers of lar.toml, then those of mcp.json, in the order of the files. Reads the disk.

    A file that cannot be read at all is an entry of its own name with the fault.
    """
    entries = {
        name: checked(ServerEntry(name=name, origin="lar.toml", config=config))
        for name, config in settings.servers.items()
    }
    for entry in _read_file(home / SERVERS_FILE):
        if entry.name in entries:
            message = f"{SERVERS_FILE}: {entry.name}: lar.toml defines it as well, and that is what counts."
            entry = ServerEntry(name=f"{entry.name} ({SERVERS_FILE})", origin=SERVERS_FILE, fault=message)
        entries[entry.name] = entry
    return list(entries.values())


def _read_file(path: Path) -> list[ServerEntry]:
    try:
        return parse_servers(path.read_text(encoding="utf-8-sig"), path.name)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as problem:
        return [_broken(path, f"{path}: cannot be read: {problem}.")]
    except ConfigInvalid as problem:
        return [_broken(path, str(problem))]


def _broken(path: Path, fault: str) -> ServerEntry:
    return ServerEntry(name=path.name, origin=path.name, fault=fault, is_file=True)


def parse_servers(text: str, file: str) -> list[ServerEntry]:
    """Return the servers of a file of Lar or of another host. Raises ConfigInvalid where it is none."""
    return [
        parse_entry(name, told, file) for name, told in servers_of(parse_document(text, file), file).items()
    ]


def parse_document(text: str, file: str) -> dict[str, Any]:
    """Return the whole file. Raises ConfigInvalid."""
    try:
        tree = parse_jsonc(text) if text.strip() else {}
    except ValueError as problem:
        raise ConfigInvalid(f"{file}: not valid JSON: {problem}.") from problem

    if not isinstance(tree, dict):
        raise ConfigInvalid(f"{file}: expected an object with 'mcpServers'.")
    return tree


def servers_of(tree: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return the entries by name, wherever a host puts them. Raises ConfigInvalid."""
    nested = tree.get("mcp")
    for place in (tree, nested if isinstance(nested, dict) else {}):
        for key in ("mcpServers", "servers"):
            servers = place.get(key)
            if isinstance(servers, dict):
                return servers
            if servers is not None:
                raise ConfigInvalid(f"{file}: {key}: expected an object with a server under each name.")
    return {}


def parse_entry(name: str, told: Any, file: str) -> ServerEntry:
    """Return one server; with a fault where its definition is wrong."""
    try:
        config = parse_server(name, told, file)
    except ConfigInvalid as problem:
        return ServerEntry(name=name, origin=file, fault=str(problem))
    return checked(ServerEntry(name=name, origin=file, config=config))


def lent_entry(
    name: str, told: Any, file: str, owner: Principal | None, *, may_run_programs: bool
) -> ServerEntry:
    """Return a server that is there for a time, for its owner alone or as an agent's; faults as above."""
    entry = parse_entry(name, told, file)
    is_trusted = owner is None or decide_access(owner, "operate") is None
    entry = msgspec.structs.replace(entry, reach="this_machine" if is_trusted else "public")
    if entry.fault or may_run_programs:
        return entry
    fault = ""
    if entry.transport == "stdio":
        fault = f"{file}: {name}: only remote servers can be named here."
    elif any(map(has_references, (entry.config.url or "", *entry.config.headers.values()))):
        fault = f"{file}: {name}: variables of this machine cannot be named here."
    return msgspec.structs.replace(entry, fault=fault)


def parse_server(name: str, told: Any, file: str) -> McpServer:
    """Return the settings that an entry means. Raises ConfigInvalid."""
    where = f"{file}: {name}"
    if not isinstance(told, dict):
        raise ConfigInvalid(f"{where}: expected an object with 'command' or 'url'.")

    fields: dict[str, Any] = {_FIELDS[key]: value for key, value in told.items() if key in _FIELDS}
    fields |= _nested(told, where)
    if "type" in fields:
        fields["type"] = _kind(fields["type"], where)
    for table in ("env", "headers"):
        if table in fields:
            fields[table] = _texts(fields[table], f"{where}: {table}")
    try:
        return msgspec.convert(fields, McpServer)
    except msgspec.ValidationError as problem:
        message, _, place = str(problem).partition(" - at `$.")
        key = next((key for key, field in _FIELDS.items() if field == place.rstrip("`")), place.rstrip("`"))
        raise ConfigInvalid(f"{where}: {key}: {message[0].lower()}{message[1:]}.") from problem


def _nested(told: dict[str, Any], where: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, names in (("timeouts", {"connect": "connect_timeout_s", "call": "call_timeout_s"}),):
        table = told.get(key)
        if table is None:
            continue
        if not isinstance(table, dict):
            raise ConfigInvalid(f'{where}: {key}: expected an object such as {{"connect": 20, "call": 300}}.')
        fields |= {names[part]: value for part, value in table.items() if part in names}
    oauth = told.get("oauth")
    if isinstance(oauth, dict):
        fields["oauth"] = {_OAUTH[key]: value for key, value in oauth.items() if key in _OAUTH}
    sandbox = told.get("sandbox")
    if isinstance(sandbox, dict):
        known = ("enabled", "network", "read", "write")
        # Other hosts write sandboxes of another make under the same key: theirs grant nothing here.
        fields["sandbox"] = {key: sandbox[key] for key in known if key in sandbox}
    return fields


def _kind(told: Any, where: str) -> str:
    kind = _TYPES.get(told) if isinstance(told, str) else None
    if kind is None:
        raise ConfigInvalid(f"{where}: type: '{told}' is unknown; it takes stdio, sse or http.")
    return kind


def _texts(told: Any, where: str) -> dict[str, str]:
    """Return a table of texts; numbers and truths are taken as they are written."""
    if not isinstance(told, dict):
        raise ConfigInvalid(f"{where}: expected an object of names and texts.")

    texts = {}
    for key, value in told.items():
        if isinstance(value, bool):
            texts[key] = str(value).lower()
        elif isinstance(value, str | int | float):
            texts[key] = str(value)
        else:
            raise ConfigInvalid(f"{where}.{key}: expected a text.")
    return texts


def checked(entry: ServerEntry) -> ServerEntry:
    """Return the entry, with a fault where its parts do not go together."""
    config, fault = entry.config, ""
    if not config.command and not config.url:
        fault = "it needs 'command' for a local server, or 'url' for a remote one"
    elif config.command and config.url:
        fault = "it has both 'command' and 'url'; leave one out"
    elif (config.type == "stdio") != bool(config.command) and config.type is not None:
        fault = f"type: '{config.type}' does not go with '{'command' if config.command else 'url'}'"
    elif _lacks_credentials(config):
        fault = (
            "oauth: the grant client_credentials needs clientId, issuer, and one of clientSecret and "
            "privateKeyFile"
        )
    elif _signs_in_vain(config):
        fault = (
            "oauth.privateKeyFile goes with the grant client_credentials alone; set it, or leave the key out"
        )
    elif not entry.name.strip():
        fault = "a server needs a name"
    return msgspec.structs.replace(entry, fault=f"{entry.origin}: {entry.name}: {fault}.") if fault else entry


def _signs_in_vain(config: McpServer) -> bool:
    oauth = config.oauth
    return oauth is not None and oauth.private_key_file is not None and oauth.grant != "client_credentials"


def _lacks_credentials(config: McpServer) -> bool:
    oauth = config.oauth
    if oauth is None or oauth.grant == "authorization_code":
        return False
    has_one = bool(oauth.client_secret) != bool(oauth.private_key_file)
    return not (oauth.client_id and has_one and oauth.issuer)
