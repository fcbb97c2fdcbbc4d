"""Runs a conversation with the server for a command, and turns its failures into sentences and exit codes."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from runtime.api.client import LarClient, ServerRefused, ServerUnreachable
from runtime.cli.output import EXIT_FAILED, EXIT_NO_MODEL, EXIT_NO_SERVER, CommandFailed
from runtime.cli.place import key_for
from runtime.instance import Instance

_T = TypeVar("_T")
_MODEL_CODES = frozenset(
    {"model_not_found", "model_installing", "model_broken", "backend_missing", "install_failed"}
)


def call_server(server: Instance, work: Callable[[LarClient], Awaitable[_T]]) -> _T:
    """Run `work` with a client of the server. Raises CommandFailed."""

    async def _call() -> _T:
        async with LarClient(server.address, key_for(server)) as client:
            return await work(client)

    try:
        return anyio.run(_call)
    except ServerUnreachable as problem:
        raise CommandFailed(str(problem), EXIT_NO_SERVER) from problem
    except ServerRefused as problem:
        code = EXIT_NO_MODEL if problem.code in _MODEL_CODES else EXIT_FAILED
        hint = " LAR_API_KEY holds another key; unset it, or set it right." if problem.status == 401 else ""
        raise CommandFailed(f"{problem}{hint}", code) from problem
