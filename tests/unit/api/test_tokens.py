"""Tokens of a text and back, under the names of both traditions."""

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from runtime.core.events import RunRequested
from runtime.core.messages import (
    Began,
    Delta,
    DetokenizeRequest,
    Ended,
    FunctionTool,
    TokenizeRequest,
    Tokens,
    Usage,
)
from runtime.core.states import Feature
from tests.kit.fake_models import known_model
from tests.kit.fake_pool import Step
from tests.kit.http_stage import Stage, open_stage

EVERYTHING: frozenset[Feature] = frozenset(get_args(Feature))
ABLE = msgspec.structs.replace(known_model("m", features=EVERYTHING), context_tokens=2048)
TOKENS: list[Step] = [
    Began(prompt_tokens=0),
    Tokens(tokens=(1, 52), pieces=(b"<s>", b"Hi")),
    Tokens(tokens=(7, 8), pieces=(b"\xe2\x82", b"\xac")),
    Ended(reason="stop", usage=Usage()),
]


async def ask(stage: Stage, route: str, **body: Any) -> tuple[int, Any]:
    stage.pool.play(TOKENS)
    async with stage.http.post(f"{stage.address}/v1/{route}", json={"model": "m"} | body) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("name", ["content", "prompt"])
async def test_a_text_has_tokens_under_either_name(tmp_path: Path, name: str) -> None:
    async with open_stage(tmp_path, models=[ABLE]) as stage:
        status, answer = await ask(stage, "tokenize", **{name: "Hi€"})

    assert status == 200
    assert answer == {"tokens": [1, 52, 7, 8], "count": 4, "max_model_len": 2048}
    asked = stage.pool.requests[0]
    assert isinstance(asked, TokenizeRequest)
    assert (asked.text, asked.adds_special, asked.parses_special) == ("Hi€", True, True)


@pytest.mark.parametrize("name", ["with_pieces", "return_token_strs"])
async def test_the_text_of_each_token_is_told_when_asked(tmp_path: Path, name: str) -> None:
    async with open_stage(tmp_path, models=[ABLE]) as stage:
        _, answer = await ask(stage, "tokenize", content="Hi€", **{name: True})

    assert answer["token_strs"] == ["<s>", "Hi", r"bytes:\xe2\x82", r"bytes:\xac"]
    assert answer["tokens"] == [1, 52, 7, 8]


@pytest.mark.parametrize("name", ["add_special", "add_special_tokens"])
async def test_special_tokens_can_be_left_out(tmp_path: Path, name: str) -> None:
    async with open_stage(tmp_path, models=[ABLE]) as stage:
        await ask(stage, "tokenize", content="", parse_special=False, **{name: False})

    asked = stage.pool.requests[0]
    assert isinstance(asked, TokenizeRequest)
    assert (asked.text, asked.adds_special, asked.parses_special) == ("", False, False)


async def test_a_chat_is_tokenised_as_its_template_writes_it(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    async with open_stage(tmp_path, models=[ABLE]) as stage:
        status, answer = await ask(
            stage, "tokenize", messages=[{"role": "user", "content": "Hi"}], tools=[tool]
        )

    assert (status, answer["count"]) == (200, 4)
    asked = stage.pool.requests[0]
    assert isinstance(asked, TokenizeRequest)
    assert asked.text is None
    assert asked.chat is not None
    assert asked.chat.messages[0].content == "Hi"
    assert asked.chat.tools == (FunctionTool(name="f"),)


async def test_tokens_become_text_again(tmp_path: Path) -> None:
    ended = Ended(reason="stop", usage=Usage())
    script: list[Step] = [Began(prompt_tokens=0), Delta(text="Hi"), Delta(text="€"), ended]
    async with open_stage(tmp_path, models=[ABLE]) as stage:
        stage.pool.play(script)
        body = {"model": "m", "tokens": [52, 7, 8]}
        async with stage.http.post(f"{stage.address}/v1/detokenize", json=body) as response:
            answer = await response.json()

    assert answer == {"content": "Hi€", "prompt": "Hi€"}
    assert stage.pool.requests == [DetokenizeRequest(model=ABLE.id, principal="owner", tokens=(52, 7, 8))]


@pytest.mark.parametrize(
    ("route", "body", "param"),
    [
        ("tokenize", {}, "content"),
        ("tokenize", {"content": "a", "prompt": "a"}, "prompt"),
        ("tokenize", {"content": "a", "messages": [{"role": "user", "content": "a"}]}, "messages"),
        ("tokenize", {"messages": []}, "messages"),
        ("tokenize", {"messages": [{"role": "user"}]}, "messages[0].content"),
        ("tokenize", {"content": "a", "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        (
            "tokenize",
            {"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": False},
            "add_generation_prompt",
        ),
        (
            "tokenize",
            {"content": "a", "add_special": True, "add_special_tokens": False},
            "add_special_tokens",
        ),
        (
            "tokenize",
            {"content": "a", "with_pieces": True, "return_token_strs": False},
            "return_token_strs",
        ),
        ("tokenize", {"content": "a", "text": "a"}, "text"),
        ("detokenize", {}, "tokens"),
        ("detokenize", {"tokens": ["a"]}, "tokens[0]"),
        ("detokenize", {"tokens": [-1]}, "tokens[0]"),
    ],
)
async def test_a_body_at_fault_is_refused_by_field(
    tmp_path: Path, route: str, body: dict[str, Any], param: str
) -> None:
    async with open_stage(tmp_path, models=[ABLE]) as stage:
        status, answer = await ask(stage, route, **body)

        assert status == 400, answer
        assert answer["error"]["param"].replace("[...]", "[0]") == param
        assert stage.facts(RunRequested) == []


@pytest.mark.parametrize(("route", "body"), [("tokenize", {"content": "a"}), ("detokenize", {"tokens": [1]})])
async def test_a_model_without_tokens_to_tell_is_refused(
    tmp_path: Path, route: str, body: dict[str, Any]
) -> None:
    async with open_stage(tmp_path, models=[known_model("m", "available", frozenset())]) as stage:
        status, answer = await ask(stage, route, **body)

        assert (status, answer["error"]["param"]) == (400, "model")
        assert stage.models.installs == []


async def test_a_picture_needs_a_model_that_sees(tmp_path: Path) -> None:
    blind = known_model("m", features=frozenset({"chat", "tokenize"}))
    url = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    content = [{"type": "image_url", "image_url": {"url": url}}]
    async with open_stage(tmp_path, models=[blind]) as stage:
        status, answer = await ask(stage, "tokenize", messages=[{"role": "user", "content": content}])

    assert (status, answer["error"]["param"]) == (400, "messages[0].content[0]")
