from dataclasses import dataclass

from runtime.backends.engines.llama.shares import Shares


@dataclass
class Asker:
    principal: str
    rank: int = 0
    arrived: int = 0


def test_priority_comes_before_share_and_share_before_arrival() -> None:
    shares = Shares()
    for principal in "ab":
        shares.enter(principal)
    shares.charge("a", prompt=100)
    early, late = Asker("a", arrived=1), Asker("b", arrived=2)
    urgent = Asker("a", rank=-1, arrived=3)

    assert shares.order([early, late, urgent]) == [urgent, late, early]


def test_those_who_had_the_same_go_by_arrival() -> None:
    shares = Shares()
    shares.enter("a")
    first, second = Asker("a", arrived=1), Asker("a", arrived=2)

    assert shares.order([second, first]) == [first, second]


def test_a_generated_token_counts_more_than_one_of_a_prompt() -> None:
    shares = Shares()
    for principal in "ab":
        shares.enter(principal)
    shares.charge("a", prompt=10)
    shares.charge("b", answer=10)

    assert [each.principal for each in shares.order([Asker("b"), Asker("a")])] == ["a", "b"]


def test_idling_saves_nothing_up() -> None:
    shares = Shares()
    shares.enter("busy")
    shares.charge("busy", prompt=1000)
    shares.enter("idle")
    shares.charge("idle", prompt=1)

    assert [each.principal for each in shares.order([Asker("idle"), Asker("busy")])] == ["busy", "idle"]


def test_who_comes_back_is_not_forgiven_while_others_are_at_work() -> None:
    shares = Shares()
    shares.enter("a")
    shares.enter("b")
    shares.charge("a", prompt=1000)
    shares.leave("a")
    shares.enter("a")

    assert [each.principal for each in shares.order([Asker("a"), Asker("b")])] == ["b", "a"]


def test_counters_do_not_outlive_the_work() -> None:
    shares = Shares()
    shares.enter("a")
    shares.charge("a", prompt=1000)
    shares.leave("a")
    shares.enter("b")
    shares.enter("a")

    assert [each.principal for each in shares.order([Asker("a", arrived=1), Asker("b", arrived=2)])] == [
        "a",
        "b",
    ]
