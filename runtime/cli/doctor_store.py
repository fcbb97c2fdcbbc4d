"""`lar doctor` over the server's own database: checks it, copies it, puts back a copy, moves it aside."""

import argparse
from pathlib import Path

import msgspec

from runtime.api.client import LarClient
from runtime.app import DATABASE_FILE
from runtime.backends.diagnose import Check
from runtime.cli.calls import call_server
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
from runtime.cli.place import Place, require_server
from runtime.cli.recall_calls import clean, confirm, day, size
from runtime.core.errors import StoreUnavailable
from runtime.core.recall import Finding, StoredSnapshot
from runtime.instance import Instance, find_instance
from runtime.rescue import (
    check_server_store,
    list_server_copies,
    restore_server_store,
    set_server_store_aside,
)

_LATEST = "latest"
_LONG_S = 600.0
"""Reading a store of many gigabytes takes minutes."""


class Told(msgspec.Struct, frozen=True):
    """What a server's doctor says."""

    is_well: bool
    findings: list[Finding]


def is_asked(chosen: argparse.Namespace) -> bool:
    """Tell whether an option concerns the database alone."""
    return bool(
        chosen.repair or chosen.snapshot or chosen.snapshots or chosen.restore is not None or chosen.set_aside
    )


def attend(chosen: argparse.Namespace, place: Place) -> int:
    """Repair, copy, list copies, restore or set aside, as the option says."""
    if chosen.repair:
        return _repair(chosen, place)
    if chosen.snapshot:
        return _copy(chosen, place)
    if chosen.snapshots:
        return _list(chosen, place)
    if chosen.set_aside:
        return _set_aside(chosen, place)
    return _restore(chosen, place)


def check_store(place: Place, own: Instance | None) -> list[Check]:
    """Read all of the database, through the server where one runs, and say what is wrong."""
    try:
        findings = check_server_store(place.home) if own is None else _ask(own, is_repairing=False).findings
    except StoreUnavailable as problem:
        return [Check(name="store", verdict="fail", finding=str(problem), fix="lar stop")]
    except CommandFailed as problem:
        fix = "ask with a key that may operate (LAR_API_KEY), or stop the server first"
        return [Check(name="store", verdict="warn", finding=f"it was not checked: {problem}", fix=fix)]
    if not findings:
        is_there = own is not None or (place.home / DATABASE_FILE).exists()
        finding = (
            "runs, conversations and facts were read, and fit together" if is_there else "none is made yet"
        )
        return [Check(name="store", verdict="ok", finding=finding)]
    return [
        Check(
            name="store",
            verdict="fail" if each.severity == "damage" else "warn",
            finding=f"{clean(each.where)}: {clean(each.message)}",
            fix=each.fix if each.severity == "damage" else f"lar doctor --repair: {each.fix}",
        )
        for each in findings
    ]


def _ask(server: Instance, *, is_repairing: bool) -> Told:
    async def over(client: LarClient) -> Told:
        body = {"repair": is_repairing}
        return await client.ask("POST", "/api/store/doctor", Told, limit_s=_LONG_S, json=body)

    return call_server(server, over)


def _repair(chosen: argparse.Namespace, place: Place) -> int:
    told = _ask(require_server(place), is_repairing=True)
    if chosen.json:
        say_json(told)
        return EXIT_OK if told.is_well else EXIT_FAILED

    for each in told.findings:
        say(f"{'✔' if each.is_repaired else '✖'} {clean(each.where)}: {clean(each.message)}")
        say(f"  → {clean(each.fix)}")
    if not told.findings:
        say("✔ Everything that is stored was read, and fits together.")
    return EXIT_OK if told.is_well else EXIT_FAILED


def _copy(chosen: argparse.Namespace, place: Place) -> int:
    async def over(client: LarClient) -> StoredSnapshot:
        return await client.ask("POST", "/api/store/snapshots", StoredSnapshot, limit_s=_LONG_S)

    taken = call_server(require_server(place), over)
    if chosen.json:
        say_json(taken)
    else:
        say(f"{taken.name}  {size(taken.size_bytes)}")
    return EXIT_OK


def _list(chosen: argparse.Namespace, place: Place) -> int:
    found = list_server_copies(place.home)
    if chosen.json:
        say_json(found)
    elif found:
        say_table(("SNAPSHOT", "MADE", "SIZE", ""), [_row(each) for each in found])
    else:
        notice("There are no copies of lar.duckdb. 'lar doctor --snapshot' makes one.")
    return EXIT_OK


def _row(snapshot: StoredSnapshot) -> list[str]:
    why = "" if snapshot.schema is None else f"before schema {snapshot.schema} was left"
    return [snapshot.name, day(snapshot.at), size(snapshot.size_bytes), why]


def _restore(chosen: argparse.Namespace, place: Place) -> int:
    _require_stopped(place)
    known = list_server_copies(place.home)
    found = [each for each in known if chosen.restore in (each.name, Path(each.name).stem)]
    if chosen.restore == _LATEST:
        found = known[:1]
    if not found:
        message = f"There is no copy '{chosen.restore}'. 'lar doctor --snapshots' lists them."
        raise CommandFailed(message, EXIT_USAGE)

    made = day(found[0].at)
    question = f"Put back runs, conversations and facts of {made}? What is there now is kept aside."
    confirm(question, is_agreed=chosen.yes)
    aside = restore_server_store(place.home, found[0].name)
    if chosen.json:
        say_json({"restored": found[0], "aside": None if aside is None else str(aside)})
        return EXIT_OK

    say(f"✔ Runs, conversations and facts are as they were on {made}.")
    if aside is not None:
        say(f"What was there lies in {aside}.")
    return EXIT_OK


def _set_aside(chosen: argparse.Namespace, place: Place) -> int:
    _require_stopped(place)
    question = "Begin anew without runs, conversations and facts? What is there now is kept aside."
    confirm(question, is_agreed=chosen.yes)
    aside = set_server_store_aside(place.home)
    if chosen.json:
        say_json({"aside": None if aside is None else str(aside)})
    elif aside is None:
        say("✔ There was nothing to set aside.")
    else:
        say(f"✔ What was there lies in {aside}. The next start begins anew.")
    return EXIT_OK


def _require_stopped(place: Place) -> None:
    instance = find_instance(place.home)
    if instance is not None:
        raise CommandFailed(
            f"The server runs ({instance.address}) and has the database open. 'lar stop' first.", EXIT_FAILED
        )
