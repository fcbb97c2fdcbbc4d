"""What a relay must know of MCP's messages: which era they are of, what headers they travel under. Pure."""

import base64
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Era = Literal["handshake", "stateless"]
"""handshake: up to 2025-11-25, with sessions · stateless: from 2026-07-28 on, each request by itself."""

_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_PLAIN = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_NAMED: Mapping[str, str] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
UNREACHABLE = -32000
PARSE_ERROR = -32700
UNAUTHORIZED = 401


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the client: enough of it to pass it on. The rest travels as it is."""

    method: str | None = None
    id: int | float | str | None = None
    params: dict[str, Any] | None = None

    @property
    def version(self) -> str | None:
        """The protocol version that the message itself names."""
        meta = (self.params or {}).get("_meta")
        version = meta.get(_VERSION_KEY) if isinstance(meta, dict) else None
        return version if isinstance(version, str) and self.method != "initialize" else None

    @property
    def is_request(self) -> bool:
        """Whether it wants an answer."""
        return self.method is not None and self.id is not None


def headers_of(message: Incoming) -> dict[str, str]:
    """Return what a stateless request repeats in its headers."""
    headers = {"MCP-Protocol-Version": message.version or "", "Mcp-Method": message.method or ""}
    field = _NAMED.get(message.method or "")
    value = (message.params or {}).get(field) if field else None
    if isinstance(value, str):
        headers["Mcp-Name"] = value if _PLAIN.fullmatch(value) else _encoded(value)
    return headers


def cancelled_by(message: Incoming) -> int | float | str | None:
    """Return the id of the request that the message gives up."""
    if message.method != "notifications/cancelled":
        return None
    found = (message.params or {}).get("requestId")
    return found if isinstance(found, int | float | str) else None


def error(request: int | float | str | None, code: int, message: str) -> bytes:
    """Return the answer that a request failed on the way."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request, "error": {"code": code, "message": message}})


def refusal(status: int, content: bytes) -> str:
    """Return in words why the server would not take a request, and what to do where it is the key."""
    try:
        told = msgspec.json.decode(content, type=_Refused).error.message
    except msgspec.DecodeError:
        told = content[:500].decode(errors="replace")
    fix = ""
    if status == UNAUTHORIZED:
        fix = (
            " Set LAR_API_KEY to a key that exists, where this client is told how to start 'lar mcp serve'; "
            "or unset it, and the owner's own is used."
        )
    return f"Lar's server refused: {told} (HTTP {status}){fix}"


class _Error(msgspec.Struct):
    message: str


class _Refused(msgspec.Struct):
    error: _Error


class Events:
    """Takes a stream of server-sent events apart."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, part: bytes) -> list[bytes]:
        """Return the data of the events that are complete."""
        found: list[bytes] = []
        *lines, self._rest = (self._rest + part).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                found.append(b"\n".join(self._data))
                self._data = []
        return [each for each in found if each]


def _encoded(value: str) -> str:
    return f"=?base64?{base64.b64encode(value.encode()).decode('ascii')}?="
