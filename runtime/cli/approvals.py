"""`lar approvals`: what waits for a person, and the answers. All texts of a question are foreign."""

import argparse
import time
from typing import Any
from urllib.parse import quote

import msgspec

from runtime.api.client import LarClient
from runtime.cli.calls import call_server
from runtime.cli.output import notice, say, say_json, say_table
from runtime.cli.place import find_place, require_server
from runtime.cli.recall_calls import clean, day, one_line
from runtime.core.gate.words import Answer, Approval

_WIDTH = 50


class _Listed(msgspec.Struct):
    approvals: list[Approval]


def list_approvals(chosen: argparse.Namespace) -> int:
    """Print the questions, the newest first."""
    query = f"?status={chosen.status}" if chosen.status else ""
    found = _ask("GET", f"/api/approvals{query}", _Listed).approvals
    if chosen.json:
        say_json(found)
    elif found:
        rows = [[each.id, each.status, _left(each), clean(each.principal), _deed(each)] for each in found]
        say_table(("ID", "STATUS", "UNTIL", "WHO", "WHAT"), rows)
    else:
        notice("Nothing waits for an answer." if chosen.status == "pending" else "There are none.")
    return 0


def show_approval(chosen: argparse.Namespace) -> int:
    """Print all of one question."""
    approval = _ask("GET", _path(chosen.approval), Approval)
    if chosen.json:
        say_json(approval)
        return 0

    say(f"{approval.id}: {approval.status}")
    say(f"{clean(approval.principal)} wants to {approval.action} {clean(approval.resource.id)}")
    say(clean(approval.reason))
    say(f"asked {day(approval.created_at)} by way of {approval.door}, waits until {day(approval.expires_at)}")
    if approval.arguments:
        say("arguments:")
        text = msgspec.json.format(msgspec.json.encode(approval.arguments), indent=2).decode()
        say(clean(text))
    if approval.answered_at is not None:
        by = f" by {approval.answered_by} for the scope '{approval.scope}'" if approval.answered_by else ""
        say(f"{approval.status} {day(approval.answered_at)}{by} {clean(approval.note)}".rstrip())
    else:
        say(f"possible scopes: {', '.join(approval.scopes)}")
        say("'forever' writes this policy:")
        say(clean(approval.policy_line).rstrip())
    return 0


def approve(chosen: argparse.Namespace) -> int:
    """Say yes."""
    return _answer(chosen, is_approved=True)


def deny(chosen: argparse.Namespace) -> int:
    """Say no."""
    return _answer(chosen, is_approved=False)


def _answer(chosen: argparse.Namespace, *, is_approved: bool) -> int:
    answer = Answer(is_approved=is_approved, scope=chosen.scope, note=chosen.note)
    approval = _ask("POST", f"{_path(chosen.approval)}/answer", Approval, answer)
    if chosen.json:
        say_json(approval)
        return 0

    notice(f"{approval.id} is {approval.status} for the scope '{approval.scope}': {_deed(approval)}")
    if approval.status == "approved" and approval.scope == "forever":
        say(clean(approval.policy_line).rstrip())
        notice("This policy is in policies/approved.cedar now; take it out to be asked again.")
    return 0


def _ask(method: str, path: str, answer: type[Any], body: object = None) -> Any:
    """Ask the running server. Raises CommandFailed."""
    more: dict[str, Any] = {}
    if body is not None:
        more = {"data": msgspec.json.encode(body), "headers": {"Content-Type": "application/json"}}

    async def ask(client: LarClient) -> Any:
        return await client.ask(method, path, answer, **more)

    return call_server(require_server(find_place()), ask)


def _path(approval: str) -> str:
    return f"/api/approvals/{quote(approval, safe='')}"


def _deed(approval: Approval) -> str:
    told = f"{approval.action} {approval.resource.id}"
    if approval.arguments:
        told += f" {msgspec.json.encode(approval.arguments).decode()}"
    return one_line(told, _WIDTH)


def _left(approval: Approval) -> str:
    """Say how long a question waits yet, or when it was over."""
    if approval.status != "pending":
        return day(approval.answered_at)
    left_s = max(0.0, approval.expires_at - time.time())
    return f"{left_s / 60:.0f} min"
