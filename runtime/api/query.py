"""Query strings: each parameter is read by name and checked; an unknown one is an error that names it."""

from collections.abc import Sequence
from typing import NoReturn

from aiohttp import web

from runtime.api.bodies import nearest
from runtime.api.errors import invalid

_ECHO_LIMIT = 80
_DIGITS_LIMIT = 18


class QueryString:
    """The parameters of one request. Refuses those that the route does not know."""

    def __init__(self, request: web.Request, *known: str) -> None:
        self._query = request.query
        for name in self._query:
            if name not in known:
                _refuse_unknown(name, known)

    def text(self, name: str) -> str | None:
        """Return what was given; None where it is absent or empty."""
        return self._query.get(name) or None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return what was given, several times or joined by commas."""
        given = self._query.getall(name, [])
        return tuple(each.strip() for text in given for each in text.split(",") if each.strip())

    def number(self, name: str, default: int, *, lowest: int, highest: int) -> int:
        """Return an integer between the bounds. Raises Refused."""
        text = self._query.get(name)
        if text is None:
            return default

        is_digits = text.isascii() and text.isdecimal() and len(text) <= _DIGITS_LIMIT
        if not is_digits or not lowest <= int(text) <= highest:
            raise invalid(f"'{name}' must be an integer from {lowest} to {highest}.", name)
        return int(text)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false. Raises Refused."""
        text = self._query.get(name)
        if text is None:
            return default

        if text.lower() not in ("true", "1", "false", "0"):
            raise invalid(f"'{name}' must be 'true' or 'false'.", name)
        return text.lower() in ("true", "1")

    def one_of(self, name: str, allowed: Sequence[str]) -> str | None:
        """Return one of the allowed values; None where it is absent. Raises Refused."""
        text = self._query.get(name)
        if text is not None:
            _check_value(name, text, allowed)
        return text

    def some_of(self, name: str, allowed: Sequence[str]) -> tuple[str, ...]:
        """Return those that were given of the allowed values. Raises Refused."""
        texts = self.texts(name)
        for text in texts:
            _check_value(name, text, allowed)
        return texts


def _check_value(name: str, text: str, allowed: Sequence[str]) -> None:
    if text not in allowed:
        listed = ", ".join(f"'{each}'" for each in allowed)
        raise invalid(f"'{name}' must be one of {listed}, not '{text[:_ECHO_LIMIT]}'.", name)


def _refuse_unknown(name: str, known: tuple[str, ...]) -> NoReturn:
    meant = nearest(name, known)
    hint = f" Did you mean '{meant}'?" if meant else ""
    listed = f" Known: {', '.join(sorted(known))}." if known else " This route takes none."
    message = f"Unknown query parameter '{name[:_ECHO_LIMIT]}'.{hint}{listed}"
    raise invalid(message, name[:_ECHO_LIMIT], code="unknown_parameter")
