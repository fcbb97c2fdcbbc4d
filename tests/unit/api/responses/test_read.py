"""Responses that exist: shown, listed, stopped, forgotten; and what they were asked."""

from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from runtime.core.agents.ports import NewRun
from tests.kit.http_stage import open_stage
from tests.kit.response_stage import ResponseStage, answering, begun, response_stage, said


async def _get(stage: ResponseStage, path: str) -> tuple[int, Any]:
    async with stage.http.http.get(f"{stage.url}{path}") as answer:
        return answer.status, await answer.json()


async def test_a_response_in_progress_shows_what_it_has_so_far(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        response = await stage.client.responses.create(model="m", input="Hi", background=True)
        stage.runs.tell(stage.runs.last, *begun(), *said("So far."))  # type: ignore[arg-type]  # no end in them
        found = await stage.client.responses.retrieve(response.id)

    assert (found.status, found.output_text) == ("in_progress", "So far.")


@pytest.mark.parametrize(
    "path", ["/resp_none", "/nonsense", "/resp_none/input_items", "/resp_none?stream=true"]
)
async def test_an_unknown_response_is_not_found(tmp_path: Path, path: str) -> None:
    async with response_stage(tmp_path) as stage:
        status, body = await _get(stage, path)

    assert status == 404
    assert body["error"]["type"] == "invalid_request_error"
    assert "not found" in body["error"]["message"]


async def test_a_response_that_was_deleted_is_gone(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        response = await stage.client.responses.create(model="m", input="Hi")
        async with stage.http.http.delete(f"{stage.url}/{response.id}") as answer:
            assert await answer.json() == {"id": response.id, "object": "response", "deleted": True}
        with pytest.raises(openai.NotFoundError):
            await stage.client.responses.delete(response.id)
        with pytest.raises(openai.NotFoundError):
            await stage.client.responses.retrieve(response.id)


async def test_a_response_that_is_deleted_while_it_is_made_is_stopped(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        response = await stage.client.responses.create(model="m", input="Hi", background=True)
        await stage.client.responses.delete(response.id)

    ended = stage.runs.last.ended
    assert ended is not None
    assert ended.status == "cancelled"


async def test_a_response_in_the_background_is_cancelled_once_and_stays_so(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        response = await stage.client.responses.create(model="m", input="Hi", background=True)
        first = await stage.client.responses.cancel(response.id)
        second = await stage.client.responses.cancel(response.id)

    assert first.status == second.status == "cancelled"


@pytest.mark.parametrize("is_background", [False, True])
async def test_what_is_synchronous_or_over_cannot_be_cancelled(tmp_path: Path, is_background: bool) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        response = await stage.client.responses.create(model="m", input="Hi", background=is_background)
        with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
            await stage.client.responses.cancel(response.id)
        with pytest.raises(openai.NotFoundError):
            await stage.client.responses.cancel("resp_none")


async def test_input_items_come_in_pages_the_newest_first(tmp_path: Path) -> None:
    items: Any = [{"role": "user", "content": f"{number}"} for number in range(5)]
    async with response_stage(tmp_path, answering()) as stage:
        response = await stage.client.responses.create(model="m", input=items)
        listed = [
            each.to_dict()["content"][0]["text"]  # type: ignore[index]  # messages have content
            async for each in stage.client.responses.input_items.list(response.id, limit=2)
        ]
        upwards = await stage.client.responses.input_items.list(response.id, order="asc", limit=3)
        _, page = await _get(
            stage, f"/{response.id}/input_items?limit=2&after={upwards.data[2].to_dict()['id']}"
        )
        status, body = await _get(stage, f"/{response.id}/input_items?after=msg_none")

    assert listed == ["4", "3", "2", "1", "0"]
    assert [each["content"][0]["text"] for each in page["data"]] == ["1", "0"]
    assert page["has_more"] is False
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][1]["id"])
    assert upwards.has_more
    assert (status, body["error"]["param"]) == (400, "after")


async def test_stored_responses_are_listed_and_runs_of_other_doors_are_not(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        made = [(await stage.client.responses.create(model="m", input=f"{each}")).id for each in range(3)]
        fake = stage.runs.last
        (await stage.runs.start(_with_trigger(fake.new, "cron"))).aclose()
        _, page = await _get(stage, "?limit=2")
        _, rest = await _get(stage, f"?limit=2&after={page['last_id']}")
        _, upwards = await _get(stage, "?order=asc&model=m")

    assert [each["id"] for each in page["data"]] == [made[2], made[1]]
    assert page["has_more"] is True
    assert [each["id"] for each in rest["data"]] == [made[0]]
    assert rest["has_more"] is False
    assert [each["id"] for each in upwards["data"]] == made


def _with_trigger(new: NewRun, trigger: str) -> NewRun:
    return msgspec.structs.replace(new, trigger=trigger)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?starting_after=3", "starting_after"),
        ("?stream=true&starting_after=x", "starting_after"),
        ("?include=nonsense", "include"),
        ("?nonsense=1", "nonsense"),
    ],
)
async def test_a_wrong_query_is_refused(tmp_path: Path, query: str, param: str) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        response = await stage.client.responses.create(model="m", input="Hi")
        status, body = await _get(stage, f"/{response.id}{query}")

    assert (status, body["error"]["param"]) == (400, param)


async def test_a_server_without_agents_says_so(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        url = f"{stage.address}/v1/responses"
        async with stage.http.post(url, json={"model": "m", "input": "Hi"}) as answer:
            assert answer.status == 503
            assert (await answer.json())["error"]["code"] == "agents_off"
