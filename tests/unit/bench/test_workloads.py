"""The workloads: what is asked, how an intrusion and objects are judged, each load against a small server."""

import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import jsonschema
import pytest

from bench.inference.figures import Outcome, figure
from bench.inference.loadgen import Answer, Client
from bench.inference.prompts import SCHEMAS, make_chat, make_format, make_words
from bench.inference.sizes import SMOKE
from bench.inference.workloads import (
    judge_intrusion,
    judge_objects,
    run_agents,
    run_decode,
    run_intrusion,
    run_objects,
    run_shared,
    run_unique,
)


class FakeClient(Client):
    """Answers at once, a tick of time for each piece, and keeps what it was asked."""

    def __init__(self, text: str = "word", error: str | None = None) -> None:
        self.asked: list[list[dict[str, str]]] = []
        self._text = text
        self._error = error
        self._ticks = itertools.count()

    async def ask(
        self,
        messages: Any,
        max_tokens: int,
        *,
        listen: Callable[[Answer], None] | None = None,
        **more: Any,
    ) -> Answer:
        self.asked.append([dict(each) for each in messages])
        answer = Answer(sent_at=float(next(self._ticks)), error=self._error)
        if self._error is not None:
            return answer

        for _ in range(max_tokens):
            answer.arrivals.append(float(next(self._ticks)))
            await anyio.lowlevel.checkpoint()
            if listen is not None:
                listen(answer)
        answer.text = self._text
        answer.completion_tokens = max_tokens
        answer.close(float(next(self._ticks)))
        return answer


def stream(sent_at: float, *arrivals: float) -> Answer:
    answer = Answer(sent_at=sent_at, arrivals=list(arrivals))
    answer.completion_tokens = len(arrivals)
    answer.close(arrivals[-1] if arrivals else sent_at)
    return answer


def test_the_same_seed_makes_the_same_words_and_another_one_others() -> None:
    assert make_words("seed", 50) == make_words("seed", 50)
    assert make_words("seed", 50) != make_words("other", 50)
    assert len(make_words("seed", 50).split()) == 50


def test_two_chats_share_their_prefix_and_part_at_the_first_word_after_it() -> None:
    first, second = make_chat("shared", "a", 5), make_chat("shared", "b", 5)

    assert first[0] == second[0]
    assert first[1]["content"].split()[0] != second[1]["content"].split()[0]


@pytest.mark.parametrize(("question", "schema"), SCHEMAS)
def test_every_schema_is_one_and_bounded(question: str, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    strings = [each for each in json.dumps(schema).split('"type": ') if each.startswith('"string"')]

    assert question
    assert all("maxLength" in each for each in strings)
    assert make_format(schema)["json_schema"]["schema"] == schema


async def test_a_cold_prefix_is_shared_by_all_and_warm_asks_anew_over_the_same() -> None:
    client = FakeClient()
    found = await run_shared(client, SMOKE, "seed")

    prefixes = Counter(chat[0]["content"] for chat in client.asked)
    assert list(prefixes.values()) == [2 * SMOKE.at_once]
    assert len({chat[1]["content"] for chat in client.asked}) == 2 * SMOKE.at_once
    assert "shared_cold.wall_s" in found
    assert "shared_warm.wall_s" in found


async def test_another_seed_makes_the_prefix_cold_again() -> None:
    first, second = FakeClient(), FakeClient()
    await run_shared(first, SMOKE, "one")
    await run_shared(second, SMOKE, "two")

    assert first.asked[0][0] != second.asked[0][0]


async def test_unique_prompts_share_nothing() -> None:
    client = FakeClient()
    await run_unique(client, SMOKE, "seed")

    assert len({chat[0]["content"] for chat in client.asked}) == SMOKE.at_once


async def test_agents_grow_their_history_by_the_answers_that_they_got() -> None:
    client = FakeClient(text="an answer")
    found = await run_agents(client, SMOKE, "seed")

    ((agents, turns),) = SMOKE.crews
    assert Counter(len(chat) for chat in client.asked) == {2 + 2 * turn: agents for turn in range(turns)}
    assert [each["content"] for each in client.asked[-1] if each["role"] == "assistant"] == ["an answer"]
    assert f"agents_{agents}x{turns}.wall_s" in found


async def test_an_agent_whose_answer_failed_takes_no_further_turn() -> None:
    client = FakeClient(error="HTTP 500")
    found = await run_agents(client, SMOKE, "seed")

    ((agents, turns),) = SMOKE.crews
    assert len(client.asked) == agents
    assert found == {f"agents_{agents}x{turns}.failed": float(agents)}


async def test_decode_is_measured_with_one_stream_and_with_several() -> None:
    client = FakeClient()
    found = await run_decode(client, SMOKE, "seed")

    assert len(client.asked) == 1 + SMOKE.at_once
    assert {key.partition(".")[0] for key in found} == {"decode_one", "decode_many"}


async def test_the_intruder_comes_once_the_stream_runs() -> None:
    client = FakeClient()
    found = await run_intrusion(client, SMOKE, "seed")

    assert [len(chat) for chat in client.asked] == [1, 2]
    assert found["intrusion.beside"] == 1.0
    assert found["intrusion.gap_max_s"] > 0


@pytest.mark.parametrize("load", [run_intrusion, run_shared, run_unique, run_decode])
async def test_a_server_that_fails_ends_each_load_with_failures_alone(
    load: Callable[[Client, Any, str], Awaitable[dict[str, float]]],
) -> None:
    with anyio.fail_after(5):
        found = await load(FakeClient(error="HTTP 500"), SMOKE, "seed")

    assert found
    assert all(key.endswith(".failed") for key in found)


def test_only_silence_after_the_intruder_came_is_counted() -> None:
    found = judge_intrusion(stream(0, 1, 5, 6, 8, 9), stream(5.5, 7))

    assert found == {"intrusion.gap_max_s": 2, "intrusion.first_s": 1.5, "intrusion.beside": 1.0}


def test_a_newcomer_that_waits_until_the_stream_is_over_was_not_served_beside_it() -> None:
    assert judge_intrusion(stream(0, 1, 2, 3), stream(1.5, 4))["intrusion.beside"] == 0.0


def test_a_stream_that_was_over_before_the_intruder_came_measures_nothing() -> None:
    assert judge_intrusion(stream(0, 1, 2), stream(3, 4)) == {"intrusion.failed": 1.0}


def test_invalid_and_cut_objects_cost_time_but_do_not_count() -> None:
    schema = SCHEMAS[6][1]
    answers = []
    for text in ('{"answer": true, "because": "so"}', '{"answer": 1, "because": "so"}', '{"answer": tr'):
        answer = stream(0, 1)
        answer.text = text
        answers.append((answer, schema))

    assert judge_objects(6.0, answers) == {
        "objects.each_s": 6.0,
        "objects.valid": 1.0,
        "objects.invalid": 2.0,
        "objects.generated": 3.0,
    }


async def test_without_a_valid_object_there_is_no_time_per_object() -> None:
    found = await run_objects(FakeClient(text="no JSON"), SMOKE, "seed")

    assert "objects.each_s" not in found
    assert found["objects.invalid"] == SMOKE.objects


def test_a_workload_without_gaps_tells_none() -> None:
    assert "load.gap_p50_s" not in figure("load", Outcome(1.0, [stream(0, 1)]))
