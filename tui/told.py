"""What a row of the events screen says. Pure."""

from typing import NamedTuple

from tui.state import Level


class Told(NamedTuple):
    """What a row says. `fold` is empty for facts that always get a row of their own."""

    subject: str
    text: str
    level: Level = "info"
    fold: str = ""
