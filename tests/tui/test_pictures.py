"""Each scene as a picture. `pytest --snapshot-update` takes new ones; look at them before they are kept."""

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from tests.tui.kit import make_app
from tests.tui.scenes import SCENES
from tui.theme import CONTRAST, DARK, LIGHT

SMALL, MIDDLE, LARGE, NARROW = (80, 24), (120, 40), (160, 48), (50, 14)

PICTURES = [
    *(
        (name, size, DARK)
        for name in ("chat_empty", "chat_streaming", "chat_installing")
        for size in (SMALL, MIDDLE)
    ),
    *((name, size, DARK) for name in ("events", "home", "help", "chat_failed") for size in (SMALL, MIDDLE)),
    *(
        (name, SMALL, DARK)
        for name in ("chat_disconnected", "chat_downloading", "chat_broken", "chat_stopped")
    ),
    *((name, SMALL, DARK) for name in ("events_filtered", "events_fact", "go", "picker", "palette")),
    *((name, size, DARK) for name in ("approvals", "tools") for size in (SMALL, MIDDLE)),
    *(
        (name, SMALL, DARK)
        for name in ("approvals_yes", "approvals_question", "approvals_empty", "tools_empty")
    ),
    *((name, size, DARK) for name in ("agents", "run", "run_over") for size in (SMALL, MIDDLE)),
    *((name, SMALL, DARK) for name in ("agents_task", "agents_empty", "run_none")),
    *((name, size, DARK) for name in ("chat_agent", "chat_agent_done") for size in (SMALL, MIDDLE, NARROW)),
    ("chat_agent", SMALL, LIGHT),
    *(("picker_agents", size, DARK) for size in (SMALL, NARROW)),
    ("agents", LARGE, DARK),
    ("events", LARGE, DARK),
    ("agents", NARROW, DARK),
    ("run_over", SMALL, LIGHT),
    ("approvals", NARROW, DARK),
    ("tools", SMALL, LIGHT),
    ("approvals_yes", SMALL, CONTRAST),
    ("chat_streaming", LARGE, DARK),
    ("chat_streaming", NARROW, DARK),
    ("chat_installing", NARROW, DARK),
    ("home", NARROW, DARK),
    ("events", NARROW, DARK),
    ("chat_streaming", MIDDLE, LIGHT),
    ("home", SMALL, LIGHT),
    ("chat_failed", SMALL, CONTRAST),
]


@pytest.mark.parametrize(
    ("scene", "size", "theme"), PICTURES, ids=[f"{name}-{w}x{h}-{theme}" for name, (w, h), theme in PICTURES]
)
def test_the_scene_looks_as_it_did(
    scene: str, size: tuple[int, int], theme: str, snap_compare: Callable[..., bool]
) -> None:
    source = SCENES[scene].source()
    app = make_app(source, theme=theme)

    async def play(pilot: Pilot[int]) -> None:
        await SCENES[scene].play(pilot, app, source)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=play)
