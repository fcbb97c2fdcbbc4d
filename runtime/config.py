"""Reads `lar.toml` and the few environment variables into `core.settings.Settings`.

Every mistake is told with the file, the key and the nearest name that exists. The environment may set
where Lar lives and listens (LAR_HOME, LAR_HOST, LAR_PORT), nothing else.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import platformdirs

from runtime.core.errors import SettingsInvalid
from runtime.core.settings import Settings

SETTINGS_FILE = "lar.toml"


def find_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of Lar's data: LAR_HOME, else the platform's place for user data."""
    named = environment.get("LAR_HOME")
    return (
        Path(named).expanduser().absolute() if named else platformdirs.user_data_path("lar", appauthor=False)
    )


def load_settings(home: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read `lar.toml` in the home folder, if there is one, and the environment. Raises SettingsInvalid."""
    path = home / SETTINGS_FILE
    settings = parse_settings(_read(path), str(path))
    return _with_environment(settings, environment)


def parse_settings(text: str, name: str) -> Settings:
    """Return the settings that a TOML text holds; `name` is the file that errors speak of."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise SettingsInvalid(f"{name}: not valid TOML: {problem}.") from problem

    _refuse_unknown(tree, Settings, "", name)
    try:
        return msgspec.convert(tree, Settings)
    except msgspec.ValidationError as problem:
        message, _, where = str(problem).partition(" - at `$")
        key = where.rstrip("`").lstrip(".").replace("[...]", ".<id>") or "the file"
        fix = _choices(key) if message.startswith("Invalid enum value") else ""
        raise SettingsInvalid(f"{name}: {key}: {message[0].lower()}{message[1:]}{fix}.") from problem


def _choices(key: str) -> str:
    """Return the words that a key takes, as the end of a sentence."""
    kind: Any = Settings
    for step in key.split("."):
        if step != "<id>":
            (struct, _), *_ = _structs_in(kind)
            kind = next(field.type for field in msgspec.structs.fields(struct) if field.encode_name == step)
    literals = [each for each in (kind, *get_args(kind)) if get_origin(each) is Literal]
    return f"; it takes {', '.join(word for each in literals for word in get_args(each))}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as problem:
        raise SettingsInvalid(f"{path}: cannot be read: {problem.strerror}.") from problem
    except UnicodeDecodeError as problem:
        raise SettingsInvalid(f"{path}: not UTF-8 at byte {problem.start}.") from problem


def _refuse_unknown(tree: dict[str, Any], kind: type, prefix: str, name: str) -> None:
    """Raise for the first key of `tree` that the struct has no field for."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in tree.items():
        if key not in fields:
            nearest = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            hint = (
                f"did you mean '{prefix}{nearest[0]}'?" if nearest else f"known: {', '.join(sorted(fields))}."
            )
            raise SettingsInvalid(f"{name}: unknown key '{prefix}{key}'; {hint}")

        for inner, steps in _structs_in(fields[key]):
            parts = value.items() if steps and isinstance(value, dict) else [(None, value)]
            for part, below in parts:
                if isinstance(below, dict):
                    _refuse_unknown(below, inner, f"{prefix}{key}." + (f"{part}." if part else ""), name)


def _structs_in(annotation: Any) -> list[tuple[type, bool]]:
    """Return the structs that an annotation allows, each with whether a table of names leads to it."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [(annotation, False)]

    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return [(kind, True) for kind, _ in _structs_in(arguments[1])]

    if origin in (Union, UnionType):
        return [found for each in arguments for found in _structs_in(each)]

    return []


def _with_environment(settings: Settings, environment: Mapping[str, str]) -> Settings:
    server = settings.server
    host, port = environment.get("LAR_HOST"), environment.get("LAR_PORT")
    if host:
        server = msgspec.structs.replace(server, host=host)
    if port:
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise SettingsInvalid(f"LAR_PORT is '{port}'; it must be a number from 0 to 65535.")
        server = msgspec.structs.replace(server, port=int(port))
    return msgspec.structs.replace(settings, server=server)
