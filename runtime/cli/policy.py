"""`lar policy list` and `check`: which policies decide, and whether new ones are good."""

import argparse

from runtime.cli.calls import call_server
from runtime.cli.output import EXIT_FAILED, notice, say, say_json, say_table
from runtime.cli.place import find_place
from runtime.cli.policy_place import read_place, read_set
from runtime.cli.recall_calls import counted
from runtime.core.gate.policy_words import PoliciesRefused, PolicyRule, PolicyState
from runtime.instance import find_instance


def list_policies(chosen: argparse.Namespace) -> int:
    """Print the policies that the running server decides by; without one, those of the folder."""
    server = find_instance(find_place().home)
    if server is None:
        rules = list(read_set(None).rules.values())
        faults = []
    else:
        state = call_server(server, lambda client: client.ask("GET", "/api/policies", PolicyState))
        rules, faults = list(state.rules), [str(each) for each in state.faults]

    if chosen.json:
        say_json({"policies": rules, "faults": faults})
    else:
        rows = [[each.id, _effect(each), _origin(each), each.place] for each in rules]
        say_table(("ID", "EFFECT", "OF", "PLACE"), rows)
    for fault in faults:
        notice(f"✖ {fault}")
    if faults:
        notice("The newest files are broken; the server still decides by the last good ones.")
    return 0


def check_policies(chosen: argparse.Namespace) -> int:
    """Print what is wrong with the policies of a place, one mistake to a line."""
    try:
        policies = read_place(chosen.policies).compiled()
    except PoliciesRefused as refused:
        if chosen.json:
            say_json({"faults": refused.faults})
        else:
            for fault in refused.faults:
                say(str(fault))
        return EXIT_FAILED

    rules = policies.rules.values()
    own = [each for each in rules if each.layer == "own"]
    if chosen.json:
        say_json({"faults": [], "policies": len(rules), "own": len(own), "digest": policies.digest})
    else:
        say(f"{counted(len(rules), 'policy', 'policies')}, {len(own)} of them own, all good.")
    return 0


def _effect(rule: PolicyRule) -> str:
    return "ask" if rule.is_ask else rule.effect


def _origin(rule: PolicyRule) -> str:
    if rule.replaces:
        return "you (in place of Lar's)"
    return "you" if rule.layer == "own" else "Lar"
