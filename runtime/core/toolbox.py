"""What a running server has of tools, and how it is reached: opened at the first use."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from runtime.core.doors import McpDoors
from runtime.core.questions import QuestionBoard
from runtime.core.tools import Hub, ServerBook


class Toolbox(NamedTuple):
    """The tools of a running server."""

    hub: Hub
    servers: ServerBook
    doors: McpDoors
    questions: QuestionBoard


OpenToolbox = Callable[[], Awaitable[Toolbox]]
"""Returns the tools; the first time takes a second or two. Raises StoreDamaged: they cannot be opened."""
