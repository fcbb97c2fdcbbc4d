"""What a person has approved of each tool, by hash and in full, in `mcp-pins.json`.

The digest is of everything that a model or a person sees of a tool. A tool that is not as it was approved
is quarantined until somebody approves it anew. One thread at a time.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import mcp.types as wire
import msgspec

from runtime.core.errors import Fault, StoreDamaged
from runtime.core.tools import Trust
from runtime.core.writing import write_private

logger = logging.getLogger(__name__)

PINS_FILE = "mcp-pins.json"
_SEEN = (
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
    "icons",
    "execution",
    "_meta",
)


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """One tool as it was approved."""

    digest: str
    definition: dict[str, Any]
    approved_at: float
    by: str


class _PinFile(msgspec.Struct, kw_only=True):
    version: int = 1
    servers: dict[str, dict[str, Pin]] = {}


class PinsUnreadable(StoreDamaged):
    """The file of pins is damaged; the message says so, and the way out."""


def definition_of(tool: wire.Tool) -> dict[str, Any]:
    """Return everything that somebody sees of a tool, as the server said it."""
    told = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: told[key] for key in _SEEN if key in told}


def digest_of(definition: dict[str, Any]) -> str:
    """Return the hash of a definition."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def shown(definition: dict[str, Any]) -> str:
    """Return a definition for a person; what cannot be seen is escaped."""
    return json.dumps(definition, indent=2, ensure_ascii=True)


class Pins:
    """The approved tools. Methods that write block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = _PinFile()

    def load(self) -> None:
        """Read the file. Raises PinsUnreadable: going on without it would forget what was approved."""
        try:
            self._kept = msgspec.json.decode(self._path.read_bytes(), type=_PinFile)
        except FileNotFoundError:
            self._kept = _PinFile()
        except (OSError, msgspec.DecodeError) as problem:
            message = f"{self._path} cannot be read ({problem}). Move it away; then approve the tools anew."
            raise PinsUnreadable(Fault(code="store_damaged", message=message)) from problem

    def find(self, server: str, tool: str) -> Pin | None:
        """Return what was approved."""
        return self._kept.servers.get(server, {}).get(tool)

    def judge(self, server: str, tool: str, digest: str) -> Trust:
        """Say what a definition is worth."""
        pin = self.find(server, tool)
        if pin is None:
            return "new"
        return "approved" if pin.digest == digest else "changed"

    def approve(self, server: str, pins: dict[str, Pin]) -> None:
        """Keep tools as they are now. Raises OSError, and then nothing has changed."""
        servers = {**self._kept.servers, server: {**self._kept.servers.get(server, {}), **pins}}
        self._write(servers)

    def forget(self, server: str) -> None:
        """Drop all of a server's pins. Raises OSError."""
        if server in self._kept.servers:
            self._write({name: each for name, each in self._kept.servers.items() if name != server})

    def _write(self, servers: dict[str, dict[str, Pin]]) -> None:
        kept = _PinFile(servers=servers)
        text = msgspec.json.format(msgspec.json.encode(kept, order="deterministic"), indent=1).decode()
        write_private(self._path, text + "\n")
        self._kept = kept
