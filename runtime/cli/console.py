"""`lar`: the server in the background, the console in front."""

import argparse
import sys

from runtime.cli.launcher import ensure_server
from runtime.cli.output import notice
from runtime.cli.place import find_place, key_for


def open_console(chosen: argparse.Namespace) -> int:
    """Open the console over a running server. Without a terminal there is nothing to open: serve instead."""
    if not all(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr)):
        return _serve_instead()

    place = find_place()
    instance = ensure_server(place)
    from tui.run import run_console  # here: importing the console takes a third of a second

    model = chosen.model or place.settings.models.default
    code = run_console(instance.address, key_for(instance), model, place.settings.console.theme)
    notice(f"The server goes on at {instance.address}; 'lar stop' ends it, 'lar' comes back to it.")
    return code


def _serve_instead() -> int:
    from runtime.cli.entry import run  # entry imports this module by name

    notice("! This is no terminal, so there is no console: running the server in the foreground.")
    return run(["serve"])
