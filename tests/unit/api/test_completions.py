"""Plain completions through the official client: every form of prompt, each its own run."""

import math
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import anyio
import msgspec
import openai
import pytest

from runtime.core.errors import Fault
from runtime.core.events import RunCancelled, RunRequested
from runtime.core.ids import ModelId
from runtime.core.messages import (
    Began,
    Broke,
    ChatRequest,
    ChosenLogprob,
    Delta,
    Ended,
    RawPrompt,
    TokenLogprob,
    Usage,
)
from runtime.core.settings import AdmissionSettings
from runtime.core.states import Feature, ModelState
from tests.kit.fake_models import known_model
from tests.kit.fake_pool import Hold, Step, saying
from tests.kit.http_stage import Stage, open_stage

EVERYTHING: frozenset[Feature] = frozenset(get_args(Feature))


def able(sequences: int = 4) -> ModelState:
    return msgspec.structs.replace(known_model("m", features=EVERYTHING), sequences=sequences)


def told(text: str, logprob: float, *top: tuple[str, float]) -> ChosenLogprob:
    return ChosenLogprob(
        token=text,
        logprob=logprob,
        bytes=tuple(text.encode()),
        top_logprobs=tuple(
            TokenLogprob(token=each, logprob=value, bytes=tuple(each.encode())) for each, value in top
        ),
    )


def naming(request: ChatRequest, index: int) -> list[Step]:
    """Say which prompt and which answer it is."""
    assert request.prompt is not None
    usage = Usage(prompt_tokens=5, completion_tokens=2, cached_tokens=3)
    texts = [Delta(text=f"{request.prompt.text}"), Delta(text=f"/{index}")]
    return [Began(prompt_tokens=5), *texts, Ended(reason="stop", usage=usage)]


async def events_of(stage: Stage, **more: Any) -> list[str]:
    body = {"model": "m", "prompt": "a", "stream": True} | more
    async with stage.http.post(f"{stage.address}/v1/completions", json=body) as response:
        assert response.status == 200
        text = await response.text()
    return [each.removeprefix("data: ") for each in text.removesuffix("\n\n").split("\n\n")]


async def wait_for_cancels(stage: Stage, count: int) -> None:
    with anyio.fail_after(5), stage.bus.subscribe("test", 100) as facts:
        while len(stage.facts(RunCancelled)) < count:
            await anext(facts)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a", [RawPrompt(text="a")]),
        ("", [RawPrompt(text="")]),
        (["a", "b"], [RawPrompt(text="a"), RawPrompt(text="b")]),
        ([1, 2], [RawPrompt(tokens=(1, 2))]),
        ([[1], [2, 3]], [RawPrompt(tokens=(1,)), RawPrompt(tokens=(2, 3))]),
    ],
)
async def test_every_form_of_prompt_becomes_a_run_each(
    tmp_path: Path, prompt: Any, expected: list[RawPrompt]
) -> None:
    async with open_stage(tmp_path, models=[able()]) as stage, stage.openai() as client:
        answer = await client.completions.create(model="m", prompt=prompt)

        assert [each.prompt for each in stage.pool.chats] == expected
        assert stage.pool.chats[0].sampling.max_tokens == 16
        assert [each.index for each in answer.choices] == list(range(len(expected)))
        assert answer.choices[0].text == "Hello there"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.choices[0].logprobs is None
        assert answer.object == "text_completion"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
            5 * len(expected),
            2 * len(expected),
        )
        assert len(stage.facts(RunRequested)) == len(expected)


async def test_choices_are_numbered_prompt_by_prompt(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[able()]) as stage, stage.openai() as client:
        stage.pool.play(naming)
        answer = await client.completions.create(model="m", prompt=["a", "b", "c"], n=2)

    texts = {each.index: each.text for each in answer.choices}
    assert texts == {0: "a/0", 1: "a/1", 2: "b/0", 3: "b/1", 4: "c/0", 5: "c/1"}
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (15, 12)
    assert answer.usage.prompt_tokens_details.cached_tokens == 9


async def test_a_stream_says_the_same_as_the_whole_answer(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[able()]) as stage, stage.openai() as client:
        stage.pool.play(naming)
        texts: Counter[int] = Counter()
        gathered = dict.fromkeys(range(4), "")
        stream = await client.completions.create(
            model="m", prompt=["a", "b"], n=2, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        for chunk in chunks[:-1]:
            choice = chunk.choices[0]
            gathered[choice.index] += choice.text
            texts[choice.index] += choice.finish_reason == "stop"

    assert gathered == {0: "a/0", 1: "a/1", 2: "b/0", 3: "b/1"}
    assert texts == {0: 1, 1: 1, 2: 1, 3: 1}
    assert {each.object for each in chunks} == {"text_completion"}
    assert len({each.id for each in chunks}) == 1
    assert all(each.usage is None and "usage" in each.model_fields_set for each in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (10, 8)


async def test_prompts_run_side_by_side_and_a_stream_hears_each_in_turn(tmp_path: Path) -> None:
    holds = {"a": Hold(), "b": Hold()}

    def script(request: ChatRequest, index: int) -> list[Step]:
        assert request.prompt is not None
        name = request.prompt.text or ""
        end = Ended(reason="stop", usage=Usage())
        return [Began(prompt_tokens=1), holds[name], *[Delta(text=name)] * 40, end]

    async with open_stage(tmp_path, models=[able()]) as stage, anyio.create_task_group() as tasks:
        stage.pool.play(script)
        found: list[str] = []

        async def ask() -> None:
            found.extend(await events_of(stage, prompt=["a", "b"]))

        tasks.start_soon(ask)
        with anyio.fail_after(5):
            for hold in holds.values():  # both live before either is done
                await hold.is_reached.wait()
        for hold in holds.values():
            hold.release()

    assert found[-1] == "[DONE]"
    order = "".join(msgspec.json.decode(each)["choices"][0]["text"] for each in found[:-1])
    assert sorted(order) == ["a"] * 40 + ["b"] * 40
    assert "b" in order[:20]
    assert "a" in order[:20]


async def test_no_more_runs_live_at_once_than_the_model_has_sequences(tmp_path: Path) -> None:
    live, most, begun = 0, 0, 0
    companion = Hold()

    def script(request: ChatRequest, index: int) -> Any:
        nonlocal live, most, begun
        live, begun = live + 1, begun + 1
        most = max(most, live)
        yield Began(prompt_tokens=1)
        if begun == 1:
            yield companion  # the first waits until the second lives beside it
        companion.release()
        yield Delta(text="x")
        live -= 1
        yield Ended(reason="stop", usage=Usage())

    admission = AdmissionSettings(queue_limit=0)
    async with (
        open_stage(tmp_path, models=[able(2)], admission=admission, places=2) as stage,
        stage.openai() as client,
    ):
        stage.pool.play(script)
        with anyio.fail_after(10):
            answer = await client.completions.create(model="m", prompt=["p"] * 20)

    assert len(answer.choices) == 20
    assert most == 2


async def test_an_error_in_one_prompt_ends_the_others(tmp_path: Path) -> None:
    hold = Hold()

    def script(request: ChatRequest, index: int) -> list[Step]:
        assert request.prompt is not None
        if request.prompt.text == "bad":
            return [Broke(fault=Fault(code="context_length_exceeded", message="too long"))]
        return [hold, Ended(reason="stop", usage=Usage())]

    async with open_stage(tmp_path, models=[able()]) as stage, stage.openai() as client:
        stage.pool.play(script)
        with anyio.fail_after(5), pytest.raises(openai.BadRequestError) as caught:
            await client.completions.create(model="m", prompt=["good", "bad", "good"], stream=True)
        await wait_for_cancels(stage, 2)

        assert caught.value.code == "context_length_exceeded"
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["run_id"] == caught.value.response.headers["x-lar-run-id"]


async def test_an_error_in_mid_stream_is_an_error_event_without_done(tmp_path: Path) -> None:
    broken = Broke(fault=Fault(code="worker_died", message="The worker died."))
    async with open_stage(tmp_path, models=[able()]) as stage:
        stage.pool.play([Began(prompt_tokens=1), Delta(text="Hel"), broken])
        events = await events_of(stage)

    assert msgspec.json.decode(events[-1])["error"]["code"] == "worker_died"
    assert "[DONE]" not in events


async def test_a_client_that_leaves_cancels_every_run(tmp_path: Path) -> None:
    holds = {"a": Hold(), "b": Hold()}

    def script(request: ChatRequest, index: int) -> list[Step]:
        assert request.prompt is not None
        return [Began(prompt_tokens=1), holds[request.prompt.text or ""], Ended(reason="stop", usage=Usage())]

    async with open_stage(tmp_path, models=[able()]) as stage:
        stage.pool.play(script)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: events_of(stage, prompt=["a", "b"]))
                for hold in holds.values():
                    await hold.is_reached.wait()
                tasks.cancel_scope.cancel()
        await wait_for_cancels(stage, 2)

        assert all(each.is_cancelled for each in stage.pool.generations)


async def test_a_stopping_server_refuses_all_prompts_at_once(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[able()]) as stage, stage.openai() as client:
        await stage.runs.stop(0.0)
        with pytest.raises(openai.InternalServerError) as caught:
            await client.completions.create(model="m", prompt=["a", "b"])

    assert caught.value.code == "shutting_down"


async def test_log_probabilities_have_the_old_form(tmp_path: Path) -> None:
    euro = [
        ChosenLogprob(token="", logprob=-1.0, bytes=(0xE2, 0x82)),
        ChosenLogprob(token="€", logprob=-2.0, bytes=(0xAC,)),
    ]
    script: list[Step] = [
        Began(prompt_tokens=1),
        Delta(text="Hé", logprobs=(told("Hé", -0.5, ("He", -0.1), ("Hé", -0.5)),)),
        Delta(text="", logprobs=(euro[0],)),
        Delta(text="€!", logprobs=(euro[1], told("!", -3.0, ("?", -0.2)))),
        Ended(reason="length", usage=Usage(prompt_tokens=1, completion_tokens=4)),
    ]
    async with open_stage(tmp_path, models=[able()]) as stage, stage.openai() as client:
        stage.pool.play(script)
        whole = await client.completions.create(model="m", prompt="a", logprobs=2)
        stream = await client.completions.create(model="m", prompt="a", logprobs=2, stream=True)
        pieces = [chunk.choices[0].logprobs async for chunk in stream]

    found = whole.choices[0].logprobs
    assert found is not None
    assert found.tokens == ["Hé", r"bytes:\xe2\x82", r"bytes:\xac", "!"]
    assert found.token_logprobs == [-0.5, -1.0, -2.0, -3.0]
    assert found.top_logprobs == [
        {"He": -0.1, "Hé": -0.5},
        {r"bytes:\xe2\x82": -1.0},
        {r"bytes:\xac": -2.0},
        {"?": -0.2, "!": -3.0},
    ]
    assert found.text_offset == [0, 2, 2, 3]
    offsets = [offset for each in pieces if each is not None for offset in each.text_offset or ()]
    assert offsets == [0, 2, 2, 3]
    assert stage.pool.chats[0].sampling.logprobs == 2
    assert whole.choices[0].finish_reason == "length"


async def test_a_prompt_can_be_scored_without_generating(tmp_path: Path) -> None:
    echo = (told("The", math.nan), told(" sky", -4.0, (" cat", -1.0)))
    script: list[Step] = [
        Began(prompt_tokens=2),
        Delta(text="The sky", logprobs=echo, tokens=0),
        Ended(reason="length", usage=Usage(prompt_tokens=2)),
    ]
    async with open_stage(tmp_path, models=[able()]) as stage, stage.openai() as client:
        stage.pool.play(script)
        answer = await client.completions.create(
            model="m", prompt="The sky", echo=True, max_tokens=0, logprobs=1
        )

        asked = stage.pool.chats[0]
        assert asked.prompt == RawPrompt(text="The sky", is_echoed=True)
        assert asked.sampling.max_tokens == 0
        assert answer.choices[0].text == "The sky"
        found = answer.choices[0].logprobs
        assert found is not None
        assert found.token_logprobs == [None, -4.0]
        assert found.top_logprobs == [None, {" cat": -1.0, " sky": -4.0}]
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 0


@pytest.mark.parametrize("is_echoed", [False, True])
async def test_the_most_likely_answers_are_returned_the_best_first(tmp_path: Path, is_echoed: bool) -> None:
    means = [-3.0, -1.0, -2.0, -4.0]
    # Were it weighed, the prompt's own probability would favour the shortest answer.
    echo = (told("P", 0.0),) if is_echoed else ()

    def script(request: ChatRequest, index: int) -> list[Step]:
        length = 1 if index == 3 else 3
        usage = Usage(prompt_tokens=1, completion_tokens=length)
        answer = tuple(told(str(index), means[index]) for _ in range(length))
        return [
            Began(prompt_tokens=1),
            Delta(logprobs=echo, tokens=0),
            Delta(text=str(index), logprobs=answer, tokens=length),
            Ended(reason="stop", usage=usage),
        ]

    async with open_stage(tmp_path, models=[able()]) as stage, stage.openai() as client:
        stage.pool.play(script)
        answer = await client.completions.create(model="m", prompt=["a", "b"], best_of=4, n=2, echo=is_echoed)

    assert [each.text for each in answer.choices] == ["1", "2", "1", "2"]
    assert [each.index for each in answer.choices] == [0, 1, 2, 3]
    assert all(each.logprobs is None for each in answer.choices)
    assert [(each.choices, each.sampling.logprobs) for each in stage.pool.chats[:1]] == [(4, 0)]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 20  # what was thrown away was computed too


async def test_fields_reach_the_run(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[able()]) as stage, stage.openai() as client:
        await client.completions.create(
            model="m:formal",
            prompt="def f(",
            suffix="\n    return x",
            max_tokens=7,
            temperature=0.3,
            seed=4,
            stop=["\n\n", "#"],
            logit_bias={"5": -100},
            presence_penalty=1,
            frequency_penalty=0.5,
            user="me",
            extra_body={"top_k": 3, "min_p": 0.1, "priority": "batch", "deadline_s": 3},
        )

    asked = stage.pool.chats[0]
    assert asked.prompt == RawPrompt(text="def f(", suffix="\n    return x")
    assert (asked.model, asked.adapter, asked.priority, asked.deadline_s) == ("m", "formal", "batch", 3)
    sampling = asked.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.seed) == (7, 0.3, 4)
    assert (sampling.stop, sampling.logit_bias) == (("\n\n", "#"), {5: -100.0})
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.top_k) == (1, 0.5, 3)
    assert sampling.logprobs is None


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": [1, [2]]}, "prompt[1]"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"prompt": [True]}, "prompt[0]"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 21}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"echo": True, "suffix": "b"}, "echo"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": []}, "messages"),
        ({"max_completion_tokens": 1}, "max_completion_tokens"),
    ],
)
async def test_a_body_at_fault_is_refused_by_field(tmp_path: Path, more: dict[str, Any], param: str) -> None:
    async with open_stage(tmp_path, models=[able()]) as stage:
        body = {"model": "m", "prompt": "a"} | more
        async with stage.http.post(f"{stage.address}/v1/completions", json=body) as response:
            answer = await response.json()

        assert response.status == 400, answer
        assert answer["error"]["param"] == param
        assert stage.facts(RunRequested) == []


@pytest.mark.parametrize(
    ("feature", "more", "param"),
    [
        ("completions", {}, "prompt"),
        ("suffix", {"suffix": "b"}, "suffix"),
        ("logprobs", {"logprobs": 1}, "logprobs"),
        ("logprobs", {"best_of": 2}, "best_of"),
    ],
)
async def test_what_a_model_cannot_do_is_refused_by_name(
    tmp_path: Path, feature: Feature, more: dict[str, Any], param: str
) -> None:
    unable = known_model("m", features=EVERYTHING - {feature})
    async with open_stage(tmp_path, models=[unable]) as stage, stage.openai() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.completions.create(model="m", prompt="a", extra_body=more)

    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")


async def test_an_empty_suffix_is_none(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[able()]) as stage, stage.openai() as client:
        stage.models.states[ModelId("m")] = known_model("m", features=frozenset({"completions"}))
        await client.completions.create(model="m", prompt="a", suffix="")

    assert stage.pool.chats[0].prompt == RawPrompt(text="a")


async def test_one_run_stands_for_the_request_in_its_id_and_header(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[able()]) as stage:
        stage.pool.play(saying("x"))
        body = {"model": "m", "prompt": ["a", "b", "c"]}
        async with stage.http.post(f"{stage.address}/v1/completions", json=body) as response:
            answer = await response.json()

        assert answer["id"] == f"cmpl-{response.headers['x-lar-run-id'].removeprefix('run_')}"
