"""When triggers of time are due: nothing starts twice, nothing is lost that is wanted."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.agents.definition import Agent, Trigger
from runtime.core.agents.triggers.due import check_triggers, decide_due, every_s, next_after
from runtime.core.errors import RequestInvalid

LISBON = ZoneInfo("Europe/Lisbon")


def at(*told: int) -> float:
    return datetime(*told, tzinfo=LISBON).timestamp()  # type: ignore[arg-type, misc]  # year, month, day, …


MORNING = Trigger(cron="0 7 * * *", timezone="Europe/Lisbon")


def test_a_cron_trigger_is_due_at_its_time_in_its_zone() -> None:
    last = at(2026, 11, 22, 7)

    early = decide_due(MORNING, last, at(2026, 11, 23, 6, 59))
    due = decide_due(MORNING, last, at(2026, 11, 23, 7, 0, 5))

    assert early.starts == ()
    assert early.following == at(2026, 11, 23, 7)
    assert due.starts == (at(2026, 11, 23, 7),)
    assert due.following == at(2026, 11, 24, 7)


@pytest.mark.parametrize(("missed", "starts"), [("skip", 0), ("once", 1), ("all", 3)])
def test_starts_that_no_server_was_there_for(missed: str, starts: int) -> None:
    trigger = Trigger(cron="0 7 * * *", timezone="Europe/Lisbon", missed=missed)  # type: ignore[arg-type]  # one of them

    due = decide_due(trigger, at(2026, 11, 19, 7), at(2026, 11, 22, 12))

    assert len(due.starts) == starts
    assert due.missed == 3 - starts
    assert due.last == at(2026, 11, 22, 7)


def test_an_hour_that_is_left_out_starts_right_after_and_one_that_comes_twice_starts_once() -> None:
    night = Trigger(cron="30 1 * * *", timezone="Europe/Lisbon", missed="all")

    spring = decide_due(night, at(2026, 3, 28, 12), at(2026, 3, 29, 12))
    autumn = decide_due(night, at(2026, 10, 24, 12), at(2026, 10, 25, 12))

    assert len(spring.starts) == 1
    assert len(autumn.starts) == 1


def test_a_pace_goes_on_from_the_last_start() -> None:
    trigger = Trigger(every="10m")

    assert decide_due(trigger, 1000.0, 1599.0).starts == ()
    assert decide_due(trigger, 1000.0, 1600.0).starts == (1600.0,)
    assert decide_due(trigger, 1000.0, 4000.0).starts == (4000.0,)
    assert next_after(trigger, 1000.0) == 1600.0


@given(
    st.sampled_from(["skip", "once", "all"]),
    st.lists(st.floats(min_value=0, max_value=40_000), min_size=1, max_size=20),
)
def test_however_often_one_looks_each_time_starts_at_most_once(missed: str, waits: list[float]) -> None:
    trigger = Trigger(every="1h", missed=missed)  # type: ignore[arg-type]  # one of them
    last, now = 0.0, 0.0
    starts: list[float] = []
    for wait in waits:
        now += wait
        due = decide_due(trigger, last, now)
        assert due.following > now
        starts += due.starts
        last = due.last

    assert starts == sorted(set(starts))
    assert all(each <= now and each % 3600 == 0 for each in starts)
    if missed == "all":
        assert starts == [3600.0 * number for number in range(1, int(now // 3600) + 1)]


def test_a_quick_pace_does_not_start_several_at_once() -> None:
    assert decide_due(Trigger(every="15s"), 1000.0, 1046.0).starts == (1045.0,)


def test_a_clock_that_is_put_back_starts_nothing_twice() -> None:
    assert decide_due(MORNING, at(2026, 11, 23, 7), at(2026, 11, 23, 6)).starts == ()


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("6h", 21600), ("1.5d", 129600)])
def test_paces_are_read(text: str, seconds: float) -> None:
    assert every_s(text, "every") == seconds


@pytest.mark.parametrize(
    ("trigger", "param"),
    [
        (Trigger(every="often"), "triggers[0].every"),
        (Trigger(every="1s"), "triggers[0].every"),
        (Trigger(cron="0 25 * * *"), "triggers[0].cron"),
        (Trigger(cron="daily"), "triggers[0].cron"),
        (Trigger(cron="0 7 * * *", timezone="Lisbon"), "triggers[0].timezone"),
        (Trigger(cron="0 7 * * *", timezone="../etc/passwd"), "triggers[0].timezone"),
    ],
)
def test_times_that_cannot_be_read_are_named(trigger: Trigger, param: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        check_triggers(Agent(name="x", triggers=(trigger,)))

    assert caught.value.fault.param == param
