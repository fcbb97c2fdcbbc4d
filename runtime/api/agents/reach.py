"""How the routes of agents reach them."""

from aiohttp import web

from runtime.api.deps import DEPS
from runtime.api.errors import Refusal, Refused
from runtime.core.agents.parts import AgentParts


def agents_of(request: web.Request) -> AgentParts:
    """Return the agents. Raises Refused where the server was started without them."""
    agents = request.app[DEPS].agents
    if agents is None:
        message = "This server was started without agents."
        raise Refused(Refusal(status=503, type="server_error", code="agents_off", message=message))
    return agents
