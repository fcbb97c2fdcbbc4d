"""Lar's own tools of a run as models are told of them. Pure."""

from collections.abc import Sequence
from typing import Any

from runtime.core.agents.plans import PlannedTool

QUESTION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "minLength": 1, "description": "What to look for, in plain words."}
    },
    "required": ["query"],
    "additionalProperties": False,
}
_PROGRAM: dict[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "Python. Print what you want to see."}},
    "required": ["code"],
    "additionalProperties": False,
}


def file_search_tool(description: str, settings: dict[str, Any]) -> PlannedTool:
    """Return the search in collections; `settings` are those of `hosted.file_search`."""
    return PlannedTool(
        name="file_search",
        description=description,
        parameters=QUESTION,
        form="file_search",
        executor="hosted",
        is_idempotent=True,
        settings=settings,
    )


def web_search_tool(domains: Sequence[str], limit: int) -> PlannedTool:
    """Return the search in the web, within these domains if there are any."""
    return PlannedTool(
        name="web_search",
        description="Search the web and get addresses and excerpts of pages to cite.",
        parameters=QUESTION,
        form="web_search",
        executor="hosted",
        is_idempotent=True,
        settings={"allowed_domains": list(domains), "limit": limit},
    )


def code_tool(settings: dict[str, Any]) -> PlannedTool:
    """Return the sandbox for programs; `settings` are those of `hosted.code_interpreter`."""
    return PlannedTool(
        name="code_interpreter",
        description=(
            "Run Python in a sandbox without network. Variables and files stay from call to call. "
            "Files that you are given lie in the working folder; pictures that you save there are shown."
        ),
        parameters=_PROGRAM,
        form="code_interpreter",
        executor="hosted",
        settings=settings,
    )
