"""The WebSocket on /v1/responses, with the SDK's connection, its lanes, and frames sent by hand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from openai.lib.responses_websocket import AsyncResponsesWebSocketSession, ResponsesWebSocketLimits

from runtime.api.responses import socket
from runtime.core.agents.happenings import ItemBegan, ItemEnded
from runtime.core.agents.items import Answered, Called, Said, Text
from runtime.core.agents.ports import NewRun
from runtime.core.settings import ServerSettings
from tests.kit.fake_pool import saying
from tests.kit.response_stage import (
    ResponseStage,
    Scene,
    answering,
    begun,
    calling,
    closed,
    response_stage,
    said,
)

_TOOL: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
_LIMITS = ResponsesWebSocketLimits(
    max_lanes=8,
    max_events_per_lane=128,
    max_events=512,
    max_bytes_per_lane=2**24,
    max_bytes=2**25,
)


@asynccontextmanager
async def _socket(stage: ResponseStage, **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with stage.http.http.ws_connect(stage.url, **options) as connection:
        with anyio.fail_after(5):
            yield connection


async def _create(connection: aiohttp.ClientWebSocketResponse, text: str = "Hi", **more: Any) -> None:
    await connection.send_json({"type": "response.create", "model": "m", "input": text, **more})


async def _until(connection: aiohttp.ClientWebSocketResponse, *kinds: str) -> list[Any]:
    """Return the frames up to the first of these kinds."""
    frames: list[Any] = []
    while not frames or frames[-1]["type"] not in kinds:
        frames.append(await connection.receive_json())
    return frames


async def test_the_sdk_makes_one_response_after_the_other_over_one_connection(tmp_path: Path) -> None:
    kinds: list[str] = []
    async with (
        response_stage(tmp_path, answering("Hello there")) as stage,
        stage.client.responses.connect() as connection,
    ):
        for _ in range(2):
            await connection.response.create(model="m", input="Hi")
            with anyio.fail_after(5):
                async for event in connection:
                    kinds.append(event.type)
                    if event.type == "response.completed":
                        assert event.response.output_text == "Hello there"
                        break

    assert kinds.count("response.created") == kinds.count("response.completed") == 2
    assert len(stage.runs.runs) == 2


async def test_lanes_of_the_sdk_run_side_by_side(tmp_path: Path) -> None:
    async with (
        response_stage(tmp_path, answering("Hello there")) as stage,
        stage.client.responses.connect() as connection,
        AsyncResponsesWebSocketSession(connection, limits=_LIMITS) as session,
    ):
        lanes = [session.lane(name) for name in ("one", "two")]
        for lane in lanes:
            await lane.send({"type": "response.create", "model": "m", "input": "Hi"})
        with anyio.fail_after(5):
            finals = [await lane.get_final_response() for lane in lanes]

    assert [each.output_text for each in finals] == ["Hello there", "Hello there"]
    assert finals[0].id != finals[1].id


async def test_a_lane_that_waits_does_not_hold_up_another(tmp_path: Path) -> None:
    def script(new: NewRun) -> Sequence[Scene]:
        first = new.input[0]
        assert isinstance(first, Said)
        return begun() if first.text == "wait" else (*begun(), *said("Quick."), *closed())

    async with response_stage(tmp_path, script) as stage, _socket(stage) as connection:
        await _create(connection, "wait", stream_id="slow")
        await _until(connection, "response.in_progress")
        await _create(connection, "go", stream_id="quick")
        frames = await _until(connection, "response.completed")

    assert {each["stream_id"] for each in frames} == {"quick"}


async def test_requests_of_one_lane_are_served_in_order(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering("One.")) as stage, _socket(stage) as connection:
        for text in ("a", "b", "c"):
            await _create(connection, text)
        frames = [frame for _ in range(3) for frame in await _until(connection, "response.completed")]

    ids = [each["response"]["id"] for each in frames if "response" in each]
    assert ids == sorted(ids)
    texts = [
        each.new.input[0].text for each in stage.runs.runs.values() if isinstance(each.new.input[0], Said)
    ]
    assert texts == ["a", "b", "c"]


async def test_a_connection_remembers_what_is_not_stored(tmp_path: Path) -> None:
    async with response_stage(tmp_path, calling()) as stage:
        async with _socket(stage) as connection:
            await _create(connection, store=False, tools=[_TOOL])
            first = (await _until(connection, "response.completed"))[-1]["response"]
            result = {"type": "function_call_output", "call_id": "call_1", "output": "yes"}
            again: Any = {
                "previous_response_id": first["id"],
                "input": [result],
                "store": False,
                "tools": [_TOOL],
            }
            await connection.send_json({"type": "response.create", "model": "m", **again})
            second = (await _until(connection, "response.completed"))[-1]["response"]
        status, body = await stage.post(**again)
        async with _socket(stage) as other:
            await other.send_json({"type": "response.create", "model": "m", **again})
            refused = await other.receive_json()

    assert second["output"][0]["content"][0]["text"] == "It is there."
    assert (status, body["error"]["code"]) == (400, "previous_response_not_found")
    assert (refused["type"], refused["status"]) == ("error", 400)
    assert refused["error"]["code"] == "previous_response_not_found"


async def test_a_request_that_fails_lets_go_of_the_response_that_it_wanted_to_continue(
    tmp_path: Path,
) -> None:
    async with response_stage(tmp_path, answering()) as stage, _socket(stage) as connection:
        await _create(connection, store=False)
        first = (await _until(connection, "response.completed"))[-1]["response"]["id"]
        await _create(connection, previous_response_id=first, temperature=5)
        assert (await connection.receive_json())["error"]["param"] == "temperature"
        await _create(connection, previous_response_id=first)
        refused = await connection.receive_json()

    assert refused["error"]["code"] == "previous_response_not_found"


async def test_a_warm_up_gives_no_output_and_can_be_continued(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering("Hello there")) as stage, _socket(stage) as connection:
        stage.http.pool.play(saying("x", prompt_tokens=9))
        await _create(connection, "The long beginning.", generate=False)
        warmed = (await _until(connection, "response.completed"))[-1]["response"]
        await _create(connection, "Go on.", previous_response_id=warmed["id"])
        await _until(connection, "response.completed")

    assert warmed["output"] == []
    assert warmed["usage"]["input_tokens"] == 9
    [fake] = stage.runs.runs.values()
    texts = [each.text for each in (*fake.new.context, *fake.new.input) if isinstance(each, Said)]
    assert texts == ["The long beginning.", "Go on."]


@pytest.mark.parametrize(
    ("frame", "param"),
    [
        ({"type": "nonsense"}, "type"),
        ({"type": "response.create", "model": "m", "input": "Hi", "background": True}, "background"),
        ({"type": "response.create", "model": "m", "input": "Hi", "stream_id": "a b"}, "stream_id"),
        ({"type": "response.create", "input": "Hi"}, "model"),
        ({"type": "response.create", "model": "m", "input": "Hi", "temperature": 9}, "temperature"),
    ],
)
async def test_a_wrong_frame_is_an_error_frame_and_the_connection_stays(
    tmp_path: Path, frame: Any, param: str
) -> None:
    async with response_stage(tmp_path, answering()) as stage, _socket(stage) as connection:
        await connection.send_json(frame)
        refused = await connection.receive_json()
        await _create(connection)
        frames = await _until(connection, "response.completed")

    assert (refused["type"], refused["status"]) == ("error", 400)
    assert refused["error"]["type"] == "invalid_request_error"
    assert refused["error"]["param"] == param
    assert frames[0]["type"] == "response.created"


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"'])
async def test_what_is_no_json_object_is_an_error_frame(tmp_path: Path, text: str) -> None:
    async with response_stage(tmp_path) as stage, _socket(stage) as connection:
        await connection.send_str(text)
        refused = await connection.receive_json()
        await connection.send_bytes(b"\x00")
        binary = await connection.receive_json()

    assert refused["error"]["code"] == binary["error"]["code"] == "invalid_json"


async def test_an_unknown_model_is_an_error_frame_with_the_status_of_http(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage, _socket(stage) as connection:
        await _create(connection, model="gone", stream_id="a")
        refused = await connection.receive_json()

    assert (refused["status"], refused["error"]["code"]) == (404, "model_not_found")
    assert refused["stream_id"] == "a"


async def test_who_leaves_ends_what_is_being_made(tmp_path: Path) -> None:
    async with response_stage(tmp_path, lambda new: begun()) as stage:
        async with _socket(stage) as connection:
            await _create(connection)
            await _until(connection, "response.in_progress")
        with anyio.fail_after(5):
            await stage.runs.last.over.wait()

    ended = stage.runs.last.ended
    assert ended is not None
    assert ended.status == "cancelled"


async def test_a_connection_that_breaks_ends_what_is_being_made(tmp_path: Path) -> None:
    async with response_stage(tmp_path, lambda new: begun()) as stage:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(stage.http.address.rpartition(":")[2])
        )
        request = (
            "GET /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        frame = b'{"type": "response.create", "model": "m", "input": "Hi"}'
        writer.write(request.encode() + bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)
        with anyio.fail_after(5):
            await reader.readuntil(b"response.in_progress")
            writer.transport.abort()
            await stage.runs.last.over.wait()

    ended = stage.runs.last.ended
    assert ended is not None
    assert ended.status == "cancelled"


async def test_input_for_a_response_in_the_making_begins_a_successor(tmp_path: Path) -> None:
    async with response_stage(tmp_path, lambda new: begun()) as stage, _socket(stage) as connection:
        await _create(connection, instructions="Be kind.")
        created = (await _until(connection, "response.in_progress"))[0]["response"]
        first = stage.runs.last
        steer = {"type": "response.steer", "previous_response_id": created["id"], "input": "Be brief."}
        await connection.send_json(steer)
        accepted = await connection.receive_json()
        stage.runs.script = answering("Brief.")
        stage.runs.tell(first, *said("Long."))  # type: ignore[arg-type]  # no end in them
        stage.runs.end(first)
        frames = [
            *(await _until(connection, "response.completed")),
            *(await _until(connection, "response.completed")),
        ]

    assert accepted["type"] == "response.steer.accepted"
    assert frames[-1]["response"]["previous_response_id"] == created["id"]
    new = stage.runs.last.new
    assert [each.text for each in (*new.context, *new.input) if isinstance(each, Said)] == [
        "Hi",
        "Long.",
        "Be brief.",
    ]
    assert new.plan.instructions == "Be kind."


async def test_input_stops_a_response_between_the_calls_that_lar_makes_and_the_next_turn(
    tmp_path: Path,
) -> None:
    called = Called(
        id="mcp_1", call_id="call_m", name="read", arguments="{}", form="mcp", by_client=False, server="files"
    )
    result = Answered(id="res_1", call_id="call_m", parts=(Text(text="found"),), form="mcp")
    async with response_stage(tmp_path, lambda new: begun()) as stage, _socket(stage) as connection:
        await _create(connection)
        created = (await _until(connection, "response.in_progress"))[0]["response"]
        first = stage.runs.last
        stage.runs.tell(first, ItemBegan(place=0, item=called))
        await _until(connection, "response.mcp_call.in_progress")
        steer = {"type": "response.steer", "previous_response_id": created["id"], "input": "Stop that."}
        await connection.send_json(steer)
        await _until(connection, "response.steer.accepted")
        stage.runs.script = answering("Stopped.")
        stage.runs.tell(first, ItemEnded(place=0, item=called, result=result))
        stopped = (await _until(connection, "response.incomplete"))[-1]["response"]
        await _until(connection, "response.completed")
    found = first.record()

    assert (stopped["status"], stopped["incomplete_details"]) == ("incomplete", {"reason": "steered"})
    assert (found.status, found.reason) == ("cancelled", "steered")
    new = stage.runs.last.new
    assert [type(each).__name__ for each in new.context] == ["Said", "Called", "Answered"]


async def test_input_waits_where_the_client_owes_a_result(tmp_path: Path) -> None:
    async with response_stage(tmp_path, lambda new: begun()) as stage, _socket(stage) as connection:
        await _create(connection, tools=[_TOOL])
        created = (await _until(connection, "response.in_progress"))[0]["response"]
        first = stage.runs.last
        await connection.send_json(
            {"type": "response.steer", "previous_response_id": created["id"], "input": "Quickly."}
        )
        await connection.receive_json()
        stage.runs.script = answering("Done.")
        for each in calling()(first.new)[2:-2]:
            stage.runs.tell(first, each)  # type: ignore[arg-type]  # no end in them
        stage.runs.end(first)
        pending = (await _until(connection, "response.steer.pending"))[-1]
        result = {"type": "function_call_output", "call_id": "call_1", "output": "yes"}
        await connection.send_json(
            {
                "type": "response.create",
                "model": "m",
                "tools": [_TOOL],
                "previous_response_id": created["id"],
                "input": [result],
            }
        )
        await _until(connection, "response.completed")

    assert pending["required_input"] == [
        {"type": "function_call_output", "call_id": "call_1", "name": "look"}
    ]
    assert [type(each).__name__ for each in stage.runs.last.new.input] == ["Said", "Answered"]


async def test_a_connection_ends_when_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "LIMIT_S", 0.05)
    async with response_stage(tmp_path) as stage, _socket(stage) as connection:
        told = await connection.receive_json()
        closing = await connection.receive()

    assert told["error"]["code"] == "websocket_connection_limit_reached"
    assert closing.type is aiohttp.WSMsgType.CLOSE


async def test_a_frame_that_is_too_large_ends_the_connection(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, max_body_bytes=10_000)
    async with response_stage(tmp_path, settings=settings) as stage, _socket(stage) as connection:
        await _create(connection, "x" * 20_000)
        closing = await connection.receive()

    assert closing.type is aiohttp.WSMsgType.CLOSE
    assert closing.data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_no_more_lanes_than_a_connection_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "LANES", 1)
    async with response_stage(tmp_path, answering()) as stage, _socket(stage) as connection:
        await _create(connection, stream_id="a")
        await _until(connection, "response.completed")
        await _create(connection, stream_id="b")
        refused = await connection.receive_json()

    assert (refused["status"], refused["error"]["code"]) == (429, "too_many_requests")
    assert refused["stream_id"] == "b"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer lar-wrong"}])
async def test_a_connection_takes_a_key_where_requests_take_one(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with response_stage(tmp_path) as stage:
        await anyio.to_thread.run_sync(stage.http.keys.create, "me", "user")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stage.http.http.ws_connect(stage.url, headers=headers)

    assert refused.value.status == 401


async def test_pages_of_other_origins_may_not_connect(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stage.http.http.ws_connect(stage.url, origin="https://elsewhere.example")

    assert refused.value.status == 403


async def test_a_server_that_stops_ends_its_connections(tmp_path: Path) -> None:
    async with (
        response_stage(tmp_path) as stage,
        _socket(stage) as connection,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(stage.http.server.aclose, 0.5)
        closing = await connection.receive()

    assert closing.type is aiohttp.WSMsgType.CLOSE
    assert closing.data == aiohttp.WSCloseCode.GOING_AWAY
