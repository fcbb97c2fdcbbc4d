"""Writes the policy that an answer "for ever" stands for. Pure."""

from runtime.core.gate.cedar_request import owner_of, principal_of
from runtime.core.gate.words import Question
from runtime.core.ids import ApprovalId


def write_policy_line(approval: ApprovalId, question: Question) -> str:
    """Return the policy that allows whoever asked this action on this resource from now on.

    Agents of one name exist with many owners: the policy holds for the one that asked.
    """
    acting, owner = principal_of(question), owner_of(question)
    lines = [
        f'@id("{policy_id(approval)}")',
        "permit (",
        f"  principal == {_name(acting)},",
        f'  action == Action::"{question.action}",',
        f"  resource == {_name((question.resource.kind, question.resource.id))}",
    ]
    lines += [");"] if acting == owner else [")", f"when {{ principal in {_name(owner)} }};"]
    return "\n".join(lines) + "\n"


def _name(entity: tuple[str, str]) -> str:
    return f"{entity[0]}::{quote_text(entity[1])}"


def policy_id(approval: ApprovalId) -> str:
    """Return the id of the policy that an approval writes."""
    return f"approved-{approval}"


def quote_text(text: str) -> str:
    """Return a text as a string of Cedar, whatever is in it."""
    words = []
    for each in text:
        if each in '"\\':
            words.append("\\" + each)
        elif each.isprintable():
            words.append(each)
        else:
            words.append(f"\\u{{{ord(each):x}}}")
    return f'"{"".join(words)}"'
