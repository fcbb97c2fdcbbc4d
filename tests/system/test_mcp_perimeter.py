"""Where remote servers may lead Lar, over real sockets: to hosts that a person named, and to public ones."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runtime.core.errors import RequestInvalid
from runtime.core.gate.principals import OWNER, Principal
from runtime.core.ids import PrincipalId
from runtime.core.settings import McpServer
from runtime.core.tools import Caller
from runtime.egress.resolver import Lookup, system_lookup
from tests.kit.hub_stage import open_stage

Answer = Callable[[web.Request], Awaitable[web.Response]]
ELSEWHERE = "127.0.0.2"
METADATA = "169.254.169.254"
USER = Principal(id=PrincipalId("key-1"), role="user")


class Host:
    """A host that notes what it was asked."""

    def __init__(self, address: str, answer: Answer) -> None:
        self.asked: list[web.Request] = []
        self.answer = answer
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.server = TestServer(app, host=address)

    async def _handle(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        return await self.answer(request)

    def url(self, path: str, host: str | None = None) -> str:
        return f"http://{host or self.server.host}:{self.server.port}{path}"


@asynccontextmanager
async def open_host(address: str, answer: Answer) -> AsyncIterator[Host]:
    host = Host(address, answer)
    async with host.server:
        yield host


@contextmanager
def left_alone(address: str = ELSEWHERE, port: int = 0) -> Iterator[int]:
    """Listen; yield the port. Fails if anybody has connected meanwhile."""
    with socket.create_server((address, port)) as listening:
        listening.setblocking(False)
        yield listening.getsockname()[1]
        with pytest.raises(BlockingIOError):
            listening.accept()


async def nothing(request: web.Request) -> web.Response:
    return web.json_response({"error": "nothing here"}, status=404)


def asks_for_login(metadata_url: str) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        told = f'Bearer resource_metadata="{metadata_url}"'
        return web.Response(status=401, headers={"WWW-Authenticate": told})

    return answer


def protected(authorization_server: str) -> Answer:
    """Answer like a resource whose tokens are given out by another server."""

    async def answer(request: web.Request) -> web.Response:
        if "oauth-protected-resource" in request.path:
            resource = f"http://{request.host}/mcp"
            told = {"resource": resource, "authorization_servers": [authorization_server]}
            return web.json_response(told)
        return web.Response(status=401)

    return answer


async def fault_of(home: Path, server: McpServer) -> str:
    async with open_stage(home, {"far": server}) as stage:
        return (await stage.hub.test("far")).fault


async def log_in(home: Path, address: str, private: tuple[str, ...] = ()) -> str:
    """Try to log in at a server; return what stands against it."""
    async with open_stage(home, {"far": McpServer(url=address)}, private=private) as stage:
        with pytest.raises(RequestInvalid) as refusal:
            await stage.hub.login("far")
    return refusal.value.fault.message


def told_to(address: str) -> Lookup:
    """Find every host at one address."""

    async def lookup(host: str, port: int) -> list[str]:
        return [address]

    return lookup


async def fault_of_lent(
    home: Path,
    url: str,
    owner: Principal | None,
    private: tuple[str, ...] = (),
    lookup: Lookup = system_lookup,
) -> str:
    """Lend a server, for a request of its owner or to an agent; return why it cannot be reached."""
    async with (
        open_stage(home, private=private, lookup=lookup) as stage,
        stage.hub.lend({"far": {"url": url}}, "a test", may_run_programs=owner is None, owner=owner) as names,
    ):
        asker = owner or OWNER
        caller = Caller(principal=asker, door="api", servers=frozenset(names.values()))
        assert await stage.hub.tools(caller) == []
        [status] = stage.hub.servers()
        assert status.status == "failed"
        return status.fault


@pytest.mark.parametrize("owner", [OWNER, USER, None], ids=["operator", "user", "agent"])
async def test_a_lent_server_inside_needs_the_leave_of_the_settings(
    tmp_path: Path, owner: Principal | None
) -> None:
    lookup = told_to(ELSEWHERE)
    with left_alone() as port:
        refused = await fault_of_lent(tmp_path, f"http://inside.test:{port}/mcp", owner, lookup=lookup)
    async with open_host(ELSEWHERE, nothing) as inside:
        url = inside.url("/mcp", host="inside.test")
        reached = await fault_of_lent(tmp_path, url, owner, ("inside.test",), lookup)

    assert inside.asked

    assert "inside.test (127.0.0.2) is not a public address" in refused
    assert "add inside.test" in refused
    assert "recall.private_addresses" in refused
    assert reached == "Not Found"


@pytest.mark.parametrize("owner", [OWNER, USER, None], ids=["operator", "user", "agent"])
async def test_a_lent_server_on_this_machine_is_for_operators_and_their_agents(
    tmp_path: Path, owner: Principal | None
) -> None:
    async with open_host("127.0.0.1", nothing) as own:
        fault = await fault_of_lent(tmp_path, own.url("/mcp"), owner)

    if owner is USER:
        assert own.asked == []
        assert "127.0.0.1 is not a public address" in fault
    else:
        assert own.asked
        assert fault == "Not Found"


async def test_a_redirect_within_the_server_is_followed(tmp_path: Path) -> None:
    async def onward(request: web.Request) -> web.Response:
        if request.path == "/mcp":
            return web.Response(status=307, headers={"Location": "/mcp/"})
        return web.Response(status=404)

    async with open_host("127.0.0.1", onward) as own:
        await fault_of(tmp_path, McpServer(url=own.url("/mcp"), headers={"X-Key": "k"}))

    assert [(each.path, each.headers["X-Key"]) for each in own.asked[:2]] == [("/mcp", "k"), ("/mcp/", "k")]


async def test_redirects_without_end_are_given_up(tmp_path: Path) -> None:
    async def around(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/mcp"})

    async with open_host("127.0.0.1", around) as own:
        fault = await fault_of(tmp_path, McpServer(url=own.url("/mcp")))

    assert "not followed" in fault
    assert len(own.asked) < 100


async def test_metadata_on_another_private_host_are_not_looked_up(tmp_path: Path) -> None:
    with left_alone() as port:
        async with open_host("127.0.0.1", asks_for_login(f"http://{ELSEWHERE}:{port}/metadata")) as own:
            fault = await log_in(tmp_path, own.url("/mcp"))

    assert ELSEWHERE in fault
    assert "private_addresses" in fault


async def test_metadata_on_a_private_host_that_the_settings_grant_are_looked_up(tmp_path: Path) -> None:
    async with open_host(ELSEWHERE, nothing) as other, open_host("127.0.0.1", nothing) as own:
        own.answer = asks_for_login(other.url("/metadata"))
        await log_in(tmp_path, own.url("/mcp"), private=(ELSEWHERE,))

        assert "/metadata" in [each.path for each in other.asked]


@pytest.mark.parametrize("host", [METADATA, ELSEWHERE, "localhost"])
async def test_an_authorization_server_inside_is_refused(tmp_path: Path, host: str) -> None:
    with left_alone() as port, left_alone("127.0.0.1", port):
        async with open_host("127.0.0.1", protected(f"http://{host}:{port}/")) as own:
            fault = await log_in(tmp_path, own.url("/mcp"))

    assert host in fault
    assert "is not a public address" in fault


async def test_nobody_can_name_the_place_where_clouds_keep_credentials(tmp_path: Path) -> None:
    fault = await fault_of(tmp_path, McpServer(url=f"http://{METADATA}/mcp"))

    assert f"{METADATA}" in fault
    assert "give out their secrets" in fault


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_redirect_to_another_host_is_told_and_not_followed(tmp_path: Path, transport: str) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"http://{ELSEWHERE}:{port}/mcp?key=k"})

    with left_alone() as port:
        async with open_host("127.0.0.1", elsewhere) as own:
            server = McpServer(url=own.url("/mcp"), type=transport, headers={"X-Key": "k"})  # type: ignore[arg-type]  # one of the two
            fault = await fault_of(tmp_path, server)

    assert "307" in fault or "not followed" in fault
    assert "key=k" not in fault


async def test_a_name_is_looked_up_once_for_all_that_a_link_sends(tmp_path: Path) -> None:
    told = ["127.0.0.1", ELSEWHERE]

    async def turning(host: str, port: int) -> list[str]:
        return [told.pop(0) if len(told) > 1 else told[0]]

    async with open_host("127.0.0.1", protected("http://server.test:1/")) as own:
        server = McpServer(url=own.url("/mcp", host="server.test"))
        with left_alone(port=own.server.port or 0):
            async with open_stage(tmp_path, {"far": server}, lookup=turning) as stage:
                with pytest.raises(RequestInvalid):
                    await stage.hub.login("far")

        assert len(own.asked) > 1
        assert {each.host for each in own.asked} == {f"server.test:{own.server.port}"}


async def test_the_next_address_of_a_name_is_tried_where_one_is_silent(tmp_path: Path) -> None:
    async def both(host: str, port: int) -> list[str]:
        return [ELSEWHERE, "127.0.0.1"]

    async with open_host("127.0.0.1", nothing) as own:
        server = McpServer(url=own.url("/mcp", host="server.test"))
        async with open_stage(tmp_path, {"far": server}, lookup=both) as stage:
            fault = (await stage.hub.test("far")).fault

        assert own.asked
    assert fault == "Not Found"
