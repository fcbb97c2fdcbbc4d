"""Rows that were read lately: kept until the next commit, as many as there is room for."""

from runtime.recall.recent import Recent


def test_what_was_kept_is_found_until_the_next_commit() -> None:
    recent: Recent[str, int] = Recent(10)
    recent.at(1)
    recent.keep({"one": 1, "two": 2}, 1)

    assert recent.find(["two", "three"]) == {"two": 2}

    recent.at(2)
    assert recent.find(["one", "two"]) == {}


def test_what_was_read_before_a_commit_is_not_kept_after_it() -> None:
    recent: Recent[str, int] = Recent(10)
    recent.at(1)
    recent.at(2)
    recent.keep({"one": 1}, 1)

    assert recent.find(["one"]) == {}


def test_what_was_not_found_for_the_longest_time_gives_way() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.keep({"one": 1, "two": 2}, 0)
    recent.find(["one"])
    recent.keep({"three": 3}, 0)

    assert recent.find(["one", "two", "three"]) == {"one": 1, "three": 3}
