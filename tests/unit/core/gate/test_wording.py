"""Expressions are written so that Cedar reads them as they were."""

import cedarpy
import pytest
from cedarpy import pst
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.gate.cedar.wording import word_expression, word_scope
from runtime.core.gate.policy_lines import quote_text


def _read(condition: str) -> pst.Expr:
    text = f"permit (principal, action, resource) when {{ {condition} }};"
    (policy,) = cedarpy.policies_to_pst(text).static_policies.values()
    (clause,) = policy.clauses
    return clause.expr


@pytest.mark.parametrize(
    "text",
    [
        'context.arguments.hasTag("a.b") && context.arguments.getTag("a.b") like "/home/*\\*"',
        'principal.role == "user" || (principal is Key && !resource.is_internal)',
        "(1 + 2) * 3 - -4 < context.time.hour",
        "if context has session then true else context.time.hour > 3",
        'context["odd name"].contains("x")',
        'principal in [Key::"a", Key::"b"] && principal is Agent in Key::"c"',
        'ip("10.0.0.1").isInRange(ip("10.0.0.0/8")) && decimal("1.5").lessThan(decimal("2.0"))',
        '{a: 1, "b c": [true, false]}.a == 1',
        '!(!context.a) && (context.a has b.c) == true && ["x"].containsAny(context.names)',
        "(if true then 1 else 2) == 1 && (context.a && context.b) == context.c",
    ],
)
def test_what_is_written_is_read_as_the_same(text: str) -> None:
    expression = _read(text)

    assert _read(word_expression(expression)) == expression


def test_parentheses_stand_only_where_they_are_needed() -> None:
    text = 'context.arguments.getTag("a") == "b" && (resource.x || !resource.y) && context.n + 1 < 3'

    assert word_expression(_read(text)) == text.replace("context.n + 1", "(context.n + 1)")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_can_be_quoted(text: str) -> None:
    assert _read(f'{quote_text(text)} == ""') == pst.BinaryOp("eq", pst.StringLit(text), pst.StringLit(""))


@pytest.mark.parametrize(
    "scope", ["principal", 'principal == Key::"a"', 'principal in Key::"a"', "principal is Key",
              'principal is Agent in Key::"a"'],
)  # fmt: skip
def test_heads_of_policies_are_written_as_they_are(scope: str) -> None:
    (policy,) = cedarpy.policies_to_pst(f"permit ({scope}, action, resource);").static_policies.values()

    assert word_scope("principal", policy.principal) == (scope if " " in scope else "")
