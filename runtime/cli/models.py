"""`lar models`: what is known and installed, and installing more."""

import argparse

from runtime.api.client import LarClient
from runtime.cli.calls import call_server
from runtime.cli.launcher import ensure_server
from runtime.cli.output import notice, say, say_json, say_table
from runtime.cli.place import find_place, require_server
from runtime.cli.progress import install_with_progress, tell_progress
from runtime.core.ids import ModelId
from runtime.core.states import ModelState, ServerState


def list_models(chosen: argparse.Namespace) -> int:
    """Print the known models; starts the server if none runs, since it knows them."""
    place = find_place()
    state = call_server(ensure_server(place), LarClient.state)
    if chosen.json:
        say_json(state.models)
    else:
        show_models(state)
    return 0


def show_models(state: ServerState) -> None:
    """Print the models of a server as a table."""
    rows = [
        [_name(each), each.engine, _stage(each), _size(each), _memory(each), _context(each)]
        for each in state.models
    ]
    say_table(("MODEL", "ENGINE", "STATE", "SIZE", "MEMORY", "CONTEXT"), rows)


def show_caches(state: ServerState) -> None:
    """Print what loaded models keep of conversations, where their engine tells it."""
    for model in state.models:
        gauges = model.gauges
        if "cells" in gauges:
            parts = [f"{gauges.get('cells_used', 0):.0f} of {gauges['cells']:.0f} tokens of context taken"]
            parts += [
                f"{gauges[name] / 1e6:.0f} MB of prefixes {where}"
                for name, where in (("vault_ram_bytes", "in memory"), ("vault_disk_bytes", "on disk"))
                if gauges.get(name)
            ]
            say(f"  {model.id}: {' · '.join(parts)}")


def install_model(chosen: argparse.Namespace) -> int:
    """Install a model with progress."""
    place = find_place()
    model = ModelId(chosen.model)
    state = call_server(ensure_server(place), lambda client: install_with_progress(client, model))
    notice(f"✔ {state.id} is installed.")
    return 0


def unload_model(chosen: argparse.Namespace) -> int:
    """Free a model's memory."""
    place = find_place()
    model = ModelId(chosen.model)
    call_server(require_server(place), lambda client: client.unload(model))
    notice(f"✔ {model} is not in memory.")
    return 0


def _name(model: ModelState) -> str:
    return f"{model.id} *" if model.is_default else model.id


def _stage(model: ModelState) -> str:
    if model.progress is not None:
        return f"{model.stage}: {model.progress.phase} {tell_progress(model.progress)}".rstrip()

    if model.fault is not None:
        return f"{model.stage}: {model.fault.message}"

    runs = f", {model.running} running" if model.running else ""
    return model.stage + runs + (f", {model.waiting} waiting" if model.waiting else "")


def _size(model: ModelState) -> str:
    return "" if model.size_bytes is None else f"{model.size_bytes / 1e6:.0f} MB"


def _memory(model: ModelState) -> str:
    """Tell what it takes when it is loaded, by estimate."""
    return "" if model.needs_bytes is None else f"{model.needs_bytes / 1e6:.0f} MB"


def _context(model: ModelState) -> str:
    return "" if model.context_tokens is None else f"{model.context_tokens} tokens"
