"""An app over a fake server, with a clock that stands still and nothing that moves by itself."""

from collections.abc import Callable
from datetime import UTC, tzinfo

import anyio
from textual.pilot import Pilot

from tests.kit.clock import FakeClock
from tests.kit.fake_source import FakeSource
from tui.app import LarApp
from tui.theme import DARK


class StillClock(FakeClock):
    """Fulfils `tui.clock.Clock`."""

    def zone(self) -> tzinfo:
        return UTC


def make_app(source: FakeSource, *, theme: str = DARK, model: str = "") -> LarApp:
    app = LarApp(source, model, theme=theme, clock=StillClock(), frame_s=0)
    app.animation_level = "none"
    app._disable_notifications = True  # toasts come and go with the wall clock; the view's are asserted
    return app


async def until(pilot: Pilot[int], holds: Callable[[], object]) -> None:
    """Wait until something holds, and until it is drawn."""
    with anyio.fail_after(10):
        while not holds():
            await pilot.pause()
    await pilot.pause()


def text_of(app: LarApp) -> str:
    """Return what is on the screen, line by line."""
    size = app.size
    lines = app.screen._compositor.render_strips(size)
    return "\n".join(strip.text.rstrip() for strip in lines)
