"""Which facts of tools, links and the gate deserve a look from every screen. Pure; `tui.view` is the door."""

from runtime.core.tool_facts import (
    ApprovalAsked,
    LinkChanged,
    PolicyRefused,
    QuestionAsked,
    ReachFact,
)
from tui.state import ViewState
from tui.toasts import with_toast

_TOGETHER_S = 5.0
"""Questions that come so close after another share its toast: the status row has their number."""


def apply_reach(view: ViewState, fact: ReachFact, at: float) -> ViewState:
    """Return the view with what the person is told of a fact."""
    match fact:
        case ApprovalAsked():
            return _ask(view, f"You are asked: {fact.action} {fact.resource}", at)
        case QuestionAsked():
            return _ask(view, f"{fact.server} asks you something", at)
        case LinkChanged() if fact.changed:
            names = ", ".join(fact.changed)
            return with_toast(view, "warn", f"{fact.server}: changed, out of use: {names}", at, "tools")
        case PolicyRefused():
            return with_toast(view, "bad", f"Policies refused, the former ones stay: {fact.message}", at)
        case _:
            return view


def _ask(view: ViewState, text: str, at: float) -> ViewState:
    last = next((each for each in reversed(view.toasts) if each.about == "approvals"), None)
    if last is not None and 0 <= at - last.at < _TOGETHER_S:
        return view
    return with_toast(view, "warn", text, at, "approvals")
