"""What the policies say of questions: the defaults, own ones beside them, arguments, time, what breaks."""

from datetime import UTC
from typing import Any, get_args

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.core.gate.cedar_request import write_request
from runtime.core.gate.policy_files import read_texts
from runtime.core.gate.policy_set import PolicySet
from runtime.core.gate.policy_words import PolicyFile
from runtime.core.gate.principals import OWNER
from runtime.core.gate.words import Action, GateResource, Outcome, Question, ResourceKind
from tests.kit.gate import OPERATOR, USER, ask_tool, collection_question, model_question, own_set

NOW = 1_700_000_000.0  # Tuesday, 2023-11-14, 22:13 UTC
SHIPPED = own_set("")
READING = {"trust": "internal", "is_internal": True, "is_read_only": True, "is_open_world": False}


@pytest.mark.parametrize(
    ("attributes", "outcome", "policy"),
    [
        (READING, "allow", "tools-reading"),
        (READING | {"is_read_only": False}, "ask", "tools-asking"),
        (READING | {"is_open_world": True}, "ask", "tools-asking"),
        (READING | {"trust": "approved", "is_internal": False}, "ask", "tools-asking"),
        ({"trust": "new"}, "deny", "tools-unseen"),
        ({"trust": "changed"}, "deny", "tools-changed"),
    ],
)
def test_the_defaults_let_internal_tools_read_and_ask_for_all_others(
    attributes: dict[str, Any], outcome: Outcome, policy: str
) -> None:
    judged = SHIPPED.judge(ask_tool(attributes=attributes), NOW)

    assert (judged.outcome, judged.policies) == (outcome, (policy,))


def test_a_denial_of_an_unseen_tool_names_the_way_out() -> None:
    assert "lar mcp approve" in SHIPPED.judge(ask_tool(attributes={"trust": "new"}), NOW).reason


def test_what_a_question_does_not_tell_of_a_tool_is_taken_for_the_worst() -> None:
    question = Question(
        principal=OWNER,
        action="call_tool",
        resource=GateResource(kind="Tool", id="mcp__a__b", attributes={"is_internal": "yes"}),
    )

    assert SHIPPED.judge(question, NOW).policies == ("tools-unseen",)


def test_models_are_free() -> None:
    assert SHIPPED.judge(model_question(), NOW).outcome == "allow"


def test_knowledge_is_its_tenants_alone() -> None:
    assert SHIPPED.judge(collection_question("local"), NOW).outcome == "allow"
    denied = SHIPPED.judge(collection_question("other"), NOW)

    assert (denied.outcome, denied.policies) == ("deny", ())
    assert "No policy allows this caller to read the collection 'notes'" in denied.reason


@pytest.mark.parametrize(
    ("question", "outcome"),
    [
        (Question(principal=OWNER, action="connect", resource=GateResource(kind="Server", id="a")), "allow"),
        (
            Question(principal=OPERATOR, action="install", resource=GateResource(kind="Backend", id="a")),
            "allow",
        ),
        (Question(principal=USER, action="install", resource=GateResource(kind="Model", id="a")), "deny"),
        (
            Question(
                principal=OWNER,
                action="connect",
                resource=GateResource(kind="Host", id="a:443"),
                agent="coder",
            ),
            "ask",
        ),
        (
            Question(
                principal=OPERATOR,
                action="connect",
                resource=GateResource(kind="Host", id="a:443"),
                door="mcp",
            ),
            "ask",
        ),
        (
            Question(
                principal=USER,
                action="connect",
                resource=GateResource(kind="Host", id="a:443"),
                agent="coder",
            ),
            "deny",
        ),
    ],
)
def test_operators_install_and_connect_and_what_acts_for_them_asks(
    question: Question, outcome: Outcome
) -> None:
    assert SHIPPED.judge(question, NOW).outcome == outcome


@pytest.mark.parametrize(
    ("condition", "arguments", "applies"),
    [
        ('getTag("path") like "/home/*"', {"path": "/home/a"}, True),
        ('getTag("path") like "/home/*"', {"path": "/etc"}, False),
        ('getTag("path") like "/home/*"', {}, False),
        ('getTag("path") == "5"', {"path": 5}, True),
        ('getTag("path") == "true"', {"path": True}, True),
        ('getTag("path") == "0.5"', {"path": 0.5}, True),
        ('getTag("path") == "x"', {"path": ["x"]}, False),
    ],
)
def test_policies_look_at_arguments_by_name(condition: str, arguments: dict[str, Any], applies: bool) -> None:
    own = own_set(
        '@id("own") permit (principal, action == Action::"call_tool", resource) when '
        f'{{ context.arguments.hasTag("path") && context.arguments.{condition} }};'
    )

    assert (own.judge(ask_tool(arguments=arguments), NOW).outcome == "allow") == applies


@pytest.mark.parametrize(
    ("condition", "arguments"),
    [
        ('hasTag("a.b.0.c") && context.arguments.getTag("a.b.0.c") == "x"', {"a": {"b": [{"c": "x"}]}}),
        ('hasTag("a\\\\.b") && context.arguments.getTag("a\\\\.b") == "x"', {"a.b": "x", "a": {"b": "y"}}),
        ('numbers.hasTag("n") && context.arguments.numbers.getTag("n") > 5', {"n": 6}),
        ('lists.hasTag("l") && context.arguments.lists.getTag("l").contains("2")', {"l": ["a", 2]}),
        ('names.contains("n")', {"n": None}),
        ('json like "*secret*"', {"a": [["secret"]]}),
    ],
)
def test_nested_arguments_have_paths_and_numbers_and_lists_have_places(
    condition: str, arguments: dict[str, Any]
) -> None:
    own = own_set(
        f'@id("own") forbid (principal, action, resource) when {{ context.arguments.{condition} }};'
    )

    assert own.judge(ask_tool(arguments=arguments), NOW).policies == ("own",)
    assert own.judge(ask_tool(arguments={"other": "y"}), NOW).outcome == "ask"


def test_policies_look_at_time_session_door_and_tenant() -> None:
    shipped = read_texts(None)
    own = PolicyFile(
        "own.cedar",
        "own",
        '@id("own") permit (principal, action, resource) when { context.time.hour == 22 && '
        'context.time.minute == 13 && context.time.weekday == 2 && context.time.date == "2023-11-14" && '
        "context.time.epoch == 1700000000 && "
        'context has session && context.session == "s" && context.door == "agent" && '
        'context.tenant == "local" };',
    )
    policies = PolicySet([*shipped.files, own], shipped.schema, UTC)

    assert policies.judge(ask_tool(session="s", door="agent"), NOW).outcome == "allow"
    assert policies.judge(ask_tool(session="s", door="agent"), NOW + 3600).outcome == "ask"
    assert policies.judge(ask_tool(door="agent"), NOW).outcome == "ask"


def test_a_key_means_its_agents_and_clients_too() -> None:
    own = own_set('@id("own") forbid (principal in Key::"key_ann", action, resource);')

    ways: tuple[dict[str, Any], ...] = ({}, {"agent": "coder"}, {"door": "mcp"})
    for more in ways:
        assert own.judge(ask_tool(principal=USER, **more), NOW).policies == ("own",)
        assert own.judge(ask_tool(principal=OPERATOR, **more), NOW).outcome == "ask"


def test_a_forbid_that_cannot_be_evaluated_forbids() -> None:
    overflow = 'context.arguments.numbers.hasTag("n") && context.arguments.numbers.getTag("n") + 1 > 0'
    own = own_set(f'@id("own") forbid (principal, action, resource) when {{ {overflow} }};')

    judged = own.judge(ask_tool(arguments={"n": 2**63 - 1}), NOW)

    assert (judged.outcome, judged.policies) == ("deny", ("own",))
    assert "overflow" in judged.fault


def test_a_permit_that_cannot_be_evaluated_permits_nothing() -> None:
    overflow = 'context.arguments.numbers.hasTag("n") && context.arguments.numbers.getTag("n") + 1 > 0'
    own = own_set(f'@id("own") permit (principal, action, resource) when {{ {overflow} }};')

    judged = own.judge(ask_tool(arguments={"n": 2**63 - 1}), NOW)

    assert judged.outcome == "ask"
    assert "overflow" in judged.fault


def test_arguments_that_are_no_json_are_denied_where_policies_look_at_them() -> None:
    own = own_set('@id("own") permit (principal, action, resource) when { context.arguments.json == "{}" };')

    assert own.judge(ask_tool(arguments={"a": "\ud800"}), NOW).outcome == "deny"
    assert own.judge(ask_tool(arguments={"a": object()}), NOW).outcome == "deny"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
_LOOKING = own_set(
    '@id("own") permit (principal, action, resource) when { context.arguments.names.contains("zz") };'
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), _JSON, max_size=6), st.text(max_size=12), st.text(max_size=12))
def test_whatever_the_arguments_and_names_are_they_can_be_judged(
    arguments: dict[str, Any], tool: str, session: str
) -> None:
    judged = _LOOKING.judge(ask_tool(tool, arguments=arguments, session=session), NOW)

    assert judged.fault == ""
    assert judged.outcome == ("allow" if "zz" in arguments else "ask")


@pytest.mark.parametrize("kind", get_args(ResourceKind))
@pytest.mark.parametrize("door", ["api", "mcp"])
@pytest.mark.parametrize("agent", [None, "coder"])
def test_whatever_is_asked_is_written_as_the_schema_says(
    kind: ResourceKind, door: str, agent: str | None
) -> None:
    schema = cedarpy.Schema.from_str(read_texts(None).schema.text)
    everything = cedarpy.PolicySet.from_str("permit (principal, action, resource);")
    actions: dict[ResourceKind, Action] = {
        "Tool": "call_tool",
        "Model": "generate",
        "Collection": "recall_write",
        "Backend": "install",
        "Server": "connect",
        "Host": "connect",
    }
    question = Question(
        principal=USER,
        action=actions[kind],
        resource=GateResource(kind=kind, id="it"),
        arguments={"a": 1, "b": ["x"], "c": {"d": 0.5}},
        door=door,
        agent=agent,
        session="s",
    )

    request = write_request(question, NOW)

    entities = cedarpy.Entities.from_json_str(request.entities, schema)
    result = cedarpy.is_authorized(request.as_dict(), everything, entities, schema)
    assert (result.allowed, result.diagnostics.errors) == (True, [])


def test_an_explanation_says_which_conditions_hold() -> None:
    explanation = SHIPPED.explain(ask_tool(attributes=READING | {"is_read_only": False}), NOW)

    first, *rest = explanation.considered
    assert (first.rule.id, first.applies, first.decides) == ("tools-asking", True, True)
    (reading,) = (each for each in rest if each.rule.id == "tools-reading")
    assert not reading.applies
    assert [(each.text, each.holds) for each in reading.conditions] == [
        ('action == Action::"call_tool"', True),
        ("resource.is_internal", True),
        ("resource.is_read_only", False),
        ("!resource.is_open_world", True),
    ]
    (models,) = (each for each in rest if each.rule.id == "models-here")
    assert [each.holds for each in models.conditions] == [False]


def test_an_explanation_and_a_decision_agree() -> None:
    questions = [ask_tool(), ask_tool(attributes=READING), model_question(), collection_question("other")]
    for question in questions:
        explanation = SHIPPED.explain(question, NOW)

        assert (explanation.outcome, explanation.policies) == SHIPPED.judge(question, NOW)[:2]
        assert {each.rule.id for each in explanation.considered if each.decides} == set(explanation.policies)


def test_what_was_decided_once_is_decided_the_same_again() -> None:
    policies = own_set('@id("own") permit (principal, action, resource) when { context has session };')
    questions = [
        ask_tool(),
        ask_tool(session="s"),
        ask_tool("read"),
        ask_tool(principal=USER),
        ask_tool(agent="coder"),
        ask_tool(attributes={"trust": "new"}),
        model_question(),
    ]

    first = [policies.judge(each, NOW) for each in questions]

    assert [policies.judge(each, NOW + 1) for each in questions] == first
    assert [each.outcome for each in first] == ["ask", "allow", "ask", "ask", "ask", "deny", "allow"]


def test_what_hangs_on_arguments_has_several_possible_outcomes() -> None:
    own = own_set(
        '@id("home") permit (principal, action == Action::"call_tool", resource) when { context.arguments'
        '.hasTag("path") && context.arguments.getTag("path") like "/home/*" '
        '&& principal.role == "operator" };'
    )

    assert own.possible(ask_tool(), NOW) == {"ask", "allow"}
    assert own.possible(ask_tool(principal=USER), NOW) == {"ask"}
    assert own.possible(ask_tool(attributes={"trust": "changed"}), NOW) == {"deny"}
    assert own.possible(model_question(), NOW) == {"allow"}
