"""`lar recall doctor`: checks the store of the running server; puts back copies while it is stopped."""

import argparse
from pathlib import Path

from runtime.cli.output import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    CommandFailed,
    notice,
    say,
    say_json,
    say_table,
)
from runtime.cli.place import Place, find_place
from runtime.cli.recall_calls import clean, confirm, day, size, with_recall
from runtime.core.recall import Finding, StoredSnapshot
from runtime.instance import find_instance
from runtime.rescue import compact_store, list_copies, restore_store

_SIGNS = {"damage": "✖", "inconsistency": "!", "waste": "·"}
_LATEST = "latest"


def doctor(chosen: argparse.Namespace) -> int:
    """Check, copy, list copies, restore or compact."""
    place = find_place()
    if chosen.restore is not None:
        return _restore(chosen, place)

    if chosen.compact:
        return _compact(chosen, place)

    if chosen.snapshots:
        return _list(chosen, place)

    if chosen.snapshot:
        taken = with_recall(lambda recall: recall.care.take_snapshot())
        if chosen.json:
            say_json(taken)
        else:
            say(f"{taken.name}  {size(taken.size_bytes)}")
        return EXIT_OK

    return _check(chosen)


def _check(chosen: argparse.Namespace) -> int:
    findings = with_recall(lambda recall: recall.care.check(is_repairing=chosen.repair))
    open_ones = [each for each in findings if not each.is_repaired and each.severity != "waste"]
    if chosen.json:
        say_json({"is_well": not open_ones, "findings": findings})
        return EXIT_FAILED if open_ones else EXIT_OK

    for finding in findings:
        _show(finding)
    if not findings:
        say("✔ Everything that is stored was read, and fits together.")
    elif open_ones and not chosen.repair:
        notice("'lar recall doctor --repair' mends what is derived.")
    return EXIT_FAILED if open_ones else EXIT_OK


def _show(finding: Finding) -> None:
    sign = "✔" if finding.is_repaired else _SIGNS[finding.severity]
    say(f"{sign} {clean(finding.where)}: {clean(finding.message)}")
    say(f"  → {clean(finding.fix)}")


def _list(chosen: argparse.Namespace, place: Place) -> int:
    """List the copies on disk; no server is needed for it."""
    found = list_copies(place.home)
    if chosen.json:
        say_json(found)
    elif found:
        say_table(("SNAPSHOT", "MADE", "SIZE", ""), [_row(each) for each in found])
    else:
        notice(
            "There are no snapshots. 'lar recall doctor --snapshot' makes one; recall.snapshots keeps some."
        )
    return EXIT_OK


def _row(snapshot: StoredSnapshot) -> list[str]:
    why = "" if snapshot.schema is None else f"before schema {snapshot.schema} was left"
    return [snapshot.name, day(snapshot.at), size(snapshot.size_bytes), why]


def _restore(chosen: argparse.Namespace, place: Place) -> int:
    _require_stopped(place)
    known = list_copies(place.home)
    found = [each for each in known if chosen.restore in (each.name, Path(each.name).stem)]
    if chosen.restore == _LATEST:
        found = known[:1]
    if not found:
        raise CommandFailed(
            f"There is no snapshot '{chosen.restore}'. 'lar recall doctor --snapshots' lists them.",
            EXIT_USAGE,
        )

    made = day(found[0].at)
    question = f"Put back what was known on {made}? What is there now is kept aside, not deleted."
    confirm(question, is_agreed=chosen.yes)
    aside = restore_store(place.home, found[0].name)
    if chosen.json:
        say_json({"restored": found[0], "aside": None if aside is None else str(aside)})
        return EXIT_OK

    say(f"✔ Everything is as it was on {made}. The indexes are made anew at the next start.")
    if aside is not None:
        say(f"What was there lies in {aside}.")
    return EXIT_OK


def _compact(chosen: argparse.Namespace, place: Place) -> int:
    _require_stopped(place)
    won = compact_store(place.home)
    if chosen.json:
        say_json({"before_bytes": won.before_bytes, "after_bytes": won.after_bytes})
    else:
        say(f"✔ {size(won.before_bytes)} became {size(won.after_bytes)}.")
    return EXIT_OK


def _require_stopped(place: Place) -> None:
    instance = find_instance(place.home)
    if instance is not None:
        raise CommandFailed(
            f"The server runs ({instance.address}) and has the store open. 'lar stop' first.", EXIT_FAILED
        )
