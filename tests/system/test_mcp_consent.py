"""A person agrees to a call in the MCP client that makes it: all doors, both eras, real processes."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp.types as wire
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from tests.kit.server import RunningServer, lar, running_server
from tests.system.test_mcp_doors import relay

LIMIT_S = 60.0
EVERY_WAY = [(door, mode) for door in ("http", "sse", "stdio") for mode in ("auto", "legacy")]
WAYS = pytest.mark.parametrize(("door", "mode"), EVERY_WAY)
AT_ONCE = pytest.mark.parametrize("door", ["http", "sse", "stdio"])
"""The era in which the question goes out while the call waits."""

Decide = Callable[[wire.ElicitRequestFormParams], wire.ElicitResult]


class Person:
    """Answers each question as a test says; `None` lets it lie until it is taken back."""

    def __init__(self, decide: Decide | None) -> None:
        self.decide = decide
        self.seen: list[wire.ElicitRequestFormParams] = []
        self.asked = anyio.Event()
        self.was_taken_back = anyio.Event()

    async def __call__(self, context: Any, params: wire.ElicitRequestParams) -> wire.ElicitResult:
        assert isinstance(params, wire.ElicitRequestFormParams)
        self.seen.append(params)
        self.asked.set()
        if self.decide is not None:
            return self.decide(params)
        try:
            await anyio.sleep_forever()
        finally:
            self.was_taken_back.set()
        raise AssertionError


def says(scope: str) -> Decide:
    return lambda _: wire.ElicitResult(action="accept", content={"decision": scope})


def declines(_: wire.ElicitRequestFormParams) -> wire.ElicitResult:
    return wire.ElicitResult(action="decline")


def puts_it_away(_: wire.ElicitRequestFormParams) -> wire.ElicitResult:
    return wire.ElicitResult(action="cancel")


@asynccontextmanager
async def client_of(server: RunningServer, door: str, mode: Any, person: Person) -> AsyncIterator[Client]:
    target: Any = {
        "http": f"{server.address}/mcp",
        "sse": sse_client(f"{server.address}/sse"),
        "stdio": relay(server.home),
    }[door]
    with anyio.fail_after(LIMIT_S):
        async with Client(target, mode=mode, elicitation_callback=person) as client:
            yield client


def served(home: Path, more: str = "") -> Iterator[RunningServer]:
    home.mkdir()
    (home / "lar.toml").write_text(f"[mcp]\nsse = true\napproval_wait_s = 0.2\n{more}")
    with running_server(home) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    yield from served(tmp_path_factory.mktemp("asked") / "home")


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose questions are given up soon."""
    yield from served(tmp_path_factory.mktemp("hasty") / "home", "elicitation_wait_s = 1.0\n")


def text(result: Any) -> str:
    return "".join(each.text for each in result.content)


async def approvals_of(server: RunningServer, path: str) -> list[dict[str, Any]]:
    """Return the questions about one file, the newest first."""
    async with httpx2.AsyncClient(base_url=server.address) as http:
        found = (await http.get("/api/approvals")).json()["approvals"]
    return [each for each in found if each["arguments"].get("path") == path]


async def exists(client: Client, path: str) -> bool:
    return not (await client.call_tool("files_read", {"path": path})).is_error


@WAYS
async def test_a_yes_in_the_client_lets_the_call_go_on_in_the_same_request(
    server: RunningServer, door: str, mode: str
) -> None:
    path = f"yes-{door}-{mode}.md"
    person = Person(says("call"))
    async with client_of(server, door, mode, person) as client:
        done = await client.call_tool("files_write", {"path": path, "text": "mine"})
        assert not done.is_error, text(done)
        assert await exists(client, path)

    (question,) = person.seen
    assert "mcp__files__write" in question.message
    assert path in question.message
    assert "mine" in question.message
    (approval,) = await approvals_of(server, path)
    assert (approval["status"], approval["scope"], approval["answered_by"]) == ("approved", "call", "owner")


@WAYS
async def test_a_no_in_the_client_is_a_result_that_says_so(
    server: RunningServer, door: str, mode: str
) -> None:
    path = f"no-{door}-{mode}.md"
    async with client_of(server, door, mode, Person(declines)) as client:
        done = await client.call_tool("files_write", {"path": path, "text": "mine"})
        assert (done.is_error, (done.meta or {})["lar/code"]) == (True, "denied")
        assert "A person said no" in text(done)
        assert not await exists(client, path)
    (approval,) = await approvals_of(server, path)
    assert approval["status"] == "denied"


@WAYS
async def test_a_form_that_is_put_away_is_no_and_the_next_call_asks_again(
    server: RunningServer, door: str, mode: str
) -> None:
    path = f"away-{door}-{mode}.md"
    person = Person(puts_it_away)
    async with client_of(server, door, mode, person) as client:
        done = await client.call_tool("files_write", {"path": path, "text": "mine"})
        assert (done.is_error, (done.meta or {})["lar/code"]) == (True, "denied")
        person.decide = says("call")
        again = await client.call_tool("files_write", {"path": path, "text": "mine"})
        assert not again.is_error
    assert len(person.seen) == 2
    assert [each["status"] for each in await approvals_of(server, path)] == ["approved", "cancelled"]


@WAYS
async def test_the_choices_are_the_scopes_without_for_ever(
    server: RunningServer, door: str, mode: str
) -> None:
    path = f"scopes-{door}-{mode}.md"
    person = Person(says("arguments"))
    async with client_of(server, door, mode, person) as client:
        for _ in range(2):
            await client.call_tool("files_write", {"path": path, "text": "mine"})

    (question,) = person.seen  # the second call has the same arguments
    choices = {each["const"] for each in question.requested_schema["properties"]["decision"]["oneOf"]}
    assert choices - {"session"} == {"call", "arguments", "tool", "decline"}
    assert ("session" in choices) == (mode == "legacy" or door == "sse")


@AT_ONCE
async def test_an_answer_from_elsewhere_takes_the_form_back_and_the_call_goes_on(
    server: RunningServer, door: str
) -> None:
    path = f"elsewhere-{door}.md"
    person = Person(None)
    results: list[Any] = []
    async with client_of(server, door, "legacy", person) as client:

        async def call() -> None:
            results.append(await client.call_tool("files_write", {"path": path, "text": "mine"}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await person.asked.wait()
            (waiting,) = await approvals_of(server, path)
            async with httpx2.AsyncClient(base_url=server.address) as http:
                body = {"is_approved": True, "scope": "call"}
                told = await http.post(f"/api/approvals/{waiting['id']}/answer", json=body)
                assert told.status_code == 200
        assert not results[0].is_error
        await person.was_taken_back.wait()


YES = wire.ElicitResult(action="accept", content={"decision": "call"})
NO = wire.ElicitResult(action="decline")
AWAY = wire.ElicitResult(action="cancel")


@pytest.mark.parametrize("is_approved", [True, False])
@pytest.mark.parametrize("said", [None, YES, NO, AWAY], ids=["nothing", "yes", "no", "away"])
async def test_the_newer_era_finds_an_answer_from_elsewhere_whatever_the_client_brings(
    server: RunningServer, said: wire.ElicitResult | None, is_approved: bool
) -> None:
    path = f"found-{'nothing' if said is None else said.action}-{is_approved}.md"
    asking = {"path": path, "text": "mine"}
    async with client_of(server, "http", "auto", Person(None)) as client:
        asked = await client.session.call_tool("files_write", asking, allow_input_required=True)
        assert isinstance(asked, wire.InputRequiredResult)
        async with httpx2.AsyncClient(base_url=server.address) as http:
            body = {"is_approved": is_approved, "scope": "call"}
            told = await http.post(f"/api/approvals/{asked.request_state}/answer", json=body)
            assert told.status_code == 200
        done = await client.session.call_tool(
            "files_write",
            asking,
            input_responses=None if said is None else {"approval": said},
            request_state=asked.request_state,
            allow_input_required=True,
        )
        assert isinstance(done, wire.CallToolResult)
        assert done.is_error == (not is_approved), text(done)
        assert await exists(client, path) == is_approved


async def test_a_client_of_the_newer_era_that_comes_back_without_an_answer_gets_the_same_question(
    server: RunningServer,
) -> None:
    asking = {"path": "again.md", "text": "mine"}
    async with client_of(server, "http", "auto", Person(None)) as client:
        states: list[str | None] = []
        for _ in range(2):
            asked = await client.session.call_tool(
                "files_write",
                asking,
                request_state=states[-1] if states else None,
                allow_input_required=True,
            )
            assert isinstance(asked, wire.InputRequiredResult)
            states.append(asked.request_state)
    assert states[0] == states[1]
    assert len(await approvals_of(server, "again.md")) == 1


@AT_ONCE
async def test_what_nobody_answers_in_time_is_not_done(hasty: RunningServer, door: str) -> None:
    path = f"silent-{door}.md"
    person = Person(None)
    async with client_of(hasty, door, "legacy", person) as client:
        done = await client.call_tool("files_write", {"path": path, "text": "mine"})
        assert (done.is_error, (done.meta or {})["lar/code"]) == (True, "denied")
        await person.was_taken_back.wait()
        assert not await exists(client, path)
    (approval,) = await approvals_of(hasty, path)
    assert approval["status"] == "cancelled"


async def test_calls_side_by_side_are_each_asked_about(server: RunningServer) -> None:
    person = Person(says("call"))
    results: list[Any] = []
    async with client_of(server, "http", "legacy", person) as client:

        async def call(path: str) -> None:
            results.append(await client.call_tool("files_write", {"path": path, "text": "mine"}))

        async with anyio.create_task_group() as tasks:
            for each in ("one.md", "two.md", "three.md"):
                tasks.start_soon(call, each)
    assert [each.is_error for each in results] == [False] * 3
    assert len(person.seen) == 3


async def test_an_answer_to_another_call_is_refused(server: RunningServer) -> None:
    async with client_of(server, "http", "auto", Person(says("call"))) as client:
        asked = await client.session.call_tool(
            "files_write", {"path": "first.md", "text": "1"}, allow_input_required=True
        )
        assert isinstance(asked, wire.InputRequiredResult)
        yes = wire.ElicitResult(action="accept", content={"decision": "call"})
        for state in (asked.request_state, "apr_none"):
            with pytest.raises(Exception, match=r"another call|no approval"):
                await client.session.call_tool(
                    "files_write",
                    {"path": "second.md", "text": "2"},
                    input_responses={"approval": yes},
                    request_state=state,
                    allow_input_required=True,
                )
    assert not await approvals_of(server, "second.md")


def test_a_key_that_may_not_answer_approvals_is_not_asked(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "lar.toml").write_text("[mcp]\napproval_wait_s = 0.2\n")
    created = lar(home, "keys", "create", "guest", "--role", "user").stdout.split()
    secret = next(each for each in created if each.startswith("lar"))
    person = Person(says("tool"))

    async def use(address: str) -> Any:
        with anyio.fail_after(LIMIT_S):
            headers = {"Authorization": f"Bearer {secret}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=30) as http,
                Client(
                    streamable_http_client(f"{address}/mcp", http_client=http), elicitation_callback=person
                ) as client,
            ):
                return await client.call_tool("files_write", {"path": "a.md", "text": "b"})

    with running_server(home) as running:
        done = anyio.run(use, running.address)
    assert (done.is_error, (done.meta or {})["lar/code"]) == (True, "asked")
    assert not person.seen
