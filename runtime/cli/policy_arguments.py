"""What can be typed after `lar policy` and `lar approvals`: every command with its options and an example."""

import argparse
import json
from datetime import datetime
from typing import Any, get_args

from runtime.cli.arguments import add_command, with_json
from runtime.cli.recall_words import interval
from runtime.core.gate.principals import Role
from runtime.core.gate.words import Action, ApprovalStatus, ResourceKind, Scope

_FOLDER = "a folder or file of policies in place of those in $LAR_HOME/policies"
_APPROVAL = "its id, as 'lar approvals list' shows it"


def add_policy_commands(commands: Any) -> None:
    """Declare `lar policy` and `lar approvals` with all their actions."""
    text = "see, check and try the policies that say who may do what"
    policy = add_command(commands, "policy", "policy", "list_policies", text, "lar policy list")
    policy.set_defaults(json=False, policies=None)
    actions = policy.add_subparsers(title="actions", metavar="ACTION")
    _add_looking(actions)
    _add_explain(actions)
    _add_trying(actions)
    _add_approvals(commands)


def _add_looking(actions: Any) -> None:
    text = "list the policies that decide"
    with_json(add_command(actions, "list", "policy", "list_policies", text, "lar policy list"))

    text = "look for mistakes; each is told with its file and line"
    check = add_command(actions, "check", "policy", "check_policies", text, "lar policy check new.cedar")
    check.add_argument("policies", nargs="?", metavar="PLACE", help=_FOLDER)
    with_json(check)


def _add_explain(actions: Any) -> None:
    text = "say what would be decided, by which policy, and why"
    example = (
        """lar policy explain call_tool mcp__files__write --agent coder --arguments '{"path": "/etc"}'"""
    )
    explain = add_command(actions, "explain", "policy_explain", "explain", text, example)
    explain.add_argument("action", choices=get_args(Action), metavar="ACTION", help=_list(get_args(Action)))
    explain.add_argument("resource", help="a tool (mcp__server__tool), a model, a collection, host:port, …")
    explain.add_argument("--kind", choices=get_args(ResourceKind), help="of the resource")
    explain.add_argument("--principal", default="owner", help="the id of a key (default: owner)")
    explain.add_argument(
        "--role", choices=get_args(Role), help="(default: operator for the owner, else user)"
    )
    explain.add_argument("--tenant", default="local", help="(default: local)")
    explain.add_argument("--agent", help="the agent that acts for the principal")
    explain.add_argument("--door", default="api", choices=("api", "mcp", "agent", "console"))
    explain.add_argument("--session", help="the session that it belongs to")
    explain.add_argument("--arguments", type=_arguments, default={}, metavar="JSON", help="of the call")
    explain.add_argument(
        "--attribute",
        action="append",
        type=_attribute,
        default=[],
        metavar="NAME=VALUE",
        help="of the resource, such as is_read_only=true; a tool is taken as approved",
    )
    explain.add_argument("--at", type=_moment, metavar="TIME", help="2026-11-22T10:00 (default: now)")
    explain.add_argument("--policies", metavar="PLACE", help=f"{_FOLDER}; no server is asked then")
    explain.add_argument("--all", action="store_true", help="also show the policies that do not apply")
    with_json(explain)


def _add_trying(actions: Any) -> None:
    text = "hold a table of cases (TOML or YAML) against the policies; exit code 1 where one is not met"
    test = add_command(actions, "test", "policy_try", "try_cases", text, "lar policy test cases.toml")
    test.add_argument("cases", help="the file with the cases, as docs/guides/policies.md shows one")
    test.add_argument("--policies", metavar="PLACE", help=_FOLDER)
    with_json(test)

    text = "decide what the running server has decided again, and show what would be different"
    replay = add_command(
        actions, "replay", "policy_try", "replay_decisions", text, "lar policy replay new.cedar --last 1d"
    )
    replay.add_argument("policies", nargs="?", metavar="PLACE", help=_FOLDER)
    replay.add_argument(
        "--last",
        type=interval,
        default=86400.0,
        metavar="INTERVAL",
        help="how far back: 6h, 7d (default: 1d)",
    )
    with_json(replay)


def _add_approvals(commands: Any) -> None:
    text = "see and answer what waits for a person"
    approvals = add_command(commands, "approvals", "approvals", "list_approvals", text, "lar approvals list")
    approvals.set_defaults(json=False, status="pending")
    actions = approvals.add_subparsers(title="actions", metavar="ACTION")
    text = "list what waits for an answer"
    listing = add_command(actions, "list", "approvals", "list_approvals", text, "lar approvals list --all")
    listing.add_argument(
        "--all",
        action="store_const",
        const=None,
        dest="status",
        default=argparse.SUPPRESS,
        help="also what is over",
    )
    listing.add_argument(
        "--status", choices=get_args(ApprovalStatus), default="pending", help="only these (default: pending)"
    )
    with_json(listing)

    text = "show one question with its arguments, and the policy that 'forever' would write"
    show = add_command(actions, "show", "approvals", "show_approval", text, "lar approvals show apr_…")
    show.add_argument("approval", help=_APPROVAL)
    with_json(show)

    text = "say yes"
    approve = add_command(
        actions, "approve", "approvals", "approve", text, "lar approvals approve apr_… --scope session"
    )
    _add_answer(approve, get_args(Scope))
    text = "say no"
    deny = add_command(
        actions, "deny", "approvals", "deny", text, "lar approvals deny apr_… --note 'not today'"
    )
    _add_answer(deny, tuple(each for each in get_args(Scope) if each != "forever"))


def _add_answer(command: argparse.ArgumentParser, scopes: tuple[str, ...]) -> None:
    command.add_argument("approval", help=_APPROVAL)
    command.add_argument(
        "--scope",
        choices=scopes,
        default="call",
        help="how far it reaches: this call, the same arguments for an hour, this tool until the server "
        "stops, this session"
        + (", for ever by a policy" if "forever" in scopes else "")
        + " (default: call)",
    )
    command.add_argument("--note", default="", help="what whoever asked is told")
    with_json(command)


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(words)


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"'{text}' is no JSON ({problem})") from problem
    if not isinstance(arguments, dict):
        raise argparse.ArgumentTypeError('arguments are a JSON object, such as {"path": "/etc"}')
    return arguments


def _attribute(text: str) -> tuple[str, str | bool | int]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is no NAME=VALUE")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    is_number = value.isascii() and value.isdecimal() and len(value) < 19
    return name, int(value) if is_number else value


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"'{text}' is no time; write 2026-11-22T10:00") from problem
