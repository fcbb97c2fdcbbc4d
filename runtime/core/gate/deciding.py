"""The rule that makes one decision out of the policies that apply. Pure.

    a forbid                → deny      whoever wrote it
    an own plain permit     → allow     own policies speak before those that come with Lar
    an own asking permit    → ask
    a shipped plain permit  → allow
    a shipped asking permit → ask
    nothing                 → deny

So a forbid always wins, an own policy can lift or bring a question, and one more permit never denies.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from runtime.core.gate.policy_words import PolicyRule
from runtime.core.gate.words import Outcome


class Decided(NamedTuple):
    """An outcome with the policies that decided."""

    outcome: Outcome
    rules: tuple[PolicyRule, ...]


_LADDER: Sequence[tuple[Outcome, Callable[[PolicyRule], bool]]] = (
    ("deny", lambda rule: rule.effect == "forbid"),
    ("allow", lambda rule: rule.layer == "own" and not rule.is_ask),
    ("ask", lambda rule: rule.layer == "own"),
    ("allow", lambda rule: not rule.is_ask),
    ("ask", lambda rule: rule.is_ask),
)


def decide_outcome(applied: Iterable[PolicyRule]) -> Decided:
    """Return what the policies that apply amount to."""
    applied = tuple(applied)
    for outcome, is_of_step in _LADDER:
        rules = tuple(rule for rule in applied if is_of_step(rule))
        if rules:
            return Decided(outcome, rules)

    return Decided("deny", ())


def possible_outcomes(applied: Iterable[PolicyRule], perhaps: Iterable[PolicyRule]) -> frozenset[Outcome]:
    """Return every outcome that can be where some policies apply for sure and others perhaps."""
    certain = tuple(applied)
    kinds = {(rule.effect, rule.layer, rule.is_ask): rule for rule in perhaps}
    possible: list[tuple[PolicyRule, ...]] = [certain]
    for rule in kinds.values():  # two policies of a kind decide alike, so a kind is there or not
        possible += [(*each, rule) for each in possible]
    return frozenset(decide_outcome(each).outcome for each in possible)
