"""`lar mcp serve`: what Lar remembers, over MCP; a thin process before the running server."""

import argparse

from runtime.api.remote.recall import RemoteRecall
from runtime.cli.calls import call_server
from runtime.cli.place import find_place, require_server
from runtime.cli.recall_calls import TENANT
from runtime.mcp.serve import serve_stdio


def serve(chosen: argparse.Namespace) -> int:
    """Serve until stdin ends. Raises CommandFailed where no server runs."""
    del chosen
    server = require_server(find_place())
    call_server(server, lambda client: serve_stdio(RemoteRecall(client), TENANT, "mcp"))
    return 0
