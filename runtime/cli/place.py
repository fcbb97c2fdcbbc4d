"""What every command starts from: the home folder, the settings, the running server, the key to it."""

import os
from pathlib import Path

import msgspec

from runtime.cli.output import EXIT_NO_SERVER, CommandFailed
from runtime.config import find_home, load_settings
from runtime.core.settings import Settings
from runtime.instance import Instance, find_instance


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a command runs."""

    home: Path
    settings: Settings

    @property
    def logs(self) -> Path:
        """The folder of log files."""
        return self.home / "logs"


def key_for(instance: Instance) -> str:
    """Return the API key that commands send: LAR_API_KEY, else the owner's own."""
    return os.environ.get("LAR_API_KEY") or instance.secret


def find_place() -> Place:
    """Return the place that the environment names. Raises SettingsInvalid."""
    home = find_home()
    return Place(home=home, settings=load_settings(home))


def require_server(place: Place) -> Instance:
    """Return the running server. Raises CommandFailed where none runs."""
    instance = find_instance(place.home)
    if instance is None:
        raise CommandFailed(
            f"No server runs over {place.home}. 'lar serve' starts one here, 'lar' one with the console.",
            EXIT_NO_SERVER,
        )

    return instance
