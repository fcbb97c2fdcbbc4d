"""The plain requests about approvals, questions and MCP servers: where they go and what comes back. Pure."""

from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from tui.reach import Approval, OpenQuestion, QuestionAction, ToolChange, ToolServer

ANSWER_S = 15.0
"""The bound of a plain request."""
CONNECT_SERVER_S = 120.0
"""A server may be downloaded by its own command first."""

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """One request."""

    method: str
    path: str
    answer: type[T]
    """`NoneType` where nothing comes back."""
    body: dict[str, Any] | None = None
    limit_s: float = ANSWER_S


class ApprovalList(msgspec.Struct, frozen=True):
    """Approvals, the newest first."""

    approvals: tuple[Approval, ...]


class QuestionList(msgspec.Struct, frozen=True):
    """Open questions, the oldest first."""

    questions: tuple[OpenQuestion, ...]


class ServerList(msgspec.Struct, frozen=True):
    """The MCP servers."""

    servers: tuple[ToolServer, ...]


class ChangeList(msgspec.Struct, frozen=True):
    """The tools that wait."""

    changes: tuple[ToolChange, ...]


def list_approvals(status: str = "") -> Call[ApprovalList]:
    """Ask for the approvals of a status, or for all that the server keeps."""
    return Call("GET", f"/api/approvals?status={status}" if status else "/api/approvals", ApprovalList)


def answer_approval(identity: str, *, is_approved: bool, scope: str, note: str) -> Call[Approval]:
    """Answer an approval."""
    body = {"is_approved": is_approved, "scope": scope, "note": note}
    return Call("POST", f"/api/approvals/{quote(identity, safe='')}/answer", Approval, body)


def list_questions() -> Call[QuestionList]:
    """Ask for the questions of servers that wait."""
    return Call("GET", "/api/mcp/questions", QuestionList)


def answer_question(identity: str, action: QuestionAction, content: dict[str, Any] | None) -> Call[None]:
    """Answer a server's question."""
    body: dict[str, Any] = {"action": action}
    if action == "accept" and content is not None:
        body["content"] = content
    return Call("POST", f"/api/mcp/questions/{quote(identity, safe='')}/answer", type(None), body)


def list_servers() -> Call[ServerList]:
    """Ask for the MCP servers. The first time the server opens its tools for it."""
    return Call("GET", "/api/mcp/servers", ServerList)


def list_changes() -> Call[ChangeList]:
    """Ask for the tools that wait for approval."""
    return Call("GET", "/api/mcp/changes", ChangeList)


def connect_server(name: str) -> Call[ToolServer]:
    """Have a server connected anew."""
    path = f"/api/mcp/servers/{quote(name, safe='')}/test"
    return Call("POST", path, ToolServer, limit_s=CONNECT_SERVER_S)


def approve_tool(change: ToolChange) -> Call[None]:
    """Let a tool be called as it was seen."""
    body = {"tool": change.tool.name, "digest": change.tool.digest}
    path = f"/api/mcp/servers/{quote(change.tool.server, safe='')}/approve"
    return Call("POST", path, type(None), body)
