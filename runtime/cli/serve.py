"""`lar serve`: the server in the foreground."""

import argparse
from pathlib import Path

import anyio
import msgspec

from runtime.api.keys import KeysUnreadable
from runtime.api.server import Bound
from runtime.app import Launch, serve
from runtime.cli.output import EXIT_USAGE, CommandFailed, notice, say
from runtime.cli.place import Place, find_place
from runtime.core.logs import open_log
from runtime.core.settings import Settings
from runtime.core.version import __version__


def serve_forever(chosen: argparse.Namespace) -> int:
    """Serve until interrupted."""
    place = find_place()
    settings = _with_options(place.settings, chosen)
    place.home.mkdir(parents=True, exist_ok=True)
    log = open_log(place.logs, settings.logs)
    launch = Launch(home=place.home, settings=settings, is_scripted=chosen.scripted)

    def greet(bound: Bound) -> None:
        _greet(place, settings, bound, log)

    def tell_stop() -> None:
        grace_s = settings.server.shutdown_grace_s
        notice(f"Stopping: running answers have {grace_s:g} s to end. Ctrl-C again ends at once.")

    try:
        anyio.run(serve, launch, greet, tell_stop)
    except KeysUnreadable as problem:
        raise CommandFailed(str(problem), EXIT_USAGE) from problem

    say("Stopped.")
    return 0


def _with_options(settings: Settings, chosen: argparse.Namespace) -> Settings:
    server = settings.server
    if chosen.host is not None:
        server = msgspec.structs.replace(server, host=chosen.host)
    if chosen.port is not None:
        server = msgspec.structs.replace(server, port=chosen.port)
    return msgspec.structs.replace(settings, server=server)


def _greet(place: Place, settings: Settings, bound: Bound, log: Path) -> None:
    if bound.is_moved:
        notice(f"! Port {settings.server.port} is taken by another program; using {bound.port}.")
    say(f"Lar {__version__} answers at {bound.address}")
    say(f"  OpenAI API  {bound.address}/v1")
    say(f"  data        {place.home}")
    say(f"  log         {log}")
    say("Ctrl-C stops it.")
