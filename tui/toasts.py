"""Toasts: what deserves a look even from another screen. Pure."""

from typing import Literal

from msgspec.structs import replace

from tui.state import Level, Toast, ViewState
from tui.words import clean

TOASTS = 50
"""Toasts kept: the home screen lists the newest of them."""


def with_toast(
    view: ViewState, level: Level, text: str, at: float, about: Literal["", "approvals", "tools"] = ""
) -> ViewState:
    """Return the view with one more toast."""
    toast = Toast(id=view.last_toast + 1, level=level, text=clean(text), at=at, about=about)
    return replace(view, toasts=(*view.toasts[-TOASTS + 1 :], toast), last_toast=toast.id)
