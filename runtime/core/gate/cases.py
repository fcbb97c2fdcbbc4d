"""Tables of cases: what must be decided, written down, and held against policies. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from runtime.core.errors import Fault, RequestInvalid
from runtime.core.gate.policy_set import PolicySet
from runtime.core.gate.policy_words import Case, CaseResult
from runtime.core.gate.question_form import CaseForm, read_question, read_time


def read_cases(table: Any) -> list[Case]:
    """Return the cases of a table as TOML or YAML give it: a list, or a dict with the list as `case`.

    Raises RequestInvalid, naming the case and the field.
    """
    rows = table.get("case", table.get("cases")) if isinstance(table, dict) else table
    if not isinstance(rows, list) or not rows:
        message = "There are no cases in it. In TOML each one begins with [[case]], in YAML with a dash."
        raise RequestInvalid(Fault(code="invalid_request", message=message))
    return [_read_case(number, row) for number, row in enumerate(rows, start=1)]


def run_cases(policies: PolicySet, cases: Sequence[Case], now: float) -> list[CaseResult]:
    """Decide every case; those without a time of their own are asked now."""
    return [_run_case(policies, case, now) for case in cases]


def _read_case(number: int, row: Any) -> Case:
    try:
        form = msgspec.convert(row, CaseForm)
    except msgspec.ValidationError as problem:
        told = row.get("name") if isinstance(row, dict) else None
        named = f"Case {number} ('{told}')" if told else f"Case {number}"
        raise RequestInvalid(Fault(code="invalid_request", message=f"{named}: {problem}.")) from problem

    return Case(
        name=form.name or f"{number}: {form.action} {form.resource}",
        question=read_question(form),
        outcome=form.outcome,
        policy=form.policy,
        at=read_time(form),
    )


def _run_case(policies: PolicySet, case: Case, now: float) -> CaseResult:
    judged = policies.judge(case.question, now if case.at is None else case.at)
    is_met = judged.outcome == case.outcome and case.policy in (None, *judged.policies)
    return CaseResult(
        name=case.name,
        is_met=is_met,
        expected=_say(case.outcome, () if case.policy is None else (case.policy,)),
        got=_say(judged.outcome, judged.policies),
    )


def _say(outcome: str, policies: tuple[str, ...]) -> str:
    return f"{outcome} by {', '.join(policies)}" if policies else outcome
