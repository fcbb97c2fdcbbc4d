"""Batches through the official client, unmodified, over a real port; and what a restart finds."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec
import openai
import pytest
from openai.types import Batch
from pydantic import BaseModel

from runtime.api.errors import Refusal
from runtime.api.openai.batch_lines import LineAnswer, Patience
from runtime.api.openai.batch_words import (
    KIND,
    LINE_KIND,
    WINDOW_S,
    BatchState,
    LineRow,
    line_key,
)
from runtime.api.openai.record_upkeep import KEPT_S
from runtime.core.agents.happenings import AnyHappening
from runtime.core.agents.steps import RunEnded
from runtime.core.ids import LOCAL_TENANT, TenantId
from runtime.core.messages import Delta, Ended, Usage, Vectors
from tests.kit.fake_models import ALL_FEATURES, known_model
from tests.kit.fake_pool import Hold, Step, saying
from tests.kit.response_stage import answering, said
from tests.kit.services_stage import ServicesStage, services_stage

CHAT: Any = "/v1/chat/completions"
ASKED = {"model": "m", "input": "Hi"}


def told(text: str) -> list[AnyHappening]:
    return [each for each in said(text) if not isinstance(each, RunEnded)]


def line(custom_id: str, url: str = CHAT, **body: Any) -> dict[str, Any]:
    asked = {"model": "m", "messages": [{"role": "user", "content": custom_id}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}


def check_fields(thing: BaseModel) -> None:
    """Check that every field which the client's type demands is there, and of its type."""
    type(thing).model_validate(thing.model_dump(), strict=True)


async def make(stage: ServicesStage, *lines: Any, endpoint: Any = CHAT, **more: Any) -> Batch:
    file = await stage.give_file(*lines)
    return await stage.client.batches.create(
        input_file_id=file, endpoint=endpoint, completion_window="24h", **more
    )


async def until_over(stage: ServicesStage, batch: str) -> Batch:
    """Wait for the end of a batch, and for its end to be told."""
    while True:
        found = await stage.client.batches.retrieve(batch)
        stored = await stage.responses.home.records.get(LOCAL_TENANT, KIND, batch)
        if msgspec.json.decode(stored or b"", type=BatchState).is_settled:
            return found
        await anyio.wait_all_tasks_blocked()


async def test_a_batch_is_carried_out_and_its_answers_are_in_a_file(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        stage.http.pool.play(
            [Delta(text="Hello"), Ended(reason="stop", usage=Usage(prompt_tokens=5, completion_tokens=2))]
        )
        made = await make(stage, line("a"), line("b"), line("c", messages="wrong"), metadata={"k": "v"})
        check_fields(made)
        assert (made.status, made.metadata, made.endpoint) == ("validating", {"k": "v"}, CHAT)

        over = await until_over(stage, made.id)
        check_fields(over)
        assert over.status == "completed"
        assert over.request_counts is not None
        assert (over.request_counts.total, over.request_counts.completed) == (3, 2)
        assert over.request_counts.failed == 1
        assert over.model == "m"
        assert over.usage is not None
        assert (over.usage.input_tokens, over.usage.output_tokens, over.usage.total_tokens) == (10, 4, 14)

        answers = await stage.lines_of(over.output_file_id)
        assert [each["custom_id"] for each in answers] == ["a", "b"]
        assert all(each["error"] is None for each in answers)
        assert {each["response"]["status_code"] for each in answers} == {200}
        first = answers[0]["response"]["body"]
        assert first["choices"][0]["message"]["content"] == "Hello"
        refused = await stage.lines_of(over.error_file_id)
        assert [each["custom_id"] for each in refused] == ["c"]
        assert refused[0]["response"]["status_code"] == 400
        assert refused[0]["response"]["body"]["error"]["param"].startswith("messages")
        file = await stage.client.files.retrieve(over.output_file_id or "")
        assert file.purpose == "batch_output"
        assert {each.priority for each in stage.http.pool.chats} == {"batch"}


@pytest.mark.parametrize(
    ("endpoint", "body", "kind"),
    [
        ("/v1/responses", {"model": "m", "input": "Hi"}, "response"),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
            "chat.completion",
        ),
        ("/v1/completions", {"model": "m", "prompt": "Hi"}, "text_completion"),
        ("/v1/embeddings", {"model": "m", "input": ["Hi"]}, "list"),
    ],
)
async def test_every_endpoint_is_served_by_its_own_route(
    tmp_path: Path, endpoint: str, body: dict[str, Any], kind: str
) -> None:
    model = known_model("m", features=ALL_FEATURES | {"completions", "embeddings"})
    vectors: list[Step] = [
        Vectors(start=0, vectors=(struct.pack("<2f", 1, 0),)),
        Ended(reason="stop", usage=Usage()),
    ]
    async with services_stage(tmp_path, answering(), models=[model]) as stage:
        stage.http.pool.play(vectors if "embeddings" in endpoint else saying("Hello"))
        asked = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
        over = await until_over(stage, (await make(stage, asked, endpoint=endpoint)).id)
        assert await stage.lines_of(over.error_file_id) == []
        (answer,) = await stage.lines_of(over.output_file_id)
        assert answer["response"]["body"]["object"] == kind
        if endpoint == "/v1/responses":
            assert stage.responses.runs.last.new.plan.priority == "batch"
        else:
            assert [each.priority for each in stage.http.pool.requests] == ["batch"]


async def test_a_wrong_file_fails_with_the_numbers_of_its_lines(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        nameless = {key: value for key, value in line("x").items() if key != "custom_id"}
        made = await make(
            stage,
            line("a"),
            b"{not json",
            line("a"),
            b"",
            nameless,
            line("b", url="/v1/embeddings"),
            line("c", stream=True),
            {**line("d"), "method": "GET"},
        )
        over = await until_over(stage, made.id)
        check_fields(over)
        assert (over.status, over.output_file_id) == ("failed", None)
        assert over.errors is not None
        assert [(each.code, each.line, each.param) for each in over.errors.data or []] == [
            ("invalid_json_line", 2, None),
            ("duplicate_custom_id", 3, "custom_id"),
            ("missing_required_parameter", 5, "custom_id"),
            ("mismatched_url", 6, "url"),
            ("invalid_request", 7, "body.stream"),
            ("invalid_method", 8, "method"),
        ]
        assert stage.http.pool.requests == []

        empty = await until_over(stage, (await make(stage, b"\n")).id)
        assert [each.code for each in (empty.errors and empty.errors.data) or []] == ["empty_file"]


async def test_what_can_never_be_a_batch_is_refused_at_once(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        with pytest.raises(openai.NotFoundError) as gone:
            await stage.client.batches.create(
                input_file_id="file-none", endpoint=CHAT, completion_window="24h"
            )
        assert gone.value.param == "input_file_id"
        other = await stage.give_file(line("a"), purpose="user_data")
        with pytest.raises(openai.BadRequestError) as purpose:
            await stage.client.batches.create(input_file_id=other, endpoint=CHAT, completion_window="24h")
        assert purpose.value.param == "input_file_id"
        with pytest.raises(openai.BadRequestError) as endpoint:
            await make(stage, line("a"), endpoint="/v1/videos")
        assert endpoint.value.param == "endpoint"
        with pytest.raises(openai.NotFoundError, match="batch_none"):
            await stage.client.batches.retrieve("batch_none")


async def test_batches_are_listed_newest_first(tmp_path: Path) -> None:
    async with services_stage(tmp_path, is_working=False) as stage:
        made = [(await make(stage, line("a"))).id for _ in range(3)]
        assert [each.id async for each in stage.client.batches.list(limit=2)] == made[::-1]


def stuck_or_quick(hold: Hold) -> Any:
    """Return a script in which requests that say `stuck` wait for the hold."""

    def play(request: Any, index: int) -> Sequence[Any]:
        return [hold, *saying("late")] if "stuck" in repr(request) else saying("Hello")

    return play


async def until_completed(stage: ServicesStage, batch: str, count: int) -> None:
    """Wait until so many lines are done."""
    while True:
        counts = (await stage.client.batches.retrieve(batch)).request_counts
        if counts is not None and counts.completed >= count:
            return
        await anyio.wait_all_tasks_blocked()


async def test_a_cancelled_batch_keeps_what_it_has_and_names_the_rest(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        stage.http.pool.play(stuck_or_quick(Hold()))
        made = await make(stage, line("quick"), line("stuck"))
        await until_completed(stage, made.id, 1)
        cancelling = await stage.client.batches.cancel(made.id)
        assert cancelling.status == "cancelling"

        over = await until_over(stage, made.id)
        check_fields(over)
        assert over.status == "cancelled"
        assert [each["custom_id"] for each in await stage.lines_of(over.output_file_id)] == ["quick"]
        (unmade,) = await stage.lines_of(over.error_file_id)
        assert (unmade["custom_id"], unmade["response"]) == ("stuck", None)
        assert unmade["error"]["code"] == "batch_cancelled"
        with pytest.raises(openai.ConflictError, match="cancelled"):
            await stage.client.batches.cancel(made.id)


async def test_a_batch_expires_and_names_what_was_not_made(tmp_path: Path) -> None:
    async with services_stage(tmp_path, is_working=False) as stage:
        made = await make(stage, line("a"), line("b"))
        stage.clock.advance(WINDOW_S + 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.services.batches.run_forever)
            over = await until_over(stage, made.id)
            tasks.cancel_scope.cancel()
        assert over.status == "expired"
        unmade = await stage.lines_of(over.error_file_id)
        assert [each["error"]["code"] for each in unmade] == ["batch_expired"] * 2
        assert stage.http.pool.requests == []
        assert over.request_counts is not None
        assert (over.request_counts.failed, over.request_counts.total) == (2, 2)


async def test_after_a_restart_no_line_is_made_twice(tmp_path: Path) -> None:
    hold = Hold()
    async with services_stage(tmp_path, is_working=False) as stage:
        stage.http.pool.play(stuck_or_quick(hold))
        made = await make(stage, line("quick"), line("stuck"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.services.batches.run_forever)
            await until_completed(stage, made.id, 1)
            await hold.is_reached.wait()
            tasks.cancel_scope.cancel()

        stage.http.pool.play(saying("again"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.services.batches.run_forever)
            over = await until_over(stage, made.id)
            tasks.cancel_scope.cancel()
        assert over.status == "completed"
        asked = [repr(each) for each in stage.http.pool.requests]
        assert sum("quick" in each for each in asked) == 1
        answers = await stage.lines_of(over.output_file_id)
        told = {e["custom_id"]: e["response"]["body"]["choices"][0]["message"]["content"] for e in answers}
        assert told == {"quick": "Hello", "stuck": "again"}


@pytest.mark.parametrize("is_noted", [True, False])
async def test_after_a_restart_a_response_that_was_begun_is_waited_for(
    tmp_path: Path, is_noted: bool
) -> None:
    asked = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/responses",
        "body": {"model": "m", "input": "Hi"},
    }
    async with services_stage(tmp_path, is_working=False) as stage:
        runs = stage.responses.runs
        made = await make(stage, asked, endpoint="/v1/responses")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.services.batches.run_forever)
            await runs.started.wait()
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert runs.last.ended is None
        assert runs.last.new.is_background

        records = stage.responses.home.records
        if not is_noted:  # the kill came between the run's start and the note of it
            assert await records.remove(LOCAL_TENANT, LINE_KIND, line_key(made.id, 1))

        runs.tell(runs.last, *told("There you are"))
        runs.end(runs.last)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.services.batches.run_forever)
            over = await until_over(stage, made.id)
            tasks.cancel_scope.cancel()
        assert len(runs.runs) == 1
        (answer,) = await stage.lines_of(over.output_file_id)
        body = answer["response"]["body"]
        assert (body["background"], body["status"]) == (False, "completed")
        assert body["output"][0]["content"][0]["text"] == "There you are"


async def test_a_cancelled_batch_stops_the_responses_that_it_has_begun(tmp_path: Path) -> None:
    asked = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/responses",
        "body": {"model": "m", "input": "Hi"},
    }
    async with services_stage(tmp_path) as stage:
        runs = stage.responses.runs
        made = await make(stage, asked, endpoint="/v1/responses")
        await runs.started.wait()
        await anyio.wait_all_tasks_blocked()
        await stage.client.batches.cancel(made.id)
        over = await until_over(stage, made.id)
        assert over.status == "cancelled"
        assert runs.last.ended is not None
        assert runs.last.ended.status == "cancelled"


async def test_what_lines_came_to_is_removed_once_the_files_are_there(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        made = await make(stage, line("a"))
        await until_over(stage, made.id)
        assert await stage.responses.home.records.list_records(None, LINE_KIND) == []
        stage.clock.advance(KEPT_S + 1)
        assert await stage.services.upkeep.forget_old() == 1
        assert [each async for each in stage.client.batches.list()] == []


async def test_batches_of_other_tenants_do_not_exist(tmp_path: Path) -> None:
    async with services_stage(tmp_path, is_working=False) as stage:
        made = await make(stage, line("a"))
        keys = stage.http.keys
        secret = await anyio.to_thread.run_sync(keys.create, "ada", "user", TenantId("ada"))
        async with stage.http.openai(secret) as other:
            with pytest.raises(openai.NotFoundError):
                await other.batches.retrieve(made.id)
            assert [each async for each in other.batches.list()] == []


def refused(code: str, *, should_retry: bool, after_s: float | None = None) -> LineAnswer:
    refusal = Refusal(
        status=503,
        type="server_error",
        code=code,
        message="",
        should_retry=should_retry,
        retry_after_s=after_s,
    )
    return LineAnswer(503, "req", b"{}", refusal)


def test_a_line_waits_longer_and_longer_for_what_passes() -> None:
    patience = Patience()
    waits = [patience.wait_s(refused("queue_full", should_retry=True)) for _ in range(9)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert Patience().wait_s(refused("queue_full", should_retry=True, after_s=7.0)) == 7.0
    assert Patience().wait_s(refused("model_broken", should_retry=False)) is None
    assert Patience().wait_s(LineAnswer(200, "req", b"{}")) is None


def test_a_line_that_ends_its_worker_again_and_again_is_given_up() -> None:
    patience = Patience()
    dies = refused("worker_died", should_retry=True)
    assert [patience.wait_s(dies) is None for _ in range(3)] == [False, False, True]


def test_the_lines_of_a_batch_sort_by_their_numbers() -> None:
    keys = [line_key("batch_1", number) for number in (1, 2, 10, 100, 50_000)]
    assert keys == sorted(keys)
    assert msgspec.json.decode(msgspec.json.encode(LineRow(is_over=True)), type=LineRow).is_over
