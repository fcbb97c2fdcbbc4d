"""Names of vector stores need not be unique, those of Lar's collections are: how the one becomes the other.

A collection has the given name where it is free. Where it is taken, empty or too long, the collection gets
another one, and what was given is kept in its metadata under a key that OpenAI's routes never show.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from runtime.api.openai.vector_store_words import GIVEN_NAME
from runtime.core.errors import Conflict
from runtime.core.ids import CollectionId, TenantId
from runtime.core.knowledge import Collection, CollectionChange, NewCollection
from runtime.core.recall import Collections

NAME_LIMIT = 256
"""Characters of a collection's name."""
_TRIES = 4
"""A made-up ending is 48 bits: that it is taken even once is chance enough."""


async def create_named(collections: Collections, tenant: TenantId, new: NewCollection) -> Collection:
    """Make a collection whose name, as it is shown, is `new.name`."""

    async def create(name: str, metadata: dict[str, str]) -> Collection:
        return await collections.create(tenant, msgspec.structs.replace(new, name=name, metadata=metadata))

    return await _under_a_free_name(new.name, new.metadata, create)


async def change_named(
    collections: Collections, tenant: TenantId, collection: CollectionId, change: CollectionChange, name: str
) -> Collection:
    """Change a collection whose name, as it is shown, is `name` from now on; `change` has its metadata."""
    metadata = {} if change.metadata is msgspec.UNSET else change.metadata

    async def apply(own_name: str, kept: dict[str, str]) -> Collection:
        changed = msgspec.structs.replace(change, name=own_name, metadata=kept)
        return await collections.change(tenant, collection, changed)

    return await _under_a_free_name(name, metadata, apply)


async def _under_a_free_name(
    given: str,
    metadata: Mapping[str, str],
    use: Callable[[str, dict[str, str]], Awaitable[Collection]],
) -> Collection:
    """Use the given name if that goes, else one made of it. Raises Conflict after several tries."""
    plain = {key: value for key, value in metadata.items() if key != GIVEN_NAME}
    fits = 0 < len(given) <= NAME_LIMIT and bool(given.strip())
    for attempt in range(_TRIES):
        is_as_given = fits and attempt == 0
        name = given if is_as_given else _made_of(given)
        try:
            return await use(name, plain if is_as_given else plain | {GIVEN_NAME: given})
        except Conflict:
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")


def _made_of(given: str) -> str:
    ending = f" ({secrets.token_hex(6)})"
    return f"{(given.strip() or 'vector store')[: NAME_LIMIT - len(ending)]}{ending}"
