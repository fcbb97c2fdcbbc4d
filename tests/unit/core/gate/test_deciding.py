"""What the policies that apply amount to: laws."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.gate.deciding import decide_outcome, possible_outcomes
from runtime.core.gate.policy_words import Effect, Layer, PolicyRule

EFFECTS: tuple[Effect, ...] = ("permit", "forbid")
LAYERS: tuple[Layer, ...] = ("own", "shipped")
RULES = [
    PolicyRule(
        id=f"{effect}-{layer}-{is_ask}", effect=effect, layer=layer, is_ask=is_ask, file="f.cedar", line=1
    )
    for effect, layer, is_ask in product(EFFECTS, LAYERS, (False, True))
    if effect == "permit" or not is_ask
]
SOME = st.lists(st.sampled_from(RULES), max_size=8)
ORDER = {"deny": 0, "ask": 1, "allow": 2}


@given(SOME, st.sampled_from([each for each in RULES if each.effect == "forbid"]))
def test_a_forbid_always_wins(others: list[PolicyRule], forbid: PolicyRule) -> None:
    decided = decide_outcome([*others, forbid])

    assert decided.outcome == "deny"
    assert all(each.effect == "forbid" for each in decided.rules)


@given(SOME, st.sampled_from([each for each in RULES if each.effect == "permit"]))
def test_one_more_permit_never_denies(others: list[PolicyRule], permit: PolicyRule) -> None:
    before = decide_outcome(others).outcome
    after = decide_outcome([*others, permit]).outcome

    assert after == before or after != "deny"


@given(SOME)
def test_one_more_plain_permit_of_the_owner_lifts_every_question(others: list[PolicyRule]) -> None:
    (lifting,) = (each for each in RULES if each.id == "permit-own-False")
    before = decide_outcome(others).outcome
    is_forbidden = any(each.effect == "forbid" for each in others)

    after = decide_outcome([*others, lifting]).outcome

    assert after == ("deny" if is_forbidden else "allow")
    assert is_forbidden or ORDER[after] >= ORDER[before]


@given(SOME)
def test_the_order_of_policies_means_nothing(applied: list[PolicyRule]) -> None:
    assert decide_outcome(applied).outcome == decide_outcome(reversed(applied)).outcome


@given(SOME, SOME, st.data())
def test_what_may_apply_spans_what_is_possible(
    certain: list[PolicyRule], perhaps: list[PolicyRule], data: st.DataObject
) -> None:
    chosen = [each for each in perhaps if data.draw(st.booleans())]

    assert decide_outcome([*certain, *chosen]).outcome in possible_outcomes(certain, perhaps)
    assert possible_outcomes(certain, []) == {decide_outcome(certain).outcome}


def test_an_own_question_stands_over_a_shipped_yes() -> None:
    rules = {each.id: each for each in RULES}

    decided = decide_outcome([rules["permit-shipped-False"], rules["permit-own-True"]])

    assert decided.outcome == "ask"
    assert decided.rules == (rules["permit-own-True"],)


def test_nothing_is_no() -> None:
    assert decide_outcome([]) == ("deny", ())
