"""/api/mcp/…: servers, approvals, questions, the end of a login, and who may use them."""

from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from runtime.api.keys import KeyStore
from runtime.core.errors import Conflict, Fault, NotFound
from runtime.core.questions import QuestionBoard
from runtime.core.tools import Elicitation, ElicitationAnswer, ServerStatus
from tests.kit.clock import FakeClock
from tests.kit.fake_hub import FakeHub
from tests.kit.http_stage import Stage, open_stage

STATUS = ServerStatus(name="far", transport="http", status="idle", origin="mcp.json")


class Book:
    """Fulfils core.tools.ServerBook."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    async def add(self, name: str, definition: dict[str, Any]) -> ServerStatus:
        if name == "taken":
            raise Conflict(Fault(code="conflict", message="There is one."))
        self.done.append(("add", name, definition))
        return STATUS

    async def refresh(self) -> None:
        self.done.append(("refresh",))

    async def remove(self, server: str) -> None:
        self.done.append(("remove", server))

    async def login(self, server: str) -> str:
        return f"https://login.example/{server}"

    def finish_login(self, state: str, code: str, issuer: str | None) -> str:
        if state != "good":
            raise NotFound(Fault(code="not_found", message="No login waits for this."))
        self.done.append(("login", code, issuer))
        return "far"


async def ask(stage: Stage, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async with stage.http.request(method, f"{stage.address}{path}", **more) as response:
        is_json = response.content_type == "application/json"
        return response.status, await response.json() if is_json else await response.text()


async def test_servers_are_taken_up_and_forgotten(tmp_path: Path) -> None:
    book = Book()
    async with open_stage(tmp_path, hub=FakeHub(), servers=book) as stage:
        body = {"name": "far", "definition": {"url": "https://x.example"}}
        assert (await ask(stage, "POST", "/api/mcp/servers", json=body))[0] == 201
        status, refused = await ask(
            stage, "POST", "/api/mcp/servers", json={"name": "taken", "definition": {}}
        )
        assert (status, refused["error"]["code"]) == (409, "conflict")
        status, refused = await ask(stage, "POST", "/api/mcp/servers", json={"name": "x", "defintion": {}})
        assert (status, "defintion" in refused["error"]["message"]) == (400, True)
        assert (await ask(stage, "DELETE", "/api/mcp/servers/a%20b"))[0] == 204
    assert book.done == [("add", "far", {"url": "https://x.example"}), ("remove", "a b")]


async def test_servers_tools_and_changes_are_listed(tmp_path: Path) -> None:
    book = Book()
    async with open_stage(tmp_path, hub=FakeHub(), servers=book) as stage:
        _, servers = await ask(stage, "GET", "/api/mcp/servers")
        _, tools = await ask(stage, "GET", "/api/mcp/tools")
        _, changes = await ask(stage, "GET", "/api/mcp/changes")
        name = servers["servers"][0]["name"]
        assert (await ask(stage, "GET", f"/api/mcp/servers/{name}"))[1]["name"] == name
        assert (await ask(stage, "GET", "/api/mcp/servers/nobody"))[0] == 404
    assert book.done == [("refresh",)] * 3
    assert "mcp__echo__say" in {each["full_name"] for each in tools["tools"]}
    assert changes == {"changes": []}


async def test_a_users_key_sees_its_tools_and_changes_nothing(tmp_path: Path) -> None:
    async with open_stage(tmp_path, hub=FakeHub(), servers=Book()) as stage:
        secret = await anyio.to_thread.run_sync(KeyStore(tmp_path / "keys.json").create, "u", "user")
        stage.clock.advance(1.0)
        key = {"Authorization": f"Bearer {secret}"}
        assert (await ask(stage, "GET", "/api/mcp/tools", headers=key))[0] == 200
        for method, path in (
            ("GET", "/api/mcp/servers"),
            ("POST", "/api/mcp/servers"),
            ("POST", "/api/mcp/servers/far/approve"),
            ("POST", "/api/mcp/servers/far/login"),
            ("GET", "/api/mcp/questions"),
        ):
            assert (await ask(stage, method, path, headers=key))[0] == 403


async def test_a_browser_ends_a_login_without_a_key(tmp_path: Path) -> None:
    book = Book()
    async with open_stage(tmp_path, hub=FakeHub(), servers=book) as stage:
        _, login = await ask(stage, "POST", "/api/mcp/servers/far/login")
        assert login == {"url": "https://login.example/far"}
        await anyio.to_thread.run_sync(KeyStore(tmp_path / "keys.json").create, "o", "operator")
        stage.clock.advance(1.0)
        status, text = await ask(stage, "GET", "/api/mcp/callback?code=c&state=good&iss=https://i.example")
        assert (status, "logged in at 'far'" in text) == (200, True)
        assert (await ask(stage, "GET", "/api/mcp/callback?code=c&state=bad"))[0] == 404
        status, text = await ask(stage, "GET", "/api/mcp/callback?error=access_denied&state=good")
        assert (status, "access_denied" in text) == (400, True)
    assert book.done == [("login", "c", "https://i.example")]


async def test_a_servers_question_is_shown_and_answered(tmp_path: Path, clock: FakeClock) -> None:
    board = QuestionBoard(clock, lambda fact: None, 60)
    answers: list[ElicitationAnswer] = []

    async def question(*, task_status: TaskStatus[None]) -> None:
        task_status.started()
        answers.append(await board.ask(Elicitation(server="s", message="Who?", form={"required": ["name"]})))

    async with open_stage(tmp_path, questions=board) as stage, anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: question(task_status=task_status))
        with anyio.fail_after(5):
            while not board.list_open():
                await anyio.lowlevel.checkpoint()
        _, told = await ask(stage, "GET", "/api/mcp/questions")
        (waiting,) = told["questions"]
        path = f"/api/mcp/questions/{waiting['id']}/answer"
        assert (await ask(stage, "POST", path, json={"action": "accept"}))[0] == 400
        answer = {"action": "accept", "content": {"name": "Anna"}}
        assert (await ask(stage, "POST", path, json=answer))[0] == 204
        assert (await ask(stage, "POST", path, json=answer))[0] == 404
    assert answers == [ElicitationAnswer(action="accept", content={"name": "Anna"})]


async def test_without_mcp_the_routes_say_so(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        status, told = await ask(stage, "GET", "/api/mcp/servers")
    assert (status, told["error"]["code"]) == (503, "mcp_off")
