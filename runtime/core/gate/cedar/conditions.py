"""Takes policies apart into their conditions, to say which hold, and which hang on arguments."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

import cedarpy
from cedarpy import pst

from runtime.core.gate.cedar.evaluating import Evaluator
from runtime.core.gate.cedar.wording import word_expression, word_scope
from runtime.core.gate.cedar_request import CIRCUMSTANCES, CedarRequest
from runtime.core.gate.policy_words import Condition

_CONTEXT = pst.Var("context")


class _Part(NamedTuple):
    """One condition, as words and as a policy that has it alone."""

    text: str
    node: pst.Template


def circumstances_of(node: Any) -> frozenset[str]:
    """Return which attributes of the context a policy, or a part of one, looks at."""
    names: set[str] = set()
    rest = [node]
    while rest:
        each = rest.pop()
        if isinstance(each, pst.GetAttr | pst.HasAttr) and each.base == _CONTEXT:
            names.add(each.attr if isinstance(each, pst.GetAttr) else each.attrs[0])
        elif each == _CONTEXT:
            return CIRCUMSTANCES  # as a whole, which a comparison of contexts wants
        elif isinstance(each, tuple):
            rest.extend(each)
        elif isinstance(each, Mapping):
            rest.extend(each.values())
        elif is_dataclass(each) and not isinstance(each, type):
            rest.extend(getattr(each, field.name) for field in fields(each))
    return frozenset(names)


def hangs_on_arguments(node: Any) -> bool:
    """Whether a policy, or a part of one, looks at the arguments of the call."""
    return "arguments" in circumstances_of(node)


def without_arguments(node: pst.Template) -> pst.Template:
    """Return a permit that applies wherever the policy may apply under some arguments."""
    kept: list[pst.Clause] = []
    for clause in node.clauses:
        if isinstance(clause, pst.Unless):
            kept += [] if hangs_on_arguments(clause.expr) else [clause]
        else:
            parts = (each for each in _conjuncts(clause.expr) if not hangs_on_arguments(each))
            kept += [pst.When(each) for each in parts]
    return replace(node, effect="permit", clauses=tuple(kept))


def examine(node: pst.Template, request: CedarRequest) -> tuple[Condition, ...]:
    """Say of each condition of a policy whether it holds. Raises EvaluationFailed."""
    return tuple(Condition(text=part.text, holds=_holds(part.node, request)) for part in _parts(node))


def _holds(node: pst.Template, request: CedarRequest) -> bool | None:
    single = pst.PolicySet(templates={}, static_policies={node.id: node}, template_links=())
    evaluated = Evaluator(cedarpy.PolicySet.from_pst(single)).evaluate(request)
    return None if evaluated.broken else bool(evaluated.applied)


def _parts(node: pst.Template) -> Iterator[_Part]:
    free = replace(
        node,
        effect="permit",
        principal=pst.ScopeAny(),
        action=pst.ScopeAny(),
        resource=pst.ScopeAny(),
        clauses=(),
    )
    heads = (
        _Part(word_scope("principal", node.principal), replace(free, principal=node.principal)),
        _Part(word_scope("action", node.action), replace(free, action=node.action)),
        _Part(word_scope("resource", node.resource), replace(free, resource=node.resource)),
    )
    yield from (head for head in heads if head.text)
    for clause in node.clauses:
        if isinstance(clause, pst.Unless):
            yield _Part(f"unless {word_expression(clause.expr)}", replace(free, clauses=(clause,)))
        else:
            for each in _conjuncts(clause.expr):
                yield _Part(word_expression(each), replace(free, clauses=(pst.When(each),)))


def _conjuncts(expression: pst.Expr) -> Iterator[pst.Expr]:
    """Yield what must all hold; the left side first."""
    if isinstance(expression, pst.BinaryOp) and expression.op == "and":
        yield from _conjuncts(expression.left)
        yield from _conjuncts(expression.right)
    else:
        yield expression
