"""Why a document cannot be read: what readers of formats raise, and `reading` turns into a value."""

from typing import Literal

from runtime.core.knowledge import DocumentFault

Code = Literal["unsupported_format", "broken", "encrypted", "empty", "too_large", "no_text", "not_found"]


class Refused(Exception):
    """The document cannot be read; carries its fault."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.fault = DocumentFault(code=code, message=message)


def broken(what: str, why: str) -> Refused:
    """Return the refusal of a damaged document: what it seems to be, and what is wrong with it."""
    reason = " ".join(why.split())[:200].rstrip(".")
    return Refused(
        "broken",
        f"It seems to be {what}, but is damaged or incomplete ({reason}). Open it with the program that made "
        "it, save it anew and add it again.",
    )


def encrypted(what: str) -> Refused:
    """Return the refusal of a document that asks for a password."""
    return Refused("encrypted", f"It is {what} with a password. Save it without one and add it again.")


def too_large(what: str, limit: str) -> Refused:
    """Return the refusal of a document beyond a limit: what is too much, and what is allowed."""
    return Refused("too_large", f"{what}; at most {limit} are read. Split it and add its parts.")


def unsupported(what: str, fix: str) -> Refused:
    """Return the refusal of a format that Lar does not read."""
    return Refused("unsupported_format", f"It is {what}, which Lar does not read. {fix}")


def empty() -> Refused:
    """Return the refusal of a document that holds nothing."""
    return Refused("empty", "The file is empty. Check that it was written and copied to its end.")
