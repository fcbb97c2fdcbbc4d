"""The HTTP source against a server on the loopback address, in the same loop."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import anyio
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runtime.core.events import Envelope, ServerStarted
from runtime.core.ids import ModelId
from runtime.core.messages import Message, Usage
from runtime.core.states import ServerState
from tests.kit.fake_source import SMALL, model_state, server_state
from tests.tui import asked
from tui.calls import answer_approval, approve_tool
from tui.late import LateSource
from tui.ports import (
    ChatDone,
    ChatFailed,
    ChatPiece,
    ChatReasoning,
    ChatStarted,
    ChatText,
    FeedItem,
    LinkLost,
    Refused,
)
from tui.reach import ToolChange
from tui.source import BACKLOG, HttpSource, retry_delay_s

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HELLO = (Message(role="user", content="hi"),)


def as_json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


async def stream(request: web.Request, *lines: str, run_id: str = "") -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "x-lar-run-id": run_id})
    await response.prepare(request)
    for line in lines:
        await response.write(line.encode())
    return response


@asynccontextmanager
async def serving(**handlers: Handler) -> AsyncIterator[HttpSource]:
    """Serve these handlers and yield a source that talks to them."""
    paths = {
        "state": ("GET", "/api/state"),
        "events": ("GET", "/api/events"),
        "install": ("POST", "/api/models/{model}/install"),
        "unload": ("POST", "/api/models/{model}/unload"),
        "answer": ("POST", "/api/approvals/{approval}/answer"),
        "approve": ("POST", "/api/mcp/servers/{name}/approve"),
        "chat": ("POST", "/v1/chat/completions"),
        "run": ("GET", "/api/runs/{run}/stream"),
    }
    app = web.Application()
    for name, handler in handlers.items():
        app.router.add_route(*paths[name], handler)
    with anyio.fail_after(10):
        async with TestServer(app) as server:
            await server.start_server(handler_cancellation=True)
            source = HttpSource(str(server.make_url("/")), "lar-key")
            try:
                yield source
            finally:
                await source.aclose()


async def pieces_of(source: HttpSource) -> list[ChatPiece]:
    async with aclosing(source.chat(HELLO, SMALL)) as pieces:
        return [piece async for piece in pieces]


async def test_the_state_is_asked_for_with_the_key() -> None:
    async def state(request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer lar-key"
        return as_json(server_state())

    async with serving(state=state) as source:
        assert await source.state() == server_state()


async def test_a_refusal_carries_the_servers_own_words() -> None:
    async def install(request: web.Request) -> web.StreamResponse:
        error = {
            "message": f"no {request.match_info['model']}",
            "type": "x",
            "param": None,
            "code": "model_not_found",
        }
        return as_json({"error": error}, 404)

    async with serving(install=install) as source:
        with pytest.raises(Refused, match="no a/b") as refused:
            await source.install(ModelId("a/b"))
        assert refused.value.code == "model_not_found"


async def test_something_that_is_not_lar_is_refused_in_words() -> None:
    async def state(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>hello")

    async def unload(request: web.Request) -> web.StreamResponse:
        return web.Response(text="bad gateway", status=502)

    async with serving(state=state, unload=unload) as source:
        with pytest.raises(Refused, match="answered something else"):
            await source.state()
        with pytest.raises(Refused, match="HTTP 502 bad gateway"):
            await source.unload(SMALL)


async def test_nothing_at_the_address_is_a_refusal() -> None:
    source = HttpSource("http://127.0.0.1:9", None)
    with pytest.raises(Refused, match=r"nothing answers at 127\.0\.0\.1:9"):
        await source.state()
    await source.aclose()


async def test_an_install_and_an_unload_reach_the_server() -> None:
    unloaded = []

    async def install(request: web.Request) -> web.StreamResponse:
        return as_json(model_state(stage="installing"), 202)

    async def unload(request: web.Request) -> web.StreamResponse:
        unloaded.append(request.match_info["model"])
        return as_json(model_state(stage="installed"))

    async with serving(install=install, unload=unload) as source:
        assert (await source.install(SMALL)).stage == "installing"
        await source.unload(SMALL)
    assert unloaded == [SMALL]


async def test_an_approval_is_answered_and_a_conflict_is_told_in_the_servers_words() -> None:
    said = []

    async def answer(request: web.Request) -> web.StreamResponse:
        said.append((request.match_info["approval"], await request.json()))
        if len(said) > 1:
            return as_json({"error": {"message": "It was denied already.", "code": "conflict"}}, 409)
        return as_json(asked.answered("apr/1"))

    yes = answer_approval("apr/1", is_approved=True, scope="tool", note="fine")
    async with serving(answer=answer) as source:
        assert (await source.ask(yes)).status == "approved"
        with pytest.raises(Refused, match="denied already") as refused:
            await source.ask(yes)
    assert refused.value.code == "conflict"
    assert said[0] == ("apr/1", {"is_approved": True, "scope": "tool", "note": "fine"})


async def test_an_answer_without_content_is_none() -> None:
    said = []

    async def approve(request: web.Request) -> web.StreamResponse:
        said.append((request.match_info["name"], await request.json()))
        return web.Response(status=204)

    change = msgspec.convert(asked.change(), ToolChange)
    async with serving(approve=approve) as source:
        late = LateSource(source._base_url, "lar-key")
        await late.ask(approve_tool(change))
        await late.aclose()
    assert said == [("files", {"tool": "read_file", "digest": "digest-read_file"})]


async def test_an_answer_comes_in_pieces_with_its_run_and_its_usage() -> None:
    asked = []

    async def chat(request: web.Request) -> web.StreamResponse:
        asked.append(await request.json())
        return await stream(
            request,
            'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
            'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n: keep-alive\n\n',
            'data: {"choices":[{"index":0,"delta":{"content":"hé"}}]}\n\n',
            'data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n',
            'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,'
            '"prompt_tokens_details":{"cached_tokens":1}}}\n\n',
            "data: [DONE]\n\n",
            run_id="run_9",
        )

    async with serving(chat=chat) as source:
        *pieces, done = await pieces_of(source)
    assert pieces == [ChatStarted(run_id="run_9"), ChatReasoning(text="hm"), ChatText(text="hé")]  # type: ignore[arg-type]  # a RunId
    assert isinstance(done, ChatDone)
    assert done.usage == Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1)
    assert done.finish_reason == "length"
    assert asked[0]["messages"] == [{"role": "user", "content": "hi"}]
    assert asked[0]["stream_options"] == {"include_usage": True}


async def test_a_refused_question_ends_in_the_servers_words() -> None:
    async def chat(request: web.Request) -> web.StreamResponse:
        return as_json({"error": {"message": "Wait.", "type": "x", "code": "model_installing"}}, 503)

    async with serving(chat=chat) as source:
        assert await pieces_of(source) == [ChatFailed(code="model_installing", message="Wait.")]


async def test_an_error_in_mid_answer_ends_it() -> None:
    async def chat(request: web.Request) -> web.StreamResponse:
        return await stream(
            request,
            'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
            'data: {"error":{"message":"It died.","type":"server_error","code":"worker_died"}}\n\n',
        )

    async with serving(chat=chat) as source:
        assert (await pieces_of(source))[1:] == [
            ChatText(text="a"),
            ChatFailed(code="worker_died", message="It died."),
        ]


async def test_an_answer_that_is_cut_off_is_a_failure() -> None:
    async def chat(request: web.Request) -> web.StreamResponse:
        return await stream(request, 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')

    async with serving(chat=chat) as source:
        last = (await pieces_of(source))[-1]
    assert isinstance(last, ChatFailed)
    assert last.code == "connection_lost"


async def test_closing_the_answer_closes_the_request() -> None:
    left = anyio.Event()

    async def chat(request: web.Request) -> web.StreamResponse:
        response = await stream(request, 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')
        try:
            await anyio.sleep_forever()
        finally:
            left.set()
        return response

    async with serving(chat=chat) as source:
        async with aclosing(source.chat(HELLO, SMALL)) as pieces:
            async for piece in pieces:
                if isinstance(piece, ChatText):
                    break
        await left.wait()


async def follow(source: HttpSource, count: int, after: int | None = None) -> list[FeedItem]:
    items: list[FeedItem] = []
    async with aclosing(source.events(after)) as feed:
        async for item in feed:
            items.append(item)
            if len(items) == count:
                break
    return items


def sse(*seqs: int) -> str:
    event = ServerStarted(version="1", address="x")
    envelopes = [Envelope(seq=seq, at=0, event=event) for seq in seqs]
    return "".join(
        f"id: {e.seq}\nevent: {e.kind}\ndata: {msgspec.json.encode(e).decode()}\n\n" for e in envelopes
    )


async def test_the_feed_gives_the_state_then_facts_and_goes_on_where_it_was_after_a_loss() -> None:
    asked: list[dict[str, str]] = []

    async def state(request: web.Request) -> web.StreamResponse:
        return as_json(server_state(seq=1002 if asked else 1000))

    async def events(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        return await stream(request, sse(1001, 1002) if len(asked) == 1 else sse(1003))

    async with serving(state=state, events=events) as source:
        first, one, two, lost, second, three = await follow(source, 6)
    assert isinstance(first, ServerState)
    assert isinstance(second, ServerState)
    assert isinstance(lost, LinkLost)
    assert [each.seq for each in (one, two, three) if isinstance(each, Envelope)] == [1001, 1002, 1003]
    assert asked == [{"last": str(BACKLOG)}, {"after": "1002"}]


async def test_a_server_with_another_history_is_followed_from_its_own_numbers() -> None:
    asked: list[dict[str, str]] = []

    async def state(request: web.Request) -> web.StreamResponse:
        return as_json(server_state(seq=3))

    async def events(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        return await stream(request, sse(4))

    async with serving(state=state, events=events) as source:
        await follow(source, 2, after=900)
    assert asked == [{"last": str(BACKLOG)}]


async def test_a_fact_that_only_a_newer_server_knows_is_left_out() -> None:
    async def state(request: web.Request) -> web.StreamResponse:
        return as_json(server_state(seq=0))

    async def events(request: web.Request) -> web.StreamResponse:
        unknown = 'id: 1\ndata: {"seq":1,"at":0,"event":{"kind":"moon.landed"}}\n\n'
        return await stream(request, unknown, sse(2))

    async with serving(state=state, events=events) as source:
        _, fact = await follow(source, 2)
    assert isinstance(fact, Envelope)
    assert fact.seq == 2


async def test_a_loss_names_its_reason_and_when_it_is_tried_again() -> None:
    source = HttpSource("http://127.0.0.1:9", None)
    with anyio.fail_after(10):
        items = await follow(source, 2)
    await source.aclose()
    assert [(item.attempt, item.retry_s) for item in items if isinstance(item, LinkLost)] == [
        (1, 0.25),
        (2, 0.5),
    ]


async def test_a_run_is_followed_to_its_end_and_from_its_last_number_after_a_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui.source._DELAYS_S", (0.01,))
    starts: list[str | None] = []

    async def run(request: web.Request) -> web.StreamResponse:
        starts.append(request.query.get("after"))
        first = 'id: 0\ndata: {"happening":"status","status":"in_progress"}\n\n'
        second = 'id: 7\ndata: {"happening":"text","item_id":"m","delta":"a","moon":1}\n\n'
        last = 'id: 8\ndata: {"happening":"over"}\n\n'
        return await stream(request, *((first, second) if len(starts) == 1 else (last,)))

    async with serving(run=run) as source, aclosing(source.follow("run_1")) as happenings:
        found = [each async for each in happenings]
    assert starts == [None, "7"]
    assert [each[0] for each in found if isinstance(each, tuple)] == [0, 7, 8]
    assert [isinstance(each, LinkLost) for each in found] == [False, False, True, False]


async def test_a_run_that_cannot_be_followed_is_a_refusal() -> None:
    async def run(request: web.Request) -> web.StreamResponse:
        return as_json({"error": {"message": "What it told was not kept.", "code": "conflict"}}, 409)

    async with serving(run=run) as source, aclosing(source.follow("run_1")) as happenings:
        with pytest.raises(Refused, match="not kept"):
            await anext(happenings)


async def test_a_source_that_is_built_late_does_what_the_other_does() -> None:
    async def state(request: web.Request) -> web.StreamResponse:
        return as_json(server_state(seq=7))

    async def chat(request: web.Request) -> web.StreamResponse:
        return await stream(request, 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', "data: [DONE]\n\n")

    async def events(request: web.Request) -> web.StreamResponse:
        return await stream(request, sse(8))

    async with serving(state=state, chat=chat, events=events) as source:
        late = LateSource(source._base_url, "lar-key")
        assert (await late.state()).seq == 7
        async with aclosing(late.chat(HELLO, SMALL)) as pieces:
            assert [type(piece) for piece in [each async for each in pieces]] == [
                ChatStarted,
                ChatText,
                ChatDone,
            ]
        async with aclosing(late.events(7)) as feed:
            first, fact = await anext(feed), await anext(feed)
        assert isinstance(first, ServerState)
        assert isinstance(fact, Envelope)
        await late.aclose()


def test_attempts_are_never_more_than_a_few_seconds_apart() -> None:
    delays = [retry_delay_s(attempt) for attempt in range(1, 20)]
    assert delays == sorted(delays)
    assert delays[-1] == 5.0
