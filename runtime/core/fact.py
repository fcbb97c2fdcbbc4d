"""The base of everything that happens; `core/events.py` lists it all."""

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of all facts."""
