"""A policy about one collection, on a real server: it holds at every door."""

import json
from collections.abc import Iterator

import anyio
import httpx2
import pytest
from mcp import Client

from tests.kit.server import RunningServer, lar, running_server

CLOSED = (
    '@id("diary-closed") @reason("The diary is closed.") '
    'forbid (principal, action in [Action::"recall_read", Action::"recall_write"], '
    'resource == Collection::"diary");\n'
)
AGENT = """
name: reader
model: scripted
instructions: You read.
tools: []
knowledge:
  - {collection: "*", passages: 4}
"""
NAMED = AGENT.replace("reader", "snoop").replace('"*"', "diary")


SEARCH = 'tea [[call: file_search {"query": "tea"}]]'


class Stage:
    """A server with two collections, one of which a policy closes."""

    def __init__(self, server: RunningServer, diary: str, document: str) -> None:
        self.server = server
        self.diary = diary
        self.document = document

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        url = f"{self.server.address}{path}"
        answer = httpx2.request(method, url, json=body, timeout=30)
        return answer.status_code, answer.text

    def run(self, agent: str, task: str) -> str:
        """Return all that a run of an agent holds."""
        done = lar(self.server.home, "agents", "run", agent, task, "--json")
        assert done.returncode == 0, done.stderr
        return (
            done.stdout
            + lar(self.server.home, "agents", "show", json.loads(done.stdout)["run"]["id"], "--json").stdout
        )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("home")
    for folder in ("policies", "agents"):
        (home / folder).mkdir()
    (home / "agents" / "reader.yaml").write_text(AGENT)
    (home / "agents" / "snoop.yaml").write_text(NAMED)
    with running_server(home) as server:
        for name, text in (("notes", "The open tea is green."), ("diary", "The secret tea is black.")):
            (home / f"{name}.md").write_text(text)
            added = lar(home, "recall", "add", "-c", name, str(home / f"{name}.md"))
            assert added.returncode == 0, added.stderr
        stores = {each["name"]: each["id"] for each in server.get("/v1/vector_stores").json()["data"]}
        (document,) = server.get("/api/recall/collections/diary/documents").json()["documents"]
        (home / "policies" / "own.cedar").write_text(CLOSED)
        opened = Stage(server, stores["diary"], document["id"])
        assert opened.ask("POST", "/api/policies/reload", {})[0] == 200
        yield opened


def test_every_route_to_it_is_closed(stage: Stage) -> None:
    store, document = stage.diary, stage.document
    ways: list[tuple[str, str, object]] = [
        ("GET", "/api/recall/collections/diary", None),
        ("GET", f"/api/recall/collections/{store}", None),
        ("GET", f"/api/recall/documents/{document}/text", None),
        ("DELETE", f"/api/recall/documents/{document}", None),
        ("POST", "/api/recall/search", {"text": "tea", "collections": ["diary"]}),
        ("GET", f"/v1/vector_stores/{store}", None),
        ("GET", f"/v1/vector_stores/{store}/files", None),
        ("POST", f"/v1/vector_stores/{store}/search", {"query": "tea"}),
        ("DELETE", f"/v1/vector_stores/{store}", None),
        ("GET", "/api/collections/diary/entries", None),
        ("POST", "/api/collections/diary/search", {"query": "tea"}),
        ("POST", "/api/collections/diary/reset", {}),
        (
            "POST",
            "/v1/responses",
            {
                "model": "scripted",
                "input": "tea",
                "tools": [{"type": "file_search", "vector_store_ids": [store]}],
            },
        ),
    ]
    answers = {(method, path): stage.ask(method, path, body) for method, path, body in ways}

    assert {way: status for way, (status, _) in answers.items() if status != 403} == {}
    assert not [text for _, text in answers.values() if "black" in text]


def test_searches_over_all_leave_it_out_and_say_so(stage: Stage) -> None:
    status, text = stage.ask("POST", "/api/recall/search", {"text": "tea"})
    listed = stage.ask("GET", "/api/recall/collections")[1]

    assert status == 200
    assert "green" in text
    assert "black" not in text
    assert "1 collection was left out" in text
    assert '"notes"' in listed
    assert '"diary"' not in listed


async def test_mcp_clients_neither_find_nor_read_it(stage: Stage) -> None:
    with anyio.fail_after(60):
        async with Client(f"{stage.server.address}/mcp") as client:
            found = await client.call_tool("recall_search", {"query": "tea"})
            named = await client.call_tool("recall_search", {"query": "tea", "where": ["diary"]})
            read = await client.call_tool("recall_read", {"id": stage.document})
            resources = await client.list_resources()

    assert "green" in str(found.structured_content)
    assert "black" not in str(found)
    assert "left out" in str(found.structured_content)
    for refused in (named, read):
        assert refused.is_error
        assert "The diary is closed." in str(refused.content)
    assert stage.document not in str(resources)


def test_agents_neither_are_told_nor_find_what_it_says(stage: Stage) -> None:
    everywhere, named = stage.run("reader", SEARCH), stage.run("snoop", SEARCH)

    assert "green" in everywhere
    assert "left out" in everywhere
    assert "The diary is closed." in named
    assert "black" not in everywhere + named


def test_each_refusal_is_told_with_the_policy_and_the_collection(stage: Stage) -> None:
    stage.ask("GET", f"/v1/vector_stores/{stage.diary}")

    (*_, fact) = [each for each in stage.server.events("gate.decided") if each["event"]["outcome"] == "deny"]
    assert (fact["event"]["resource"], fact["event"]["policies"]) == ("diary", ["diary-closed"])
