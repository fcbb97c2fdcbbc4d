"""Where other hosts keep their MCP servers, by platform, and what lies there. Reads the disk; no SDK."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runtime.mcp.config import ConfigInvalid, parse_document, servers_of


class HostFile(NamedTuple):
    """One file of another host."""

    host: str
    path: Path


class Found(NamedTuple):
    """One server of another host."""

    host: str
    path: Path
    name: str
    definition: dict[str, Any]


def host_files(home: Path, folder: Path, environment: Mapping[str, str], platform: str) -> list[HostFile]:
    """Return every place where a host of this person keeps servers, whether or not there is a file."""
    if platform == "darwin":
        support = home / "Library" / "Application Support"
    elif platform == "win32":
        support = Path(environment.get("APPDATA") or home / "AppData" / "Roaming")
    else:
        support = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return [
        HostFile("claude-desktop", support / "Claude" / "claude_desktop_config.json"),
        HostFile("claude-code", home / ".claude.json"),
        HostFile("claude-code", folder / ".mcp.json"),
        HostFile("cursor", home / ".cursor" / "mcp.json"),
        HostFile("cursor", folder / ".cursor" / "mcp.json"),
        HostFile("lm-studio", home / ".lmstudio" / "mcp.json"),
        HostFile("vscode", support / "Code" / "User" / "mcp.json"),
        HostFile("vscode", folder / ".vscode" / "mcp.json"),
        HostFile("windsurf", home / ".codeium" / "windsurf" / "mcp_config.json"),
    ]


def find_servers(files: list[HostFile]) -> tuple[list[Found], list[str]]:
    """Return the servers in those files that exist, and what is wrong with the others."""
    found: list[Found] = []
    faults: list[str] = []
    for host, path in files:
        try:
            tree = parse_document(path.read_text(encoding="utf-8-sig"), str(path))
            servers = servers_of(tree, str(path))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as problem:
            faults.append(f"{path}: cannot be read: {problem}.")
            continue
        except ConfigInvalid as problem:
            faults.append(str(problem))
            continue
        found += [Found(host, path, name, each) for name, each in servers.items() if isinstance(each, dict)]
    return found, faults


def own_files(environment: Mapping[str, str]) -> list[HostFile]:
    """Return the places of this person on this machine, and of the folder that the command runs in."""
    return host_files(Path.home(), Path.cwd(), environment, sys.platform)


def plain_secrets(definition: dict[str, Any]) -> list[str]:
    """Return the fields that seem to hold a secret itself instead of a reference to it."""
    words = ("key", "token", "secret", "password", "authorization", "credential")
    fields = []
    for table in ("env", "headers"):
        entries = definition.get(table)
        for name, value in entries.items() if isinstance(entries, dict) else ():
            is_secret = any(word in str(name).lower() for word in words)
            if is_secret and "${" not in json.dumps(value):
                fields.append(f"{table}.{name}")
    return fields
