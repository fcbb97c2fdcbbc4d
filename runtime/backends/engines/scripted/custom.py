"""What the scripted engine gives a custom tool as input. Pure.

Free text: the user's own words. A regular expression: these words where they match, else a made-up text
that does. A Lark grammar is written by no rule here: a cue gives the text.
"""

from runtime.backends.engines.scripted.chat import Custom, Refused
from runtime.backends.engines.scripted.minimal import find_minimal
from runtime.backends.engines.scripted.schema import SchemaRefused
from runtime.backends.protocol import Fault

_GUESSES = [letter * length for letter in "a1" for length in range(17)]
"""Tried where the user's own words do not match."""


def write_input(tool: Custom, text: str, param: str) -> str:
    """Return the input for the tool. Raises Refused, naming `param`, where none can be made up."""
    match tool.syntax:
        case "text":
            return text
        case "regex":
            return _match(tool.definition or "", text, param)
        case "lark":
            message = (
                "The scripted engine makes up no text of a Lark grammar. Give it one with the cue "
                f'[[call: {tool.name} "the input"]].'
            )
            raise Refused(Fault(code="unsupported_parameter", message=message, param=param))


def _match(expression: str, text: str, param: str) -> str:
    whole = {"type": "string", "pattern": rf"\A(?:{expression})\Z", "examples": [text, *_GUESSES]}
    try:
        return str(find_minimal(whole))
    except SchemaRefused as refusal:
        message = (
            f"The scripted engine finds no text for the regular expression of this tool: {refusal.why}. "
            "Give it one with the cue [[call]]."
        )
        raise Refused(Fault(code="invalid_request", message=message, param=param)) from refusal
