"""How this engine says that a model cannot be loaded."""

from runtime.backends.engines.contract import LoadRefused
from runtime.backends.protocol import Fault


def refused(message: str) -> LoadRefused:
    """Return the refusal to raise; the message names the cause, then the fix."""
    return LoadRefused(Fault(code="model_broken", message=message))


def first_line(problem: Exception) -> str:
    """Return what a library says first, without its full stop."""
    return str(problem).strip().partition("\n")[0][:300].rstrip(".")
