"""Tests of runtime/egress/answers.py."""

import pytest

from runtime.egress.answers import retry_after

DATE = "Wed, 01 Jan 2025 00:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, DATE, None),
        ("17", None, 17.0),
        (" 0 ", DATE, 0.0),
        ("9" * 400, DATE, 86400.0),
        ("Wed, 01 Jan 2025 00:02:00 GMT", DATE, 120.0),
        ("Tue, 31 Dec 2024 00:00:00 GMT", DATE, 0.0),
        ("Wed, 01 Jan 2025 00:02:00 GMT", None, None),
        ("Wed, 01 Jan 2025 00:02:00 GMT", "nonsense", None),
        ("soon", DATE, None),
        ("-5", DATE, None),
        ("\u0661", DATE, None),
        ("Wed, 01 Jan 2025 00:02:00 -0000", DATE, None),
        ("", DATE, None),
    ],
)
def test_the_time_to_wait_is_read_in_both_its_forms(
    value: str | None, date: str | None, seconds: float | None
) -> None:
    assert retry_after(value, date) == seconds
