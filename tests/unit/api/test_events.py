"""The event stream: no gap and no repetition between journal, memory and present."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api.events import PAGE, History, Wish
from runtime.core.bus import Bus
from runtime.core.events import Envelope, Event, ModelEvicted, RunQueued
from runtime.core.ids import ModelId, RunId
from tests.kit.clock import FakeClock
from tests.kit.fake_models import FakeJournal
from tests.kit.http_stage import Stage, open_stage

EVICTED = ModelEvicted(model=ModelId("m"), reason="idle")


def stored(*seqs: int, event: Event = EVICTED, run: str | None = None) -> list[Envelope]:
    return [Envelope(seq=each, at=0.0, event=event, run_id=RunId(run) if run else None) for each in seqs]


class Reader:
    """Reads one event stream."""

    def __init__(self, response: Any) -> None:
        self.response = response

    async def next_block(self) -> dict[str, str]:
        lines = {}
        with anyio.fail_after(5):
            while (line := (await self.response.content.readline()).decode()) not in ("\n", ""):
                name, _, value = line.rstrip("\n").partition(": ")
                lines[name] = value
        return lines

    async def take(self, count: int) -> list[int]:
        return [int((await self.next_block())["id"]) for _ in range(count)]

    async def rest(self) -> list[int]:
        seqs = []
        while block := await self.next_block():
            seqs.append(int(block["id"]))
        return seqs


@asynccontextmanager
async def reading(stage: Stage, query: str = "", **headers: str) -> AsyncIterator[Reader]:
    async with stage.http.get(f"{stage.address}/api/events{query}", headers=headers) as response:
        assert response.status == 200
        yield Reader(response)


async def test_an_event_tells_seq_kind_and_fact(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, reading(stage) as reader:
        assert reader.response.headers["Cache-Control"].startswith("no-cache")
        sent = stage.bus.publish(EVICTED)
        block = await reader.next_block()

    assert (block["id"], block["event"]) == (str(sent.seq), "model.evicted")
    assert msgspec.json.decode(block["data"], type=Envelope) == sent


async def test_journal_memory_and_present_join_without_gap_or_repetition(tmp_path: Path) -> None:
    journal = FakeJournal(*stored(*range(1, 1201)))
    async with open_stage(tmp_path, journal=journal, last_seq=1205) as stage:
        for _ in range(3):
            stage.bus.publish(EVICTED)
        journal.stored += stored(1206, 1207)  # the journal keeps what memory has, too
        async with reading(stage, "?after=10") as reader:
            past = await reader.take(1190 + 3)
            stage.bus.publish(EVICTED)
            present = await reader.take(1)

    assert past == [*range(11, 1201), 1206, 1207, 1208]
    assert present == [1209]
    assert all(each.limit == PAGE for each in journal.queries)


async def test_without_a_start_only_the_present_is_told(tmp_path: Path) -> None:
    async with open_stage(tmp_path, journal=FakeJournal(*stored(1, 2)), last_seq=2) as stage:
        stage.bus.publish(EVICTED)
        async with reading(stage) as reader:
            stage.bus.publish(EVICTED)
            assert await reader.take(1) == [4]
        assert stage.journal.queries == []


async def test_a_reader_may_begin_a_number_of_facts_back_whatever_the_holes(tmp_path: Path) -> None:
    journal = FakeJournal(*stored(1, 2, 9000, 9001))
    async with open_stage(tmp_path, journal=journal, last_seq=20_000) as stage:
        stage.bus.publish(EVICTED)
        async with reading(stage, "?last=3") as reader:
            assert await reader.take(4) == [2, 9000, 9001, 20_001]


async def test_a_start_beyond_the_present_is_the_present(tmp_path: Path) -> None:
    async with open_stage(tmp_path, last_seq=5) as stage, reading(stage, "?after=999999") as reader:
        stage.bus.publish(EVICTED)
        assert await reader.take(1) == [6]


async def test_a_browser_that_reconnects_goes_on_where_it_was(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        for _ in range(4):
            stage.bus.publish(EVICTED)
        async with reading(stage, "?after=0", **{"Last-Event-ID": "3"}) as reader:
            assert await reader.take(1) == [4]


async def test_what_is_stored_can_be_read_without_waiting(tmp_path: Path) -> None:
    async with open_stage(tmp_path, journal=FakeJournal(*stored(1, 2)), last_seq=2) as stage:
        stage.bus.publish(EVICTED)
        async with reading(stage, "?follow=false") as reader:
            assert await reader.rest() == [1, 2, 3]


async def test_only_the_wished_kinds_and_runs_are_told(tmp_path: Path) -> None:
    queued = RunQueued(position=1)
    journal = FakeJournal(
        *stored(1), *stored(2, event=queued, run="run_a"), *stored(3, event=queued, run="run_b")
    )
    async with open_stage(tmp_path, journal=journal, last_seq=3) as stage:
        stage.bus.publish(EVICTED)
        stage.bus.publish(queued, run_id=RunId("run_a"))
        stage.bus.publish(queued, run_id=RunId("run_b"))
        expected = {
            "kinds=run.*": [2, 3, 5, 6],
            "kinds=run.queued": [2, 3, 5, 6],
            "kinds=run.queued,model.evicted": [1, 2, 3, 4, 5, 6],
            "kinds=model.*&kinds=run.failed": [1, 4],
            "run_id=run_a": [2, 5],
            "kinds=model.*&run_id=run_a": [],
        }
        for query, seqs in expected.items():
            async with reading(stage, f"?follow=false&{query}") as reader:
                assert await reader.rest() == seqs, query


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("after=x", "after"),
        ("last=x", "last"),
        ("last=999999", "last"),
        ("after=-1", "after"),
        ("after=99999999999999999999", "after"),
        ("kinds=run.started,run.stopped", "kinds"),
        ("kinds=run*", "kinds"),
        ("follow=maybe", "follow"),
        ("afer=1", "afer"),
    ],
)
async def test_a_bad_query_is_named(tmp_path: Path, query: str, param: str) -> None:
    async with (
        open_stage(tmp_path) as stage,
        stage.http.get(f"{stage.address}/api/events?{query}") as response,
    ):
        assert response.status == 400
        assert (await response.json())["error"]["param"] == param


async def test_silence_is_filled_with_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.api.sse.KEEP_ALIVE_S", 0.01)
    async with open_stage(tmp_path) as stage, reading(stage) as reader:
        assert await reader.next_block() == {"": "keep-alive"}
        stage.bus.publish(EVICTED)
        with anyio.fail_after(5):
            while "id" not in (block := await reader.next_block()):
                assert block == {"": "keep-alive"}
    assert block["id"] == "1"


async def test_a_stream_that_breaks_does_not_look_complete(tmp_path: Path) -> None:
    async with open_stage(tmp_path, last_seq=5) as stage:
        stage.journal.problem = OSError("disk gone")
        async with reading(stage, "?after=0&follow=false") as reader:
            with pytest.raises(aiohttp.ClientError):
                await reader.rest()


async def test_a_reader_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        async with reading(stage):
            assert len(stage.bus._subscriptions) == 1
        with anyio.fail_after(5):
            while stage.bus._subscriptions:
                await anyio.lowlevel.checkpoint()


async def test_a_stop_ends_open_streams_after_what_they_hold(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, reading(stage) as reader:
        stage.bus.publish(EVICTED)
        with anyio.fail_after(5):
            await stage.server.aclose(60.0)
        assert await reader.rest() == [1]


@pytest.mark.parametrize("missing", [{3, 5, 6, 8}, {3, 4, 5, 6, 8}])
async def test_a_journal_without_every_fact_does_not_hide_what_memory_has(
    monkeypatch: pytest.MonkeyPatch, missing: set[int]
) -> None:
    monkeypatch.setattr("runtime.api.events.PAGE", 2)
    bus, told = SmallMemory(6), list[int]()
    journal = FakeJournal(*[bus.publish(EVICTED) for _ in range(10)])
    journal.stored = [each for each in journal.stored if each.seq not in missing]

    async def send(envelope: Envelope) -> None:
        told.append(envelope.seq)

    wish = Wish(after=0, kinds=frozenset(), run_id=None, follow=False)
    with anyio.fail_after(5):
        await History(bus, journal, wish, 0).catch_up(send)

    assert told == [*(each.seq for each in journal.stored if each.seq < 5), 5, 6, 7, 8, 9, 10]


class SmallMemory(Bus):
    """A bus that remembers few facts, so that laws meet the seam between memory and journal often."""

    def __init__(self, remembered: int) -> None:
        super().__init__(FakeClock())
        self._recent = type(self._recent)(maxlen=remembered)


@given(
    before=st.integers(0, 12),
    remembered=st.integers(1, 5),
    capacity=st.integers(1, 4),
    after=st.integers(0, 14),
    bursts=st.lists(st.integers(1, 6), max_size=5),
)
def test_every_fact_is_told_once_and_in_order_however_slow_the_reader(
    before: int, remembered: int, capacity: int, after: int, bursts: list[int]
) -> None:
    async def run() -> tuple[list[int], int]:
        bus, journal, told = SmallMemory(remembered), FakeJournal(), list[int]()

        def publish(count: int) -> None:
            journal.stored += [bus.publish(EVICTED) for _ in range(count)]

        publish(before)
        start = min(after, bus.last_seq)
        waiting = list(bursts)

        async def send(envelope: Envelope) -> None:
            told.append(envelope.seq)
            if waiting:
                publish(waiting.pop())  # facts that come while the reader is at work

        wish = Wish(after=after, kinds=frozenset(), run_id=None, follow=True)
        history = History(bus, journal, wish, start)
        with bus.subscribe("reader", capacity) as facts:
            await history.catch_up(send)
            publish(sum(waiting))
            waiting.clear()
            bus.close()
            async for envelope in facts:
                await history.go_on(envelope, send)
        return told, start

    told, start = anyio.run(run)
    assert told == list(range(start + 1, before + sum(bursts) + 1))
