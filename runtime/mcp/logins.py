"""Logins of people at remote servers: begun by a command, ended when the browser comes back."""

import os

import anyio
from anyio.abc import TaskGroup
from mcp import Client

from runtime.core.errors import Conflict, Fault, NotFound, RequestInvalid
from runtime.mcp.faults import told
from runtime.mcp.members import Member
from runtime.mcp.oauth import LOGIN_LIMIT_S, Login, find_auth
from runtime.mcp.transports import CLIENT, remote_transport

_MOVE_S = 30.0
"""For a server to say where the person must go."""
_MOST = 20


class Logins:
    """The logins under way."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._open: list[Login] = []

    async def start(self, member: Member) -> str:
        """Return where the person must go; empty where the server wants no login. Raises LarError."""
        if member.transport not in ("http", "sse") or not member.is_usable:
            message = f"'{member.entry.name}' is no remote server that could be logged in to."
            raise Conflict(Fault(code="conflict", message=message))
        if len(self._open) >= _MOST:
            raise Conflict(Fault(code="conflict", message="Too many logins are under way; end some first."))

        login = Login(member.entry.name)
        self._open.append(login)
        self._tasks.start_soon(self._run, member, login)
        with anyio.move_on_after(_MOVE_S):
            await login.moved.wait()
        if not login.url and (login.fault or not login.moved.is_set()):
            reason = login.fault or "it does not answer"
            message = f"'{login.server}' cannot be logged in to: {reason}."
            raise RequestInvalid(Fault(code="invalid_request", message=message))
        return login.url

    def finish(self, state: str, code: str, issuer: str | None) -> str:
        """Take what a browser has brought; returns the server's name. Raises NotFound."""
        for login in self._open:
            if login.state and login.state == state:
                login.give_back(code, issuer)
                return login.server
        message = "No login waits for this; it may have taken too long. Begin anew: lar mcp login."
        raise NotFound(Fault(code="not_found", message=message))

    async def _run(self, member: Member, login: Login) -> None:
        async def sign(url: str) -> object:
            return await find_auth(member.entry, url, member.vault, os.environ, member.callback, login)

        try:
            with anyio.fail_after(LOGIN_LIMIT_S):
                transport = remote_transport(member.entry, member.outside(sign), lambda: None)
                # The older handshake waits as long as the person needs; the newer one probes with a limit.
                async with Client(transport, mode="legacy", client_info=CLIENT, cache=None):
                    login.moved.set()
        except Exception as problem:  # noqa: BLE001 - whatever went wrong is told to the person who waits
            login.fault = told(problem)
        finally:
            self._open.remove(login)
            login.moved.set()
        if not login.fault:
            member.link.want()
