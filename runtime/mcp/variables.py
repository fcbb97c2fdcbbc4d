"""Puts values in place of `${VAR}` in the texts of a server's definition. Pure; knows no file and no server.

${VAR}  ${env:VAR}      the environment variable
${VAR:-otherwise}       the same, with a text for where it is not set
${input:some-id}        the environment variable SOME_ID, where VS Code would ask the person
${userHome}             the home folder of the person
"""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class VariableMissing(Exception):
    """A text refers to what is not there; the message names it and the way out."""


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Return the text with every reference replaced once; values are not looked at again.

    Raises VariableMissing.
    """
    return _REFERENCE.sub(lambda found: _value(found[1], environment), text)


def has_references(text: str) -> bool:
    """Say whether the text holds its value by reference."""
    return _REFERENCE.search(text) is not None


def input_variable(identity: str) -> str:
    """Return the environment variable that stands for an input of VS Code."""
    return re.sub(r"[^A-Za-z0-9]", "_", identity).upper()


def _value(reference: str, environment: Mapping[str, str]) -> str:
    name, has_default, default = reference.partition(":-")
    kind, colon, rest = name.partition(":")
    if colon and kind == "env":
        name = rest
    elif colon and kind == "input":
        name = input_variable(rest)
    elif name == "userHome":
        name = "HOME"
    if not _NAME.fullmatch(name):
        raise VariableMissing(f"'${{{reference}}}' is no reference that Lar knows")

    value = environment.get(name)
    if value is not None and not (has_default and not value):
        return value

    if has_default:
        return default
    raise VariableMissing(
        f"the environment variable {name} is not set; set it before Lar starts, "
        f"or write ${{{name}:-otherwise}}"
    )
