"""Ids carry the time and sort as they were made, also within a millisecond and over a clock put back."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from runtime.core.minting import new_id


def test_later_ids_sort_later_within_a_millisecond() -> None:
    ids = [new_id("vs_") for _ in range(10_000)]

    assert ids == sorted(set(ids))
    assert {len(each) for each in ids} == {len("vs_") + 27}


def test_no_id_comes_twice_from_threads() -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = [
            each
            for some in threads.map(lambda _: [new_id("x") for _ in range(500)], range(8))
            for each in some
        ]

    assert len(set(ids)) == len(ids)


def test_a_clock_that_is_put_back_makes_no_earlier_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id("x")
    monkeypatch.setattr(time, "time_ns", lambda: 1)

    assert new_id("x") > before
