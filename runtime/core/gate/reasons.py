"""What whoever asked is told of a decision: a person or a model, with the way out. Pure."""

from runtime.core.gate.deciding import Decided
from runtime.core.gate.words import Action, Approval, Question

_DONE: dict[Action, str] = {
    "call_tool": "call the tool",
    "generate": "use the model",
    "recall_read": "read the collection",
    "recall_write": "change the collection",
    "install": "install",
    "connect": "reach",
}


def deed_of(question: Question) -> str:
    """Say in words what is asked."""
    return f"{_DONE[question.action]} '{question.resource.id}'"


def reason_of(question: Question, decided: Decided) -> str:
    """Return the reason that the deciding policies give, else one of their kind."""
    names = ", ".join(f"'{rule.id}'" for rule in decided.rules)
    given = " ".join(dict.fromkeys(rule.reason for rule in decided.rules if rule.reason))
    if decided.outcome == "allow":
        return given or f"Allowed by the policy {names}."
    if decided.outcome == "ask":
        return given or f"The policy {names} wants a person to agree before anybody may {deed_of(question)}."
    if not decided.rules:
        return (
            f"No policy allows this caller to {deed_of(question)}. "
            "Its owner can add one: 'lar policy explain' shows what each policy wants."
        )

    return given or f"The policy {names} forbids to {deed_of(question)}. Do not try it again another way."


def reason_asked(approval: Approval) -> str:
    """Return what is told while a person has not answered."""
    return (
        f"{approval.reason} A person has been asked (approval {approval.id}) and has not answered yet. "
        "Go on without it, or try the same again later."
    )


def reason_answered(approval: Approval) -> str:
    """Return what an answered approval means for whoever asked."""
    note = f" They say: {approval.note}" if approval.note else ""
    match approval.status:
        case "approved":
            return f"A person agreed (approval {approval.id}).{note}"
        case "denied":
            return f"A person said no (approval {approval.id}).{note} Do not try it again another way."
        case "expired":
            return f"Nobody answered in time (approval {approval.id}), which counts as no."
        case "cancelled":
            return f"The question to a person was taken back (approval {approval.id})."
        case "pending":
            return reason_asked(approval)
