"""Hands what an outside server asks in mid-call on to the client that called, if it can ask its person.

A server does not say which of its calls a question belongs to. So it is handed on only while one call alone
is under way there; else it goes where all others go.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import mcp.types as wire
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from runtime.core.tools import Elicit, Elicitation, ElicitationAnswer

logger = logging.getLogger(__name__)

_ASKER: ContextVar[Elicit | None] = ContextVar("asker", default=None)


def shows_forms(context: ServerRequestContext[Any, Any]) -> bool:
    """Whether the client shows forms to a person."""
    declared = context.session.client_capabilities
    asking = None if declared is None else declared.elicitation
    return asking is not None and (asking.form is not None or asking.url is None)


@contextmanager
def reachable(context: ServerRequestContext[Any, Any]) -> Iterator[None]:
    """Let servers that are called while the context lasts ask the person behind the client."""
    can_ask = context.session.can_send_request and shows_forms(context)
    token = _ASKER.set(_asker_of(context) if can_ask else None)
    try:
        yield
    finally:
        _ASKER.reset(token)


class Askers:
    """The calls under way at one server, and who can ask on their behalf."""

    def __init__(self, others: Elicit) -> None:
        self._others = others
        self._calls: dict[object, Elicit | None] = {}

    @contextmanager
    def call(self) -> Iterator[None]:
        """Note a call while the context lasts, with its client if that can ask."""
        call = object()
        self._calls[call] = _ASKER.get()
        try:
            yield
        finally:
            del self._calls[call]

    async def elicit(self, question: Elicitation) -> ElicitationAnswer:
        """Ask whoever is to be asked."""
        askers = list(self._calls.values())
        asker = askers[0] if len(askers) == 1 and question.form is not None else None
        return await (asker or self._others)(question)


def _asker_of(context: ServerRequestContext[Any, Any]) -> Elicit:
    async def ask(question: Elicitation) -> ElicitationAnswer:
        message = f"The server '{question.server}' asks:\n\n{question.message}"
        try:
            said = await context.session.elicit_form(message, question.form or {}, context.request_id)
        except (MCPError, ValidationError) as problem:
            logger.warning("an MCP client could not ask its person", extra={"cause": str(problem)})
            return ElicitationAnswer(action="cancel")
        return _answer_of(said)

    return ask


def _answer_of(said: wire.ElicitResult) -> ElicitationAnswer:
    return ElicitationAnswer(action=said.action, content=said.content if said.action == "accept" else None)
