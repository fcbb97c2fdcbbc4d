"""How commands about agents reach the server, starting one where none runs."""

from typing import Any
from urllib.parse import quote

import msgspec

from runtime.api.client import LarClient
from runtime.cli.calls import call_server
from runtime.cli.launcher import ensure_server
from runtime.cli.place import find_place


def ask(method: str, path: str, answer: type[Any], body: object = None, limit_s: float = 60.0) -> Any:
    """Ask the server. Raises CommandFailed."""
    more: dict[str, Any] = {}
    if body is not None:
        more = {"data": msgspec.json.encode(body), "headers": {"Content-Type": "application/json"}}
    return _call(method, path, answer, limit_s, more)


def ask_text(method: str, path: str, answer: type[Any], text: str, version: str | None = None) -> Any:
    """Ask the server with a text that is YAML; a version is the one that it changes. Raises CommandFailed."""
    headers = {"Content-Type": "application/yaml"}
    if version is not None:
        headers["If-Match"] = f'"{version}"'
    return _call(method, path, answer, 60.0, {"data": text.encode(), "headers": headers})


def read_text(path: str) -> str:
    """Return a text that the server has. Raises CommandFailed."""

    async def over(client: LarClient) -> str:
        return b"".join([piece async for piece in client.pieces(path)]).decode()

    return call_server(ensure_server(find_place()), over)


def agent_path(name: str, more: str = "") -> str:
    """Return the path of an agent."""
    return f"/api/agents/{quote(name, safe='')}{more}"


def run_path(run: str, more: str = "") -> str:
    """Return the path of a run."""
    return f"/api/runs/{quote(run, safe='')}{more}"


def _call(method: str, path: str, answer: type[Any], limit_s: float, more: dict[str, Any]) -> Any:
    async def over(client: LarClient) -> Any:
        return await client.ask(method, path, answer, limit_s=limit_s, **more)

    return call_server(ensure_server(find_place()), over)
