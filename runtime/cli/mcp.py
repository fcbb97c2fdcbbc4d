"""`lar mcp serve`: all that Lar offers, as MCP over stdin and stdout; a thin process before the server."""

import argparse

import anyio

from runtime.api.remote.mcp_relay import Target, relay_stdio
from runtime.cli.launcher import ensure_server
from runtime.cli.place import find_place, key_for
from runtime.instance import find_instance


def serve(chosen: argparse.Namespace) -> int:
    """Serve until stdin ends; starts a server where none runs. Raises CommandFailed where that fails."""
    del chosen
    place = find_place()
    ensure_server(place)

    def find() -> Target | None:
        instance = find_instance(place.home)
        return None if instance is None else Target(instance.address, key_for(instance))

    anyio.run(relay_stdio, find)
    return 0
