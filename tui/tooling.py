"""The part of the reducer that is about MCP servers and the tools that wait. Pure; `tui.view` is the door.

Nothing is fetched before somebody looks: asking for it lets the server open its tools.
"""

import msgspec
from msgspec.structs import replace

from runtime.core.events import Envelope
from runtime.core.tool_facts import LinkChanged, LinkClosed, LinkLost, LinkOpened
from tui.reach import ToolChange, Tools, ToolServer
from tui.state import Trouble


class ToolsWanted(msgspec.Struct, frozen=True, kw_only=True):
    """The person wants to see the servers as they are now."""


class ToolsCame(msgspec.Struct, frozen=True, kw_only=True):
    """The servers and the tools that wait came, asked for at a count of the want."""

    servers: tuple[ToolServer, ...]
    changes: tuple[ToolChange, ...]
    asked: int


class ToolsRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The servers could not be listed."""

    trouble: Trouble


class ServerBusy(msgspec.Struct, frozen=True, kw_only=True):
    """A server is being connected, or its tools are being approved."""

    name: str


class ServerDone(msgspec.Struct, frozen=True, kw_only=True):
    """That is over; what came of it is listed anew."""

    name: str


ToolMessage = ToolsWanted | ToolsCame | ToolsRefused | ServerBusy | ServerDone


def tell_tools(tools: Tools, message: ToolMessage) -> Tools:
    """Return what is known of tools after a message."""
    match message:
        case ToolsWanted():
            return replace(tools, want=tools.want.more())
        case ToolsCame():
            return replace(
                tools,
                servers=message.servers,
                changes=message.changes,
                want=tools.want.met(message.asked),
                trouble="",
            )
        case ToolsRefused():
            return replace(tools, want=tools.want.met(tools.want.asked), trouble=message.trouble.message)
        case ServerBusy():
            return replace(tools, busy=tools.busy | {message.name})
        case ServerDone():
            return replace(tools, busy=tools.busy - {message.name}, want=tools.want.more())


def hear_tools(tools: Tools, envelope: Envelope) -> Tools:
    """Return what is known after a fact: servers that came, went or changed are listed anew."""
    match envelope.event:
        case LinkOpened() | LinkLost() | LinkClosed() | LinkChanged() if tools.is_known:
            return replace(tools, want=tools.want.more())
        case _:
            return tools
