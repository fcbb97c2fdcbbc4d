"""Facts of tools, links and the gate as one line for the events screen. Pure."""

from runtime.core.tool_facts import (
    ApprovalAnswered,
    ApprovalAsked,
    GateDecided,
    LinkChanged,
    LinkClosed,
    LinkLost,
    LinkOpened,
    PolicyLoaded,
    PolicyRefused,
    QuestionAnswered,
    QuestionAsked,
    ToolFact,
    ToolFailed,
    ToolFinished,
    ToolProgressed,
    ToolRequested,
    ToolStarted,
)
from tui.state import Level
from tui.told import Told
from tui.words import span, tally

_LEVELS: dict[str, Level] = {"allow": "info", "ask": "warn", "deny": "bad"}


def tell_reach(fact: ToolFact) -> Told:
    """Return what the row says."""
    match fact:
        case ToolRequested() | ToolStarted() | ToolProgressed() | ToolFinished() | ToolFailed():
            return _tool(fact)
        case GateDecided():
            rules = f" by {', '.join(fact.policies)}" if fact.policies else ""
            return Told(
                fact.resource,
                f"{fact.outcome} {fact.action} for {fact.principal}{rules}",
                _LEVELS[fact.outcome],
            )
        case ApprovalAsked():
            return Told(fact.approval, f"somebody must decide: {fact.action} {fact.resource}", "warn")
        case ApprovalAnswered():
            by = f" by {fact.by}" if fact.by else ""
            return Told(fact.approval, f"{fact.status}{by}", "good" if fact.status == "approved" else "warn")
        case QuestionAsked():
            return Told(fact.question, f"{fact.server} asks you something", "warn")
        case QuestionAnswered():
            return Told(fact.question, f"{fact.server}: {fact.action}")
        case LinkOpened() | LinkLost() | LinkClosed() | LinkChanged():
            return _link(fact)
        case PolicyLoaded():
            return Told("policies", f"{fact.policies} decide from now on", "good")
        case PolicyRefused():
            return Told("policies", f"refused, the former ones stay: {fact.message}", "bad")


def _tool(fact: ToolRequested | ToolStarted | ToolProgressed | ToolFinished | ToolFailed) -> Told:
    match fact:
        case ToolRequested():
            return Told(fact.call, f"{fact.server}: {fact.tool} for {fact.principal}")
        case ToolStarted():
            return Told(fact.call, "was sent")
        case ToolProgressed():
            of = "" if fact.total is None else f" of {fact.total:g}"
            return Told(fact.call, f"{fact.done:g}{of} {fact.message}", fold=f"tool {fact.call}")
        case ToolFinished():
            end = "an error" if fact.is_error else "done"
            text = f"{end} in {span(fact.took_s)}, {tally(fact.result_bytes)} bytes"
            return Told(fact.call, text, "warn" if fact.is_error else "good")
        case ToolFailed() if fact.code == "asked":
            return Told(fact.call, "waits for a person", "warn")
        case ToolFailed():
            return Told(fact.call, f"{fact.code}: {fact.message}", "bad")


def _link(fact: LinkOpened | LinkLost | LinkClosed | LinkChanged) -> Told:
    match fact:
        case LinkOpened():
            return Told(
                fact.server, f"connected, {tally(fact.tools)} tools, protocol {fact.protocol}", "good"
            )
        case LinkLost():
            return Told(fact.server, f"lost: {fact.message}", "bad")
        case LinkClosed():
            return Told(fact.server, "closed")
        case LinkChanged():
            changed = f", changed: {', '.join(fact.changed)}" if fact.changed else ""
            return Told(
                fact.server,
                f"{fact.added} tools new, {fact.removed} gone{changed}",
                "warn" if changed else "info",
            )
