"""Texts that are too long for a model, cut to what it takes: by tokens, with its special ones kept around."""

from collections.abc import Sequence

from aiohttp import web

from runtime.api.runs import open_run
from runtime.core.messages import TokenizeRequest, Tokens
from runtime.core.states import ModelState

_CHARACTERS_PER_TOKEN = 64
"""No vocabulary in use has longer tokens; what lies beyond is cut before it is read."""
SPECIAL_TOKENS = 8
"""More than any model puts around a text."""


async def shorten(
    request: web.Request, model: ModelState, texts: Sequence[str], limit: int
) -> tuple[str | tuple[int, ...], ...]:
    """Return the texts, those of more than `limit` tokens as so many tokens. Raises Refused.

    Short ones are not even looked at: a token is a byte at least.
    """
    return tuple([await _shorten(request, model, each, limit) for each in texts])


def cut(whole: Sequence[int], plain: Sequence[int], limit: int) -> tuple[int, ...]:
    """Cut a text's tokens to `limit`; `whole` are those with special tokens around, `plain` those without."""
    if len(whole) <= limit:
        return tuple(whole)

    spare = len(whole) - len(plain)
    before = next((at for at in range(spare + 1) if list(whole[at : at + len(plain)]) == list(plain)), 0)
    after = whole[before + len(plain) :]
    kept = max(0, limit - spare)
    return (*whole[:before], *plain[:kept], *after)


async def _shorten(request: web.Request, model: ModelState, text: str, limit: int) -> str | tuple[int, ...]:
    if len(text.encode(errors="replace")) <= limit - SPECIAL_TOKENS:
        return text

    read = text[: limit * _CHARACTERS_PER_TOKEN]
    whole = await _tokens_of(request, model, read, adds_special=True)
    if len(whole) <= limit and read == text:
        return text

    plain = await _tokens_of(request, model, read, adds_special=False)
    return cut(whole, plain, limit)


async def _tokens_of(
    request: web.Request, model: ModelState, text: str, *, adds_special: bool
) -> tuple[int, ...]:
    # Text is text here, as it is where it is embedded: nothing in it names a control token.
    asked = TokenizeRequest(model=model.id, text=text, adds_special=adds_special, parses_special=False)
    found: tuple[int, ...] = ()
    async with open_run(request, asked) as run:
        async for piece in run.pieces():
            if isinstance(piece.output, Tokens):
                found += piece.output.tokens
    return found
