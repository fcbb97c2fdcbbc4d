"""`lar policy explain`: what would be decided about a question, by which policy, and why."""

import argparse
import time

import msgspec

from runtime.api.client import LarClient
from runtime.cli.calls import call_server
from runtime.cli.output import EXIT_USAGE, CommandFailed, say, say_json
from runtime.cli.place import find_place
from runtime.cli.policy_place import read_set
from runtime.core.gate.policy_words import Considered, Explanation
from runtime.core.gate.question_form import QuestionForm, read_question, read_time
from runtime.instance import Instance, find_instance

_SIGNS = {True: "✔", False: "✖", None: "-"}


def explain(chosen: argparse.Namespace) -> int:
    """Ask the running server; without one, or with --policies, the files."""
    form = QuestionForm(
        action=chosen.action,
        resource=chosen.resource,
        kind=chosen.kind,
        attributes=dict(chosen.attribute),
        arguments=chosen.arguments,
        principal=chosen.principal,
        role=chosen.role,
        tenant=chosen.tenant,
        agent=chosen.agent,
        door=chosen.door,
        session=chosen.session,
        at=None if chosen.at is None else chosen.at.timestamp(),
    )
    server = None if chosen.policies is not None else find_instance(find_place().home)
    explained = _by_files(form, chosen.policies) if server is None else _by_server(form, server)
    if chosen.json:
        say_json(explained)
    else:
        _show(explained, has_all=chosen.all)
    return 0


def _by_server(form: QuestionForm, server: Instance) -> Explanation:
    async def ask(client: LarClient) -> Explanation:
        return await client.ask(
            "POST",
            "/api/policies/explain",
            Explanation,
            data=msgspec.json.encode(form),
            headers={"Content-Type": "application/json"},
        )

    return call_server(server, ask)


def _by_files(form: QuestionForm, place: str | None) -> Explanation:
    at = read_time(form)
    try:
        return read_set(place).explain(read_question(form), time.time() if at is None else at)
    except (ValueError, OverflowError) as problem:
        raise CommandFailed(f"This question cannot be explained: {problem}.", EXIT_USAGE) from problem


def _show(explained: Explanation, *, has_all: bool) -> None:
    by = f" by {', '.join(explained.policies)}" if explained.policies else ": no policy applies"
    say(f"{explained.outcome}{by}")
    say(explained.reason)
    for each in explained.considered:
        if has_all or each.applies or _is_near(each):
            say()
            _show_policy(each)


def _is_near(considered: Considered) -> bool:
    """Whether a policy is about this action, so that a reader may have expected it to speak."""
    heads = [each.holds for each in considered.conditions if each.text.startswith("action ")]
    return all(heads)


def _show_policy(considered: Considered) -> None:
    rule = considered.rule
    effect = "ask" if rule.is_ask else rule.effect
    verdict = "decides" if considered.decides else "applies" if considered.applies else "does not apply"
    say(f"{rule.id} ({effect}, {rule.place}) {verdict}")
    for each in considered.conditions:
        say(f"  {_SIGNS[each.holds]} {each.text}")
