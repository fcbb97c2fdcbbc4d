"""What a person is shown in an MCP client before a call, and what their answer means."""

import json
from types import SimpleNamespace
from typing import Any, cast

import mcp.types as wire
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.gate.words import Approval, Approvals, GateResource, Question
from runtime.core.ids import ApprovalId, TenantId
from runtime.core.tools import ToolResult
from runtime.mcp.consent import DECISION, DECLINE, QUESTION, Consent, answer_of, form_of, message_of

SHOWN = ["call", "arguments", "tool", "session"]


def approval(**arguments: Any) -> Approval:
    return Approval(
        id=ApprovalId("apr_1"),
        tenant=TenantId("t"),
        status="pending",
        principal='Client::"key_a" in Key::"key_a"',
        action="call_tool",
        resource=GateResource(kind="Tool", id="mcp__files__write"),
        arguments=arguments,
        reason="It writes.",
        scopes=("call", "arguments", "tool", "session", "forever"),
        created_at=0.0,
        expires_at=60.0,
    )


def accepts(**content: Any) -> wire.ElicitResult:
    return wire.ElicitResult(action="accept", content=content)


def test_the_choices_have_titles_in_the_words_of_each_revision() -> None:
    newer = form_of(approval(), "2025-11-25").requested_schema["properties"][DECISION]
    assert [each["const"] for each in newer["oneOf"]] == [*SHOWN, DECLINE]
    older = form_of(approval(), "2025-06-18").requested_schema["properties"][DECISION]
    assert older["enum"] == [*SHOWN, DECLINE]
    assert older["enumNames"] == [each["title"] for each in newer["oneOf"]]


def test_the_question_says_who_wants_what_and_why() -> None:
    message = message_of(approval(path="a.md", text="hello"))
    for each in ('Client::"key_a"', "mcp__files__write", '"path": "a.md"', '"text": "hello"', "It writes."):
        assert each in message


def test_long_arguments_are_cut_and_it_says_so() -> None:
    message = message_of(approval(text="x" * 10_000))
    assert len(message) < 5000
    assert "characters more: 'lar approvals show apr_1' has all." in message


def test_hidden_characters_are_not_shown() -> None:
    assert "\u202e" not in message_of(approval(text="a\u202eb"))


@pytest.mark.parametrize("scope", SHOWN)
def test_a_scope_that_is_chosen_is_a_yes_so_far(scope: str) -> None:
    answer = answer_of(approval(), accepts(decision=scope))
    assert answer is not None
    assert (answer.is_approved, answer.scope) == (True, scope)


@pytest.mark.parametrize("said", [wire.ElicitResult(action="decline"), accepts(decision=DECLINE)])
def test_a_no_is_a_no_for_this_call(said: wire.ElicitResult) -> None:
    answer = answer_of(approval(), said)
    assert answer is not None
    assert (answer.is_approved, answer.scope) == (False, "call")


@given(
    st.sampled_from(["accept", "decline", "cancel"]),
    st.dictionaries(st.text(), st.text() | st.booleans() | st.integers() | st.lists(st.text())),
)
def test_nothing_but_a_scope_that_was_offered_is_a_yes(action: Any, content: dict[str, Any]) -> None:
    answer = answer_of(approval(), wire.ElicitResult(action=action, content=content))
    is_yes = answer is not None and answer.is_approved
    assert is_yes == (action == "accept" and json.dumps(content.get(DECISION)) in map(json.dumps, SHOWN))


@pytest.mark.parametrize("content", [{}, {"decision": "forever"}, {"decision": True}, {"decision": "yes"}])
def test_what_was_not_offered_is_no_answer(content: dict[str, Any]) -> None:
    assert answer_of(approval(), accepts(**content)) is None


class Late:
    """Approvals with one question, whose time had passed before its form came back."""

    def find(self, tenant: TenantId, identity: ApprovalId) -> Approval:
        del tenant, identity
        return msgspec.structs.replace(approval(), status="expired")

    async def cancel(self, tenant: TenantId, identity: ApprovalId) -> Approval:
        return self.find(tenant, identity)


async def test_a_form_that_is_put_away_too_late_does_not_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def call() -> ToolResult:
        raise AssertionError

    monkeypatch.setattr("runtime.mcp.consent.is_same_question", lambda *_: True)
    params = wire.CallToolRequestParams(
        name="files_write",
        input_responses={QUESTION: wire.ElicitResult(action="cancel")},
        request_state="apr_1",
    )
    context = SimpleNamespace(session=SimpleNamespace(can_send_request=False))
    question = SimpleNamespace(principal=SimpleNamespace(tenant=TenantId("t"), id="owner"))
    consent = Consent(cast("Approvals", Late()), 1.0)
    result = await consent.obtain(cast("Any", context), params, cast("Question", question), call)
    assert isinstance(result, ToolResult)
    assert result.code == "denied"
