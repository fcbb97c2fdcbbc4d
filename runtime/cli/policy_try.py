"""`lar policy test` and `replay`: policies against a table of cases, and against what was decided before."""

import argparse
import time
import tomllib
from pathlib import Path
from typing import Any

import yaml

from runtime.api.client import LarClient
from runtime.cli.calls import call_server
from runtime.cli.output import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandFailed, notice, say, say_json
from runtime.cli.place import find_place, require_server
from runtime.cli.policy_place import read_set
from runtime.cli.recall_calls import counted, day, one_line
from runtime.core.errors import RequestInvalid
from runtime.core.gate.cases import read_cases, run_cases
from runtime.core.gate.policy_words import Changed, PastDecision, Replayed
from runtime.core.gate.replay import read_decision, replay

_WIDTH = 60


def try_cases(chosen: argparse.Namespace) -> int:
    """Print every case with what came of it; exit code 1 where one is not met."""
    policies = read_set(chosen.policies)
    try:
        cases = read_cases(_read_table(Path(chosen.cases)))
    except RequestInvalid as problem:
        raise CommandFailed(f"{chosen.cases}: {problem.fault.message}", EXIT_USAGE) from problem

    results = run_cases(policies, cases, time.time())
    missed = [each for each in results if not each.is_met]
    if chosen.json:
        say_json({"met": len(results) - len(missed), "missed": len(missed), "cases": results})
    else:
        for each in results:
            got = each.got if each.is_met else f"{each.got}, but expected {each.expected}"
            say(f"{'✔' if each.is_met else '✖'} {each.name}: {got}")
    notice(f"{len(results) - len(missed)} of {counted(len(results), 'case')} met")
    return EXIT_FAILED if missed else EXIT_OK


def replay_decisions(chosen: argparse.Namespace) -> int:
    """Print which decisions of the running server would be others under the policies of a place."""
    policies = read_set(chosen.policies)
    since = time.time() - chosen.last

    async def read(client: LarClient) -> list[PastDecision]:
        past = []
        async for envelope in client.events(after=0, kinds=["gate.decided"], follow=False):
            decision = read_decision(envelope) if envelope.at >= since else None
            if decision is not None:
                past.append(decision)
        return past

    replayed = replay(policies, call_server(require_server(find_place()), read))
    if chosen.json:
        say_json(replayed)
    else:
        _show(replayed)
    return 0


def _show(replayed: Replayed) -> None:
    for each in replayed.changed:
        say(_line(each))
    changed, undetermined = len(replayed.changed), len(replayed.undetermined)
    decided = replayed.same + changed + undetermined
    notice(f"{counted(decided, 'decision')}: {changed} would be different, {replayed.same} the same")
    if undetermined:
        notice(
            f"{undetermined} cannot be told: they hang on the arguments of the call, which no event carries."
        )


def _line(changed: Changed) -> str:
    past = changed.past
    question = past.question
    who = question.agent or question.principal.id
    what = one_line(f"{who} {question.action} {question.resource.id}", _WIDTH)
    by = f" by {', '.join(changed.policies)}" if changed.policies else ""
    return f"{past.seq}  {day(past.at)}  {what}: {past.outcome} → {changed.outcome}{by}"


def _read_table(path: Path) -> Any:
    """Return what the file holds. Raises CommandFailed."""
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except FileNotFoundError as problem:
        raise CommandFailed(
            f"There is no file {path} with cases. docs/guides/policies.md shows what one looks like.",
            EXIT_USAGE,
        ) from problem
    except OSError as problem:
        raise CommandFailed(f"{path} cannot be read: {problem.strerror}.", EXIT_USAGE) from problem
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as problem:
        raise CommandFailed(f"{path} cannot be read: {problem}", EXIT_USAGE) from problem
