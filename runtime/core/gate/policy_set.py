"""One set of policies that can decide: read once, asked for every question."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import tzinfo
from functools import cached_property
from typing import NamedTuple

from runtime.core.gate.cedar.conditions import (
    circumstances_of,
    examine,
    hangs_on_arguments,
    without_arguments,
)
from runtime.core.gate.cedar.evaluating import Evaluator
from runtime.core.gate.cedar.reading import compile_set, read_policies, read_schema
from runtime.core.gate.cedar_request import CIRCUMSTANCES, CedarRequest, write_request
from runtime.core.gate.deciding import decide_outcome, possible_outcomes
from runtime.core.gate.policy_words import Considered, Explanation, PolicyFile, PolicyRule
from runtime.core.gate.reasons import reason_of
from runtime.core.gate.words import Outcome, Question

_KNOWN = 4096
_Key = tuple[str, ...]
_BEST_FIRST: tuple[Outcome, ...] = ("allow", "ask", "deny")


class Judgement(NamedTuple):
    """What a set of policies says of a question."""

    outcome: Outcome
    policies: tuple[str, ...]
    reason: str
    fault: str = ""
    """Why it could not be judged as written, for the log."""


class PolicySet:
    """The policies of some files. Immutable: other files are another set."""

    def __init__(self, files: Sequence[PolicyFile], schema: PolicyFile, zone: tzinfo | None = None) -> None:
        """Read and check the files. Raises PoliciesRefused with all that is wrong."""
        self._policies = read_policies(files, read_schema(schema.name, schema.text))
        self._zone = zone
        self._compiled = compile_set(self._policies.values())
        self._needs = frozenset[str]().union(
            *(circumstances_of(each.node) for each in self._policies.values())
        )
        self.rules: dict[str, PolicyRule] = {name: each.rule for name, each in self._policies.items()}
        self.digest = digest_of([*files, schema])
        self._is_steady = self._needs.isdisjoint({"arguments", "time"})
        self._known: dict[_Key, Judgement] = {}
        """What was decided for what Cedar is shown, where neither time nor arguments are."""
        self._known_possible: dict[_Key, frozenset[Outcome]] = {}

    def judge(self, question: Question, now: float) -> Judgement:
        """Decide. What cannot be evaluated is denied, with the cause in `fault`; never raises for a question.

        A permit that cannot be evaluated permits nothing, a forbid forbids.
        """
        try:
            request = self._request(question, now, self._needs)
        except (ValueError, RecursionError) as problem:
            return _unjudged(problem)

        key = _key_of(question, request)
        judged = self._known.get(key)
        if judged is None:
            judged = self._judge(self._compiled, question, request)
            if self._is_steady and not judged.fault and len(self._known) < _KNOWN:
                self._known[key] = judged
        return judged

    def outlook(self, question: Question, now: float) -> Outcome:
        """Return the best that can come of a question whose arguments are not known yet."""
        if not any(hangs_on_arguments(each.node) for each in self._policies.values()):
            return self.judge(question, now).outcome
        try:
            possible = self.possible(question, now)
        except ValueError:
            return "deny"
        return next(each for each in _BEST_FIRST if each in possible)

    def _judge(self, policies: Evaluator, question: Question, request: CedarRequest) -> Judgement:
        try:
            applied, broken = policies.evaluate(request)
        except ValueError as problem:
            return _unjudged(problem)

        forbidding = [name for name in broken if self.rules[name].effect == "forbid"]
        fault = "; ".join(f"{name}: {cause}" for name, cause in broken.items())
        if forbidding:
            reason = f"The policy '{forbidding[0]}' could not be evaluated: {broken[forbidding[0]]}."
            return Judgement("deny", tuple(forbidding), reason, fault)

        decided = decide_outcome(self.rules[name] for name in applied)
        deciding = tuple(rule.id for rule in decided.rules)
        return Judgement(decided.outcome, deciding, reason_of(question, decided), fault)

    def explain(self, question: Question, now: float) -> Explanation:
        """Say what is decided and which conditions of each policy hold. May run beside `judge` in a thread.

        Raises ValueError for a question that cannot be written for Cedar.
        """
        request = self._request(question, now)
        judged = self._judge(compile_set(self._policies.values()), question, request)
        considered = [self._consider(name, judged, request) for name in self._policies]
        considered.sort(key=lambda each: (not each.decides, not each.applies))
        return Explanation(
            outcome=judged.outcome,
            policies=judged.policies,
            reason=judged.reason,
            considered=tuple(considered),
        )

    def possible(self, question: Question, now: float) -> frozenset[Outcome]:
        """Return the outcomes that a question without its arguments can have. Raises as `explain` does."""
        request = self._request(question, now, self._needs - {"arguments"})
        key = _key_of(question, request)
        known = self._known_possible.get(key)
        if known is None:
            known = self._possible(request)
            if "time" not in self._needs and len(self._known_possible) < _KNOWN:
                self._known_possible[key] = known
        return known

    def _possible(self, request: CedarRequest) -> frozenset[Outcome]:
        applied = self._firm.evaluate(request)
        perhaps = self._loose.evaluate(request)
        certain = [self.rules[name] for name in (*applied.applied, *self._forbids(applied.broken))]
        return possible_outcomes(certain, [self.rules[name] for name in perhaps.applied])

    @cached_property
    def _firm(self) -> Evaluator:
        """The policies that do not look at arguments."""
        return compile_set(each for each in self._policies.values() if not hangs_on_arguments(each.node))

    @cached_property
    def _loose(self) -> Evaluator:
        """The others, each as a permit that applies wherever it may."""
        return compile_set(
            replace(each, node=without_arguments(each.node))
            for each in self._policies.values()
            if hangs_on_arguments(each.node)
        )

    def _forbids(self, broken: dict[str, str]) -> list[str]:
        return [name for name in broken if self.rules[name].effect == "forbid"]

    def _consider(self, name: str, judged: Judgement, request: CedarRequest) -> Considered:
        conditions = examine(self._policies[name].node, request)
        return Considered(
            rule=self.rules[name],
            applies=all(each.holds for each in conditions),
            decides=name in judged.policies,
            conditions=conditions,
        )

    def _request(self, question: Question, now: float, needs: frozenset[str] = CIRCUMSTANCES) -> CedarRequest:
        return write_request(question, now, needs=needs, zone=self._zone)


def _key_of(question: Question, request: CedarRequest) -> _Key:
    """Return all that Cedar is shown."""
    names = (str(request.principal), question.action, str(request.resource))
    return (*names, request.context, request.entities)


def _unjudged(problem: Exception) -> Judgement:
    reason = f"The policies could not be asked about this: {problem}."
    return Judgement("deny", (), reason, str(problem))


def digest_of(files: Sequence[PolicyFile]) -> str:
    """Return what tells one set of files from another."""
    told = hashlib.sha256()
    for each in files:
        told.update(f"{each.layer}\0{each.name}\0{len(each.text)}\0{each.text}\0".encode())
    return told.hexdigest()[:16]
