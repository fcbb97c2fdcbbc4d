"""How far answers reach, and what an answer changes: laws."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.errors import Conflict, RequestInvalid
from runtime.core.gate.approval_rules import (
    Asking,
    answer_approval,
    expire,
    is_past,
    newest_answer,
    open_approval,
    reaches,
    take_back,
)
from runtime.core.gate.principals import OWNER, Principal
from runtime.core.gate.words import Answer, Approval, Question, Scope
from runtime.core.ids import ApprovalId, PrincipalId, TenantId
from tests.kit.gate import OPERATOR, USER, ask_tool

NOW = 1000.0


def _open(question: Question, now: float = NOW) -> Approval:
    return open_approval(
        Asking(
            id=ApprovalId("apr_1"),
            question=question,
            reason="why",
            policies=("p",),
            now=now,
            deadline_s=600.0,
        )
    )


def _yes(question: Question, scope: Scope) -> Approval:
    return answer_approval(_open(question), Answer(is_approved=True, scope=scope), "owner", NOW)


QUESTIONS = st.builds(
    ask_tool,
    st.sampled_from(["write", "delete"]),
    arguments=st.sampled_from([{}, {"path": "/a"}, {"path": "/b"}]),
    principal=st.sampled_from([OWNER, USER, OPERATOR]),
    session=st.sampled_from([None, "s1", "s2"]),
    agent=st.sampled_from([None, "coder"]),
)
SCOPES = st.sampled_from(["call", "arguments", "tool", "session", "forever"])
ANSWERS = st.builds(Answer, is_approved=st.booleans(), scope=SCOPES)
TIMES = st.floats(min_value=0, max_value=200_000)


@given(QUESTIONS, QUESTIONS, ANSWERS, TIMES, TIMES)
def test_an_expired_approval_never_allows(
    asked: Question, later: Question, answer: Answer, answered_after: float, asked_after: float
) -> None:
    approval = _open(asked)
    try:
        approval = answer_approval(approval, answer, "owner", NOW + answered_after)
    except (Conflict, RequestInvalid):
        approval = expire(approval)

    if answered_after >= 600.0:
        assert approval.status == "expired"
    if approval.status != "approved":
        found = newest_answer([approval], later, NOW + asked_after)
        assert found is None or found.status == "denied"


@given(QUESTIONS, ANSWERS, TIMES)
def test_answers_are_idempotent(question: Question, answer: Answer, after: float) -> None:
    try:
        first = answer_approval(_open(question), answer, "owner", NOW)
    except RequestInvalid:
        return

    assert answer_approval(first, answer, "somebody", NOW + after) is first


@given(QUESTIONS, ANSWERS, ANSWERS)
def test_another_answer_after_the_first_is_a_conflict(
    question: Question, first: Answer, second: Answer
) -> None:
    try:
        answered = answer_approval(_open(question), first, "owner", NOW)
    except RequestInvalid:
        return

    if first != second:
        with pytest.raises(Conflict, match="an answer stays as it is"):
            answer_approval(answered, second, "owner", NOW)


@given(QUESTIONS, QUESTIONS, ANSWERS, TIMES)
def test_no_answer_reaches_another_caller(
    asked: Question, later: Question, answer: Answer, after: float
) -> None:
    try:
        answered = answer_approval(_open(asked), answer, "owner", NOW)
    except RequestInvalid:
        return

    if (asked.principal, asked.agent) != (later.principal, later.agent):
        assert not reaches(answered, later, NOW + after)


@pytest.mark.parametrize(
    ("scope", "reached"),
    [
        ("call", (True, False, False, False)),
        ("arguments", (True, False, False, False)),
        ("tool", (True, True, False, False)),
        ("session", (True, True, True, False)),
        ("forever", (False, False, False, False)),
    ],
)
def test_each_scope_reaches_as_far_as_it_says(scope: Scope, reached: tuple[bool, ...]) -> None:
    here: dict[str, Any] = {"session": "s1"}
    answered = _yes(ask_tool("write", {"path": "/a"}, **here), scope)
    later = (
        ask_tool("write", {"path": "/a"}, **here),
        ask_tool("write", {"path": "/b"}, **here),
        ask_tool("delete", **here),
        ask_tool("delete", session="s2"),
    )

    assert tuple(reaches(answered, each, NOW) for each in later) == reached


@pytest.mark.parametrize(("scope", "holds_s"), [("call", 3600), ("arguments", 3600), ("session", 86400)])
def test_answers_hold_so_long(scope: Scope, holds_s: float) -> None:
    question = ask_tool(session="s1")
    answered = _yes(question, scope)

    assert reaches(answered, question, NOW + holds_s - 1)
    assert not reaches(answered, question, NOW + holds_s)


def test_the_newest_of_several_answers_holds() -> None:
    question = ask_tool()
    yes = _yes(question, "tool")
    no = answer_approval(_open(question), Answer(is_approved=False, scope="tool"), "owner", NOW + 5)

    assert newest_answer([yes, no], question, NOW + 6) is no
    assert newest_answer([no, yes], question, NOW + 6) is no


def test_an_agent_of_one_owner_does_not_profit_from_anothers() -> None:
    other = Principal(id=PrincipalId("key_ann"), role="user", tenant=TenantId("other"))
    answered = _yes(ask_tool(principal=USER, agent="coder"), "tool")

    assert answered.principal == 'Agent::"coder" in Key::"key_ann"'
    assert not reaches(answered, ask_tool(principal=OPERATOR, agent="coder"), NOW)
    assert not reaches(answered, ask_tool(principal=other, agent="coder"), NOW)


def test_a_session_can_be_meant_only_where_there_is_one() -> None:
    assert "session" not in _open(ask_tool()).scopes
    with pytest.raises(RequestInvalid, match="Possible: call, arguments, tool, forever"):
        _yes(ask_tool(), "session")


def test_a_no_for_ever_belongs_into_a_file() -> None:
    with pytest.raises(RequestInvalid, match="A no for ever is a 'forbid'"):
        answer_approval(_open(ask_tool()), Answer(is_approved=False, scope="forever"), "owner", NOW)


def test_what_is_over_cannot_be_answered() -> None:
    approval = _open(ask_tool())

    assert not is_past(approval, NOW + 599)
    assert is_past(approval, NOW + 600)
    for each in (take_back(approval, NOW), expire(approval)):
        with pytest.raises(Conflict, match="nobody waits for it any more"):
            answer_approval(each, Answer(is_approved=True), "owner", NOW)
