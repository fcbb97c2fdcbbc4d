"""Serves recall over MCP on stdin and stdout, until the client closes stdin. Other doors are not here."""

from mcp.server.stdio import stdio_server

from runtime.core.ids import TenantId
from runtime.mcp.servers.reach import RecallReach
from runtime.mcp.servers.recall import recall_server


async def serve_stdio(recall: RecallReach, tenant: TenantId, by: str | None) -> None:
    """Answer a client on stdio; both eras of the protocol. Prints of others go to stderr meanwhile."""
    server = recall_server(recall, tenant, by)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())
