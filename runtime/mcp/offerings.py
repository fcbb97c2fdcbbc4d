"""Lists of resources and prompts of one connected server; empty where it has none."""

from mcp import Client, MCPError
from mcp.types import METHOD_NOT_FOUND

from runtime.core.tools import Prompt, Resource
from runtime.mcp.convert import prompt_of, resource_of
from runtime.mcp.listing import collect


async def list_resources(client: Client, server: str) -> list[Resource]:
    """Return what can be read, templates last."""
    if client.server_capabilities.resources is None:
        return []

    found = await collect(lambda cursor: client.list_resources(cursor=cursor), lambda page: page.resources)
    try:
        templates = await collect(
            lambda cursor: client.list_resource_templates(cursor=cursor), lambda page: page.resource_templates
        )
    except MCPError as problem:
        if problem.code != METHOD_NOT_FOUND:
            raise
        templates = []
    return [resource_of(server, each) for each in (*found, *templates)]


async def list_prompts(client: Client, server: str) -> list[Prompt]:
    """Return the prompts."""
    if client.server_capabilities.prompts is None:
        return []
    found = await collect(lambda cursor: client.list_prompts(cursor=cursor), lambda page: page.prompts)
    return [prompt_of(server, each) for each in found]
