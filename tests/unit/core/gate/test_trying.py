"""Tables of cases, questions as people write them, and the past under other policies."""

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest

from runtime.core.errors import RequestInvalid
from runtime.core.events import Envelope
from runtime.core.gate.cases import read_cases, run_cases
from runtime.core.gate.principals import OWNER
from runtime.core.gate.question_form import QuestionForm, read_question, read_time
from runtime.core.gate.replay import read_decision, replay
from runtime.core.gate.words import Answer, Question
from runtime.core.ids import TenantId
from runtime.core.tool_facts import GateDecided
from tests.kit.gate import USER, GateStage, ask_tool, model_question, own_set

NOW = 1_700_000_000.0


def test_a_question_in_few_words_is_the_most_usual_one() -> None:
    question = read_question(QuestionForm(action="call_tool", resource="mcp__files__write_file"))

    assert question.principal == OWNER
    assert question.resource.kind == "Tool"
    assert question.resource.attributes == {"server": "files", "name": "write_file", "trust": "approved"}
    user = read_question(QuestionForm(action="recall_read", resource="notes", principal="key_a", tenant="t"))
    assert (user.principal.role, user.principal.tenant, user.resource.attributes) == (
        "user",
        "t",
        {"tenant": "t"},
    )


@pytest.mark.parametrize(
    ("resource", "attributes"),
    [
        ("example.org:443", {"host": "example.org", "port": 443}),
        ("example.org", {"host": "example.org"}),
        ("files", {"host": "files"}),
    ],
)
def test_a_host_is_read_with_its_port(resource: str, attributes: dict[str, Any]) -> None:
    assert read_question(QuestionForm(action="connect", resource=resource)).resource.attributes == attributes


def test_times_are_seconds_or_dates() -> None:
    at = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)

    assert read_time(QuestionForm(action="generate", resource="m", at=at)) == NOW
    assert read_time(QuestionForm(action="generate", resource="m", at=NOW)) == NOW
    assert read_time(QuestionForm(action="generate", resource="m")) is None


def test_cases_are_met_by_outcome_and_policy() -> None:
    table = tomllib.loads(
        """
        [[case]]
        action = "call_tool"
        resource = "mcp__a__b"
        outcome = "ask"
        policy = "tools-asking"
        [[case]]
        name = "wrong policy"
        action = "generate"
        resource = "m"
        outcome = "allow"
        policy = "other"
        """
    )

    first, second = run_cases(own_set(""), read_cases(table), NOW)

    assert (first.is_met, first.name) == (True, "1: call_tool mcp__a__b")
    assert (second.is_met, second.expected, second.got) == (False, "allow by other", "allow by models-here")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "There are no cases in it"),
        ({"case": []}, "There are no cases in it"),
        ("text", "There are no cases in it"),
        ([{"name": "n", "action": "fly", "resource": "a", "outcome": "deny"}], r"Case 1 \('n'\): .*action"),
        ([{"action": "generate", "resource": "a"}], "Case 1: .*outcome"),
        ([{"action": "generate", "resource": "a", "outcome": "deny", "x": 1}], "Case 1: .*`x`"),
        (["text"], "Case 1: Expected `object`"),
    ],
)
def test_a_table_that_is_none_is_told(table: Any, told: str) -> None:
    with pytest.raises(RequestInvalid, match=told):
        read_cases(table)


async def _facts(stage: GateStage, *questions: Question) -> list[Envelope]:
    for each in questions:
        await stage.gate.rule(each)
    decided = [each for each in stage.facts if isinstance(each, GateDecided)]
    return [
        Envelope(seq=seq, at=NOW, event=each, tenant=TenantId("local"))
        for seq, each in enumerate(decided, start=1)
    ]


async def test_the_same_policies_decide_the_past_the_same() -> None:
    stage = GateStage()
    asked = ask_tool(arguments={"path": "/a"}, session="s", agent="coder")
    facts = await _facts(stage, asked, model_question(), ask_tool(attributes={"trust": "new"}))
    (approval,) = stage.desk.list_approvals(OWNER.tenant)
    await stage.desk.answer(OWNER.tenant, approval.id, Answer(is_approved=True), "owner")
    facts = await _facts(stage, asked)
    assert [each.event.outcome for each in facts if isinstance(each.event, GateDecided)] == [
        "ask",
        "allow",
        "deny",
        "allow",
    ]

    past = [each for each in map(read_decision, facts) if each is not None]

    assert [each.outcome for each in past] == ["ask", "allow", "deny", "ask"]
    replayed = replay(own_set(""), past)
    assert (replayed.same, replayed.changed, replayed.undetermined) == (4, (), ())


async def test_other_policies_change_some_of_the_past_and_leave_open_what_hangs_on_arguments() -> None:
    facts = await _facts(GateStage(), ask_tool(), ask_tool("delete"), model_question(USER))
    past = [each for each in map(read_decision, facts) if each is not None]
    other = own_set(
        '@id("no") forbid (principal is Key, action == Action::"generate", resource);'
        '@id("home") permit (principal, action, resource == Tool::"mcp__files__write") '
        'when { context.arguments.json like "*home*" };'
    )

    replayed = replay(other, past)

    assert replayed.same == 1
    assert [(each.past.seq, each.outcome, each.policies) for each in replayed.changed] == [
        (3, "deny", ("no",))
    ]
    assert [each.seq for each in replayed.undetermined] == [1]


def test_what_no_policy_decided_is_not_replayed() -> None:
    fact = GateDecided(
        outcome="deny",
        action="generate",
        resource="m",
        principal=OWNER.id,
        resource_kind="Model",
        role="user",
    )
    envelope = Envelope(seq=1, at=NOW, event=fact)

    assert read_decision(envelope) is not None
    for broken in ({"policies": ("quota",)}, {"policies": ("fault",)}, {"action": "fly"}, {"role": ""}):
        told = GateDecided(**{name: getattr(fact, name) for name in fact.__struct_fields__} | broken)
        assert read_decision(Envelope(seq=1, at=NOW, event=told)) is None
