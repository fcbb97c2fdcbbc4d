"""The client: lines of a stream, what an answer is made of, and requests to a small server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bench.inference.loadgen import Answer, Client, open_client, read_line

CHUNK = b'data: {"choices": [{"delta": {"content": "word"}}]}\n'
LAST = (
    b'data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n'
    b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, '
    b'"prompt_tokens_details": {"cached_tokens": 4}}}\ndata: [DONE]\n'
)
HELLO = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def serving(body: bytes, status: int = 200) -> AsyncIterator[tuple[Client, list[dict[str, object]]]]:
    asked: list[dict[str, object]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.Response(body=body, status=status)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    async with TestServer(app) as server, open_client(f"http://127.0.0.1:{server.port}", "m") as client:
        yield client, asked


def test_only_data_lines_carry_chunks() -> None:
    assert read_line(b'data: {"choices": []}\r\n') == {"choices": []}
    assert read_line(b"data: [DONE]\n") is None
    assert read_line(b": a comment\n") is None
    assert read_line(b"\n") is None


@pytest.mark.parametrize("line", [b"data: {cut", b"data: 5"])
def test_a_line_that_is_no_chunk_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        read_line(line)


def test_an_answer_keeps_the_time_of_each_piece_with_content() -> None:
    answer = Answer(sent_at=1.0)
    chunks = ({"delta": {"role": "assistant"}}, {"delta": {"content": "a"}}, {"delta": {"content": "b"}})
    brought = [answer.take({"choices": [each]}, at) for at, each in zip((2.0, 2.5, 4.0), chunks, strict=True)]

    assert brought == [False, True, True]
    assert answer.first_s == 1.5
    assert answer.gaps_s == [1.5]
    assert answer.text == "ab"


async def test_a_streamed_answer_is_read_to_its_end_and_counted() -> None:
    pieces: list[int] = []
    with anyio.fail_after(5):
        async with serving(CHUNK + CHUNK + LAST) as (client, asked):
            answer = await client.ask(
                HELLO, 2, listen=lambda each: pieces.append(len(each.arrivals)), ignore_eos=True
            )

    assert answer.error is None
    assert (answer.text, answer.finish) == ("wordword", "length")
    assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (9, 4, 2)
    assert answer.ended_at >= answer.arrivals[-1] >= answer.sent_at
    assert pieces == [1, 2]
    assert asked[0] | {"ignore_eos": True, "max_tokens": 2, "temperature": 0, "stream": True} == asked[0]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"busy", 503, "HTTP 503: busy"),
        (LAST, 200, "an empty answer (finish_reason length)"),
        (CHUNK, 200, "no usage was sent"),
        (CHUNK + b'data: {"error": {"message": "broke"}}\n', 200, '{"message": "broke"}'),
        (CHUNK + b"data: {cut", 200, "JSONDecodeError"),
    ],
)
async def test_whatever_goes_wrong_is_told_in_the_answer(body: bytes, status: int, told: str) -> None:
    with anyio.fail_after(5):
        async with serving(body, status) as (client, _):
            answer = await client.ask(HELLO, 2)

    assert answer.error is not None
    assert told in answer.error
    assert client.errors == [answer.error]
