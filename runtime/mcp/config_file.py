"""Writes Lar's own `mcp.json`: adds and removes servers, and keeps everything that it does not know.

The file may hold secrets of people who wrote them there, so it is for its owner only.
"""

import json
from pathlib import Path
from typing import Any

from runtime.core.writing import write_private
from runtime.mcp.config import ConfigInvalid, ServerEntry, parse_document, parse_entry, servers_of


def add_server(path: Path, name: str, told: dict[str, Any], *, may_replace: bool = False) -> ServerEntry:
    """Write a server into the file. Raises ConfigInvalid where it, the file or the name is no good."""
    entry = parse_entry(name, told, path.name)
    if entry.fault:
        raise ConfigInvalid(entry.fault)

    tree = _load(path)
    servers = _servers(tree, path.name)
    if name in servers and not may_replace:
        raise ConfigInvalid(f"{path.name}: {name}: there is a server of that name; remove it first.")
    servers[name] = {**servers.get(name, {}), **told} if isinstance(servers.get(name), dict) else told
    write_private(path, json.dumps(tree, indent=2, ensure_ascii=False) + "\n")
    return entry


def remove_server(path: Path, name: str) -> bool:
    """Take a server out of the file; False where it was not there. Raises ConfigInvalid."""
    tree = _load(path)
    if servers_of(tree, path.name).pop(name, None) is None:
        return False

    write_private(path, json.dumps(tree, indent=2, ensure_ascii=False) + "\n")
    return True


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigInvalid(f"{path}: cannot be read: {problem}.") from problem

    tree = parse_document(text, path.name)
    try:
        json.loads(text or "{}")
    except ValueError as problem:
        raise ConfigInvalid(
            f"{path}: has comments, which would be lost; write the server into it by hand."
        ) from problem
    return tree


def _servers(tree: dict[str, Any], file: str) -> dict[str, Any]:
    servers = servers_of(tree, file)
    if not servers and not isinstance(tree.get("servers"), dict):
        servers = tree.setdefault("mcpServers", {})
    return servers
