"""The colours of the console: three themes, and the few named colours from which lines are drawn.

State is never told by colour alone, so each theme only has to be readable, not distinct.
"""

from collections.abc import Mapping
from typing import NamedTuple

from textual.theme import Theme

DARK = "lar-dark"
LIGHT = "lar-light"
CONTRAST = "lar-contrast"

THEMES = (
    Theme(
        name=DARK,
        primary="#e8a75c",
        secondary="#6fb9b3",
        accent="#e8a75c",
        success="#93c47d",
        warning="#e3c163",
        error="#f0757d",
        foreground="#d9dce3",
        background="#14161b",
        surface="#1b1e25",
        panel="#252a33",
        variables={"muted": "#8d96a6", "faint": "#3d4450", "border": "#e8a75c", "border-blurred": "#3d4450"},
    ),
    Theme(
        name=LIGHT,
        primary="#8f5200",
        secondary="#0c645f",
        accent="#8f5200",
        success="#2f6f1f",
        warning="#7a5a00",
        error="#b0211b",
        foreground="#22252b",
        background="#fbf9f5",
        surface="#f2eee6",
        panel="#e6e0d4",
        dark=False,
        variables={"muted": "#5f6570", "faint": "#c9c2b4", "border": "#8f5200", "border-blurred": "#c9c2b4"},
    ),
    Theme(
        name=CONTRAST,
        primary="#ffd24a",
        secondary="#66f0e6",
        accent="#ffd24a",
        success="#7dff7d",
        warning="#ffff6b",
        error="#ff8f8f",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1c1c1c",
        variables={"muted": "#d0d0d0", "faint": "#8a8a8a", "border": "#ffd24a", "border-blurred": "#8a8a8a"},
    ),
)

DEFAULTS = {"muted": "#8f8f8f", "faint": "#5c5c5c"}
"""Our own variables under a theme that does not know them."""


class Colours(NamedTuple):
    """What lines are drawn in, as colour names that Rich takes."""

    text: str
    muted: str
    faint: str
    accent: str
    second: str
    good: str
    warn: str
    bad: str
    surface: str


def colours_of(variables: Mapping[str, str]) -> Colours:
    """Return the colours of a theme from its variables."""
    return Colours(
        text=variables["foreground"],
        muted=variables["muted"],
        faint=variables["faint"],
        accent=variables["primary"],
        second=variables["secondary"],
        good=variables["success"],
        warn=variables["warning"],
        bad=variables["error"],
        surface=variables["surface"],
    )
