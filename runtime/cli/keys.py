"""`lar keys`: API keys in the key file of this home. A running server takes changes over by itself."""

import argparse
import time

from runtime.api.keys import KEYS_FILE, Key, KeyRefused, KeyStore, KeysUnreadable
from runtime.cli.output import EXIT_USAGE, CommandFailed, notice, say, say_json, say_table
from runtime.cli.place import find_place
from runtime.core.ids import TenantId


def create_key(chosen: argparse.Namespace) -> int:
    """Make a key and print its secret, once."""
    try:
        store = _open_store()
        secret = store.create(chosen.name, chosen.role, TenantId(chosen.tenant))
    except KeyRefused as problem:
        raise CommandFailed(str(problem), EXIT_USAGE) from problem

    if chosen.json:
        say_json({"secret": secret, "name": chosen.name, "role": chosen.role, "tenant": chosen.tenant})
    else:
        say(secret)
        notice("This is the only time the key is shown. From now on the server asks every client for a key.")
    return 0


def list_keys(chosen: argparse.Namespace) -> int:
    """Print the keys, without what is secret."""
    keys = _open_store().list_keys()
    if chosen.json:
        say_json([_told(each) for each in keys])
    elif keys:
        rows = [
            [each.id, each.name, each.role, each.tenant, f"…{each.last4}", _day(each.created)]
            for each in keys
        ]
        say_table(("ID", "NAME", "ROLE", "TENANT", "KEY", "CREATED"), rows)
    else:
        notice("There are no keys: the server answers this machine only. 'lar keys create' makes one.")
    return 0


def revoke_key(chosen: argparse.Namespace) -> int:
    """Make a key useless."""
    if not _open_store().revoke(chosen.id):
        raise CommandFailed(f"There is no key '{chosen.id}'. 'lar keys list' shows them.", EXIT_USAGE)

    notice(f"Key {chosen.id} is revoked.")
    return 0


def _told(key: Key) -> dict[str, str | int]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "tenant": key.tenant,
        "created": key.created,
    }


def _open_store() -> KeyStore:
    store = KeyStore(find_place().home / KEYS_FILE)
    try:
        store.reload()
    except KeysUnreadable as problem:
        raise CommandFailed(str(problem), EXIT_USAGE) from problem

    return store


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
