"""The bus: order, bounded buffers, and what a slow reader is told."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.bus import RECENT, Bus
from runtime.core.events import BusLagged, Envelope, RunQueued
from tests.kit.clock import FakeClock


def publish(bus: Bus, count: int) -> list[Envelope]:
    return [bus.publish(RunQueued(position=1)) for _ in range(count)]


async def test_every_subscriber_reads_every_fact_in_order(clock: FakeClock) -> None:
    bus = Bus(clock)
    with bus.subscribe("a", 10) as first, bus.subscribe("b", 10) as second:
        facts = publish(bus, 5)
        bus.close()

        assert [each async for each in first] == facts
        assert [each async for each in second] == facts


async def test_a_full_subscriber_loses_the_oldest_and_is_told_which(clock: FakeClock) -> None:
    bus = Bus(clock)
    with bus.subscribe("slow", 3) as slow:
        facts = publish(bus, 5)
        bus.close()
        seen = [each async for each in slow]

    assert seen[0].event == BusLagged(subscriber="slow", first_seq=1, last_seq=2, dropped=2)
    assert seen[1:] == facts[2:]


async def test_numbers_go_on_where_history_ended(clock: FakeClock) -> None:
    assert Bus(clock, last_seq=41).publish(RunQueued(position=1)).seq == 42


async def test_memory_says_from_where_it_is_complete(clock: FakeClock) -> None:
    bus = Bus(clock)
    assert bus.recent(0) == ([], 1)

    publish(bus, RECENT + 10)
    facts, complete_from = bus.recent(RECENT + 8)

    assert [each.seq for each in facts] == [RECENT + 9, RECENT + 10]
    assert complete_from == 11


@given(
    capacity=st.integers(1, 5), bursts=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=12)
)
async def test_what_was_read_and_what_was_told_as_lost_make_the_whole(
    capacity: int, bursts: list[tuple[int, int]]
) -> None:
    bus = Bus(FakeClock())
    accounted: list[int] = []
    with bus.subscribe("s", capacity) as subscription:

        async def read(limit: int) -> None:
            for envelope in await subscription.receive(limit):
                if isinstance(envelope.event, BusLagged):
                    assert envelope.event.dropped == envelope.event.last_seq - envelope.event.first_seq + 1
                    accounted.extend(range(envelope.event.first_seq, envelope.event.last_seq + 1))
                else:
                    accounted.append(envelope.seq)

        for count, limit in bursts:
            publish(bus, count)
            if limit and count:
                await read(limit)
        bus.close()
        while len(accounted) < bus.last_seq:
            await read(100)

    assert accounted == list(range(1, bus.last_seq + 1))
