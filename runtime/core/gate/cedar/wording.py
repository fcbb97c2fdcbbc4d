"""Writes expressions of Cedar as a person would, since Cedar itself puts every part into parentheses."""

from cedarpy import pst

from runtime.core.gate.policy_lines import quote_text

_INFIX = {
    "eq": "==",
    "not_eq": "!=",
    "less": "<",
    "less_eq": "<=",
    "greater": ">",
    "greater_eq": ">=",
    "and": "&&",
    "or": "||",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "in": "in",
}
_METHODS = {
    "decimal_less_than": "lessThan",
    "decimal_less_eq": "lessThanOrEqual",
    "decimal_greater": "greaterThan",
    "decimal_greater_eq": "greaterThanOrEqual",
}
_FUNCTIONS = frozenset({"datetime", "decimal", "duration", "ip"})
_SIGNS = {"not": "!", "neg": "-"}
_CHAINS = frozenset({"and", "or"})


def word_expression(expression: pst.Expr) -> str:
    """Return an expression as Cedar text."""
    match expression:
        case pst.Var(name=name):
            return name
        case pst.Slot(name=name):
            return f"?{name}"
        case pst.BoolLit() | pst.LongLit() | pst.StringLit() | pst.EntityLit():
            return _literal(expression)
        case pst.UnaryOp():
            return _unary(expression)
        case pst.BinaryOp():
            return _binary(expression)
        case pst.GetAttr(base=base, attr=attribute):
            return f"{_part(base)}{_access(attribute)}"
        case pst.HasAttr(base=base, attrs=attributes):
            return f"{_part(base)} has {_path(attributes)}"
        case pst.Like(base=base, pattern=pattern):
            return f"{_part(base)} like {_pattern(pattern)}"
        case _:
            return _compound(expression)


def word_scope(variable: str, scope: pst.PrincipalOrResourceConstraint | pst.ActionConstraint) -> str:
    """Return what the head of a policy asks of principal, action or resource; empty: nothing."""
    match scope:
        case pst.ScopeAny():
            return ""
        case pst.ScopeEq(entity=entity) | pst.ActionEq(entity=entity):
            return f"{variable} == {_entity(entity)}"
        case pst.ScopeIn(entity=entity):
            return f"{variable} in {_entity(entity)}"
        case pst.ScopeIs(entity_type=kind):
            return f"{variable} is {kind}"
        case pst.ScopeIsIn(entity_type=kind, entity=entity):
            return f"{variable} is {kind} in {_entity(entity)}"
        case pst.ActionIn(entities=entities):
            return f"{variable} in [{', '.join(_entity(each) for each in entities)}]"


def _literal(literal: pst.Lit) -> str:
    match literal:
        case pst.BoolLit(value=value):
            return "true" if value else "false"
        case pst.LongLit(value=number):
            return str(number)
        case pst.StringLit(value=text):
            return quote_text(text)
        case pst.EntityLit(value=entity):
            return _entity(entity)


def _compound(expression: pst.Expr) -> str:
    match expression:
        case pst.Is(base=base, entity_type=kind, in_expr=inside):
            return f"{_part(base)} is {kind}" + (f" in {_part(inside)}" if inside is not None else "")
        case pst.IfThenElse(cond=condition, then_expr=then, else_expr=other):
            words = (word_expression(condition), word_expression(then), word_expression(other))
            return "if {} then {} else {}".format(*words)
        case pst.Set(elements=elements):
            return f"[{', '.join(word_expression(each) for each in elements)}]"
        case pst.Record(fields=fields):
            told = (f"{quote_text(name)}: {word_expression(value)}" for name, value in fields.items())
            return f"{{{', '.join(told)}}}"
        case _:
            raise AssertionError(f"{type(expression).__name__} is worded elsewhere")


def _unary(expression: pst.UnaryOp) -> str:
    if expression.op in _SIGNS:
        return f"{_SIGNS[expression.op]}{_part(expression.arg)}"
    if expression.op in _FUNCTIONS:
        return f"{expression.op}({word_expression(expression.arg)})"
    return f"{_part(expression.arg)}.{_method(expression.op)}()"


def _binary(expression: pst.BinaryOp) -> str:
    sign = _INFIX.get(expression.op)
    if sign is None:
        method = _METHODS.get(expression.op) or _method(expression.op)
        return f"{_part(expression.left)}.{method}({word_expression(expression.right)})"

    left = expression.left
    is_chain = expression.op in _CHAINS and isinstance(left, pst.BinaryOp) and left.op == expression.op
    first = word_expression(left) if is_chain else _operand(left, expression.op)
    return f"{first} {sign} {_operand(expression.right, expression.op)}"


def _operand(expression: pst.Expr, op: str) -> str:
    """Chains of `&&` and `||` need no parentheses around comparisons."""
    if op in _CHAINS and not isinstance(expression, pst.IfThenElse):
        is_chain = isinstance(expression, pst.BinaryOp) and expression.op in _CHAINS
        return f"({word_expression(expression)})" if is_chain else word_expression(expression)
    return _part(expression)


def _part(expression: pst.Expr) -> str:
    """Put parentheses around what would fall apart beside an operator or a dot."""
    is_infix = isinstance(expression, pst.BinaryOp) and expression.op in _INFIX
    is_signed = isinstance(expression, pst.UnaryOp) and expression.op in _SIGNS
    is_word = isinstance(expression, pst.HasAttr | pst.Like | pst.Is | pst.IfThenElse)
    is_negative = isinstance(expression, pst.LongLit) and expression.value < 0
    text = word_expression(expression)
    return f"({text})" if is_infix or is_signed or is_word or is_negative else text


def _entity(entity: pst.EntityOrSlot) -> str:
    if isinstance(entity, pst.Slot):
        return f"?{entity.name}"
    return f"{entity.type}::{quote_text(entity.id)}"


def _access(attribute: str) -> str:
    return f".{attribute}" if _is_plain(attribute) else f"[{quote_text(attribute)}]"


def _path(attributes: tuple[str, ...]) -> str:
    is_plain = all(_is_plain(each) for each in attributes)
    return ".".join(attributes) if is_plain else quote_text(attributes[0])


def _is_plain(name: str) -> bool:
    return name.isascii() and name.isidentifier()


def _method(op: str) -> str:
    first, *rest = op.split("_")
    return first + "".join(each.capitalize() for each in rest)


def _pattern(pattern: tuple[pst.PatternElem, ...]) -> str:
    words = []
    for each in pattern:
        if isinstance(each, pst.Wildcard):
            words.append("*")
        else:
            words.append("\\*" if each.value == "*" else quote_text(each.value)[1:-1])
    return f'"{"".join(words)}"'
