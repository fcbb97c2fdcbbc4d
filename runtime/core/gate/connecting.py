"""Outgoing connections of the server itself, put to the gate: every host, those of redirects as well."""

from collections.abc import Awaitable, Callable

from runtime.core.gate.principals import Principal
from runtime.core.gate.words import Gate, GateResource, Question
from runtime.core.ids import PrincipalId

SERVER = Principal(id=PrincipalId("lar"), role="operator")
"""The server, when it fetches: for sources of Recall, for the tool that reads pages."""


def host_check(gate: Gate) -> Callable[[str, int], Awaitable[str | None]]:
    """Return what says why a host may not be reached; None where it may."""

    async def check(host: str, port: int) -> str | None:
        resource = GateResource(kind="Host", id=f"{host}:{port}", attributes={"host": host, "port": port})
        ruling = await gate.rule(Question(principal=SERVER, action="connect", resource=resource))
        return None if ruling.outcome == "allow" else ruling.reason

    return check
