"""`lar status` and `lar stop`: the server of this home."""

import argparse
import time

import psutil

from runtime.api.client import LarClient
from runtime.cli.calls import call_server
from runtime.cli.models import show_caches, show_models
from runtime.cli.output import EXIT_NO_SERVER, CommandFailed, notice, say, say_json
from runtime.cli.place import Place, find_place, require_server
from runtime.cli.progress import tell_seconds
from runtime.instance import find_instance

_STOP_MARGIN_S = 20.0
"""Beyond the server's own grace: workers stop, the last facts are stored."""


def show_status(chosen: argparse.Namespace) -> int:
    """Print what runs. Exit code 3 where no server does."""
    place = find_place()
    if chosen.json and find_instance(place.home) is None:
        say_json({"running": False, "home": str(place.home)})
        return EXIT_NO_SERVER

    instance = require_server(place)
    state = call_server(instance, LarClient.state)
    memory_mb = psutil.Process(instance.pid).memory_info().rss / 1e6
    if chosen.json:
        say_json(
            {
                "running": True,
                "pid": instance.pid,
                "home": str(place.home),
                "memory_mb": memory_mb,
                "state": state,
            }
        )
        return 0

    say(f"● Lar {state.version} answers at {state.address}")
    say(f"  up {tell_seconds(time.time() - state.started_at)} · pid {instance.pid} · {memory_mb:.0f} MB")
    say(f"  data {place.home}")
    say()
    show_models(state)
    show_caches(state)
    return 0


def stop_server(_chosen: argparse.Namespace) -> int:
    """Stop the server and wait until it is gone."""
    place = find_place()
    instance = require_server(place)
    process = psutil.Process(instance.pid)
    process.terminate()
    try:
        process.wait(_limit_s(place))
    except psutil.TimeoutExpired as problem:
        raise CommandFailed(
            f"The server (pid {instance.pid}) has not stopped within {_limit_s(place):.0f} s. 'lar logs' "
            f"tells what it does; 'kill -9 {instance.pid}' ends it, losing nothing stored.",
            EXIT_NO_SERVER,
        ) from problem

    notice("✔ The server has stopped.")
    return 0


def _limit_s(place: Place) -> float:
    return place.settings.server.shutdown_grace_s + _STOP_MARGIN_S
