"""`lar doctor`: what this machine has, what is missing, and how to mend it."""

import argparse

import anyio

from runtime.backends.diagnose import Check, collect_facts, diagnose
from runtime.backends.sandbox.bubblewrap import find_confining
from runtime.cli.doctor_store import attend, check_store, is_asked
from runtime.cli.output import EXIT_FAILED, say, say_json
from runtime.cli.place import Place, find_place
from runtime.instance import find_instance
from runtime.mcp.config import read_entries
from runtime.mcp.sandbox import find_confinement
from runtime.recall.seclusion import find_obstacle

_SIGNS = {"ok": "✔", "warn": "!", "fail": "✖"}


def examine(chosen: argparse.Namespace) -> int:
    """Print every check; exit code 1 when one fails. With an option, look after the database alone."""
    place = find_place()
    if is_asked(chosen):
        return attend(chosen, place)

    own = find_instance(place.home)
    server = place.settings.server
    facts = anyio.run(collect_facts, place.home, server.port, server.host)
    checks = [each for each in diagnose(facts) if not (own and each.name == "port")]
    checks += [_check_sandbox(), _check_programs(), _check_readers(), *_check_servers(place)]
    checks += check_store(place, own)
    if own is not None:
        checks.append(Check(name="server", verdict="ok", finding=f"answers at {own.address}", fix=""))
    if chosen.json:
        say_json(checks)
    else:
        _show(checks)
    return EXIT_FAILED if any(each.verdict == "fail" for each in checks) else 0


def _check_sandbox() -> Check:
    confinement = find_confinement()
    if confinement.program is not None:
        return Check(name="sandbox", verdict="ok", finding="local MCP servers run under bubblewrap", fix="")
    return Check(
        name="sandbox",
        verdict="warn",
        finding=f"local MCP servers are not confined: {confinement.reason}",
        fix="until then add only servers that you would run yourself",
    )


def _check_programs() -> Check:
    confining = find_confining()
    if confining.program is not None:
        finding = "programs that models write run in a sandbox (code_interpreter)"
        return Check(name="programs", verdict="ok", finding=finding, fix="")
    return Check(
        name="programs",
        verdict="warn",
        finding=f"programs that models write are refused: {confining.reason}",
        fix="without it everything else works; code_interpreter needs bubblewrap and user namespaces",
    )


def _check_readers() -> Check:
    obstacle = find_obstacle()
    if not obstacle:
        finding = "documents and repositories on this machine are read without a network"
        return Check(name="readers", verdict="ok", finding=finding, fix="")
    return Check(
        name="readers",
        verdict="warn",
        finding=f"what reads documents could reach the network: {obstacle}",
        fix="on Linux allow user namespaces (kernel.unprivileged_userns_clone, "
        "kernel.apparmor_restrict_unprivileged_userns); else read what you trust",
    )


def _check_servers(place: Place) -> list[Check]:
    """Look at the definitions of outside servers, where there are any."""
    entries = read_entries(place.home, place.settings.mcp)
    faults = [each.fault for each in entries if each.fault]
    if faults:
        more = f" (and {len(faults) - 1} more: 'lar mcp list')" if len(faults) > 1 else ""
        fix = "mend it; a running server goes by what it read before until then, and needs no restart"
        return [Check(name="mcp servers", verdict="warn", finding=f"{faults[0]}{more}", fix=fix)]
    if not entries:
        return []
    return [
        Check(name="mcp servers", verdict="ok", finding=f"{len(entries)} defined, all well-formed", fix="")
    ]


def _show(checks: list[Check]) -> None:
    width = max(len(each.name) for each in checks)
    for each in checks:
        say(f"{_SIGNS[each.verdict]} {each.name.ljust(width)}  {each.finding}")
        if each.fix and each.verdict != "ok":
            say(f"  {' ' * width}  → {each.fix}")
