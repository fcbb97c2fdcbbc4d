"""Lists as OpenAI pages them: a limit, an order, a cursor after which or before which to go on.

Objects lie in the order of their ids, which is that of their creation. A cursor is compared, not looked
up, so a list can be walked while what was listed is being deleted.
"""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from runtime.api.query import QueryString

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
NAMES = ("limit", "order", "after", "before")

T = TypeVar("T")


class Window(NamedTuple):
    """Which part of a list is wanted."""

    limit: int
    is_newest_first: bool
    after: str | None
    before: str | None


class WirePage(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a list."""

    object: str = "list"
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


def window_of(
    query: QueryString, *, default_limit: int = DEFAULT_LIMIT, max_limit: int = MAX_LIMIT
) -> Window:
    """Read the window out of the query. Raises Refused."""
    order = query.one_of("order", ("asc", "desc"))
    return Window(
        limit=query.number("limit", default_limit, lowest=1, highest=max_limit),
        is_newest_first=order != "asc",
        after=query.text("after"),
        before=query.text("before"),
    )


def cut(things: Sequence[T], window: Window, id_of: Callable[[T], str]) -> tuple[list[T], bool]:
    """Return the window's part of all things, and whether there is more beyond it."""
    ordered = sorted(things, key=id_of, reverse=window.is_newest_first)

    def is_past(each: T, cursor: str) -> bool:
        return id_of(each) < cursor if window.is_newest_first else id_of(each) > cursor

    if window.after is not None:
        after = window.after
        ordered = [each for each in ordered if is_past(each, after)]
    if window.before is not None:
        before = window.before
        ordered = [each for each in ordered if id_of(each) != before and not is_past(each, before)]
        if window.after is None:
            # A page that ends just before the cursor.
            return ordered[-window.limit :], len(ordered) > window.limit
    return ordered[: window.limit], len(ordered) > window.limit


def page_of(data: list[T], id_of: Callable[[T], str], *, has_more: bool) -> WirePage[T]:
    """Wrap a part of a list."""
    return WirePage(
        data=data,
        first_id=id_of(data[0]) if data else None,
        last_id=id_of(data[-1]) if data else None,
        has_more=has_more,
    )
