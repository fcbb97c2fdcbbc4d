"""Lar's own MCP servers that use its models, its machine and the web, over the fakes of the stage."""

from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from mcp import Client

from runtime.core.errors import Fault, RequestInvalid
from runtime.core.fetching import FetchFault
from runtime.core.messages import ChatRequest, Ended, Scores, Usage, Vectors
from runtime.mcp.servers.inference import inference_server
from runtime.mcp.servers.system import SystemParts, system_server
from runtime.mcp.servers.web import PageText, web_server
from tests.kit.clock import FakeClock
from tests.kit.fake_fetcher import FakeFetcher, Page
from tests.kit.fake_models import known_model
from tests.kit.fake_pool import Hold, saying
from tests.kit.http_stage import Stage, open_stage
from tests.unit.mcp.test_internal_servers import call, caller, client_of, refusal

ABLE = [
    known_model("m"),
    known_model("vec", features=frozenset({"embeddings", "rerank"})),
    known_model("far", stage="available"),
    known_model("plain", features=frozenset({"chat"})),
]


@asynccontextmanager
async def inference(tmp_path: Path) -> AsyncIterator[tuple[Stage, Client]]:
    async with (
        open_stage(tmp_path, models=ABLE) as stage,
        client_of(inference_server(stage.runs, stage.models, stage.clock)) as client,
    ):
        yield stage, client


async def test_a_model_answers_a_prompt_as_a_run_of_the_caller(tmp_path: Path) -> None:
    async with inference(tmp_path) as (stage, client):
        stage.pool.script = lambda request, index: saying("Hel", "lo")
        answer = await call(client, "generate", prompt="Hi", system="Be brief", max_tokens=5, temperature=0)
        assert (answer["text"], answer["finish_reason"], answer["model"]) == ("Hello", "stop", "m")
        assert answer["completion_tokens"] == 2
        (asked,) = stage.pool.requests
        assert isinstance(asked, ChatRequest)
        assert (asked.principal, asked.priority) == ("ana", "agent")
        assert [each.role for each in asked.messages] == ["system", "user"]


async def test_an_answer_can_be_kept_to_a_schema(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    async with inference(tmp_path) as (stage, client):
        stage.pool.script = lambda request, index: saying('{"n": 1}')
        await call(client, "generate", prompt="Hi", schema=schema)
        (asked,) = stage.pool.requests
        assert isinstance(asked, ChatRequest)
        assert asked.response_format.schema == schema
        assert "cannot keep to a schema" in await refusal(
            client, "generate", prompt="Hi", schema=schema, model="plain"
        )


async def test_a_caller_that_leaves_stops_its_run(tmp_path: Path) -> None:
    hold = Hold()
    async with inference(tmp_path) as (stage, client):
        stage.pool.script = lambda request, index: [*saying("a")[:2], hold, *saying("b")]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "generate", {"prompt": "Hi"})
            await hold.is_reached.wait()
            tasks.cancel_scope.cancel()
        await stage.runs.stop(5.0)
        kinds = [type(each.event).__name__ for each in stage.bus.recent(0)[0]]
        assert "RunCancelled" in kinds


async def test_what_a_model_cannot_is_told(tmp_path: Path) -> None:
    async with inference(tmp_path) as (_, client):
        assert "has not the feature 'embeddings'" in await refusal(client, "embed", texts=["a"], model="m")
        assert "does not exist" in await refusal(client, "generate", prompt="a", model="none")
        assert "lar models install far" in await refusal(client, "generate", prompt="a", model="far")
        listed = await call(client, "list_models", feature="rerank")
        assert [each["id"] for each in listed["models"]] == ["vec"]


async def test_texts_become_vectors_and_are_ranked(tmp_path: Path) -> None:
    ended = Ended(reason="stop", usage=Usage())
    one = array("f", [0.6, 0.8]).tobytes()
    async with inference(tmp_path) as (stage, client):
        stage.pool.script = lambda request, index: [
            Vectors(start=0, vectors=(one,)),
            Vectors(start=1, vectors=(one,)),
            ended,
        ]
        assert (await call(client, "embed", texts=["a", "b"]))["vectors"] == [[0.6, 0.8], [0.6, 0.8]]
        stage.pool.script = lambda request, index: [Scores(scores=(0.1, 0.9, 0.5)), ended]
        ranked = await call(client, "rank", query="q", texts=["a", "b", "c"])
        assert [each["index"] for each in ranked["ranked"]] == [1, 2, 0]


async def test_system_tells_how_it_stands_to_those_who_may_know(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=ABLE) as stage:
        deps = stage.deps
        deps.metrics.count_request("GET", "/x", 200, 0.1)
        parts = SystemParts(
            models=deps.models,
            clock=deps.clock,
            version="1.2.3",
            started_at=deps.started_at,
            address=deps.address,
            home=tmp_path,
            metrics=lambda: deps.metrics.expose(deps.models.list_models()),
        )
        server = system_server(parts)
        async with client_of(server) as client:
            status = await call(client, "status")
            assert (status["version"], status["address"]) == ("1.2.3", stage.address)
            assert "m" in status["loaded_models"]
            assert status["memory_bytes"] > status["memory_free_bytes"] > 0
            models = await call(client, "models")
            assert [each["id"] for each in models["models"]] == ["m", "vec", "far", "plain"]
            counted = await call(client, "metrics", prefix="lar_http_requests")
            assert counted["series"][0] == {
                "name": "lar_http_requests_total",
                "labels": {"method": "GET", "route": "/x", "status": "200"},
                "value": 1.0,
            }
        async with client_of(server, caller(role="user")) as client:
            assert "does not include 'observe'" in await refusal(client, "status")


class Reading:
    """Reads what was fetched, and counts how often."""

    def __init__(self) -> None:
        self.read: list[tuple[str, str | None]] = []

    async def __call__(self, path: Path, name: str, media_type: str | None) -> PageText:
        self.read.append((name, media_type))
        text = await anyio.Path(path).read_text()
        if not text:
            raise RequestInvalid(Fault(code="invalid_request", message="There is no text in it."))
        return PageText(text=text, title="A title", notes=("one picture",))


async def test_a_page_is_fetched_once_and_read_in_parts() -> None:
    clock, fetcher, reading = FakeClock(), FakeFetcher(), Reading()
    fetcher.pages["https://a.example/docs/x.html"] = Page(b"0123456789", to="https://a.example/y/z.html")
    async with client_of(web_server(fetcher, reading, clock)) as client:
        url = "https://a.example/docs/x.html"
        first = await call(client, "fetch", url=url, limit=4)
        assert (first["text"], first["is_more"], first["total"]) == ("0123", True, 10)
        assert (first["url"], first["title"], first["notes"]) == (
            "https://a.example/y/z.html",
            "A title",
            ["one picture"],
        )
        rest = await call(client, "fetch", url=url, start=4)
        assert (rest["text"], rest["is_more"]) == ("456789", False)
        assert (len(fetcher.asked), reading.read) == (1, [("z.html", "text/html")])
        clock.advance(301)
        await call(client, "fetch", url=url)
        assert len(fetcher.asked) == 2


async def test_what_the_perimeter_forbids_or_nobody_has_is_told() -> None:
    clock, fetcher = FakeClock(), FakeFetcher()
    fetcher.pages["http://10.0.0.1/"] = FetchFault(code="refused", message="10.0.0.1 is a private address.")
    fetcher.pages["http://b.example/"] = Page(b"")
    async with client_of(web_server(fetcher, Reading(), clock)) as client:
        assert "private address" in await refusal(client, "fetch", url="http://10.0.0.1/")
        assert "no page" in await refusal(client, "fetch", url="http://c.example/")
        assert "no text" in await refusal(client, "fetch", url="http://b.example/")
