"""What the first frame may not wait for. Measured in a fresh interpreter; no time is asserted."""

import subprocess
import sys

import pytest

HEAVY = (
    "aiohttp",
    "rich.markdown",
    "markdown_it",
    "pygments",
    "rich.syntax",
    "textual.widgets._markdown",
    "textual.widgets._data_table",
    "tui.screens.events",
    "tui.screens.home",
    "tui.screens.approvals",
    "tui.screens.tools",
    "tui.screens.agents",
    "tui.screens.run",
    "tui.timeline",
    "tui.form",
    "tui.screens.help",
    "tui.palette",
    "tui.source",
    "duckdb",
    "faiss",
    "numpy",
    "tantivy",
    "tree_sitter_python",
    "runtime.recall",
)
"""Not `tree_sitter` itself: Textual loads it wherever it is installed, in 2 ms, but none of its grammars."""

FIRST_FRAME = """
import sys
from tui.app import LarApp
from tui.late import LateSource
from tui.run import run_console

loaded = []

def begin(app):
    loaded.extend(sys.modules)
    app.exit(0)

LarApp._begin = begin
LarApp(LateSource("http://127.0.0.1:9", None), "").run(headless=True)
print("\\n".join(loaded))
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_FRAME], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_the_first_frame_was_drawn_by_the_chat_screen(loaded: set[str]) -> None:
    assert "tui.screens.chat" in loaded


@pytest.mark.parametrize("module", HEAVY)
def test_the_first_frame_does_not_wait_for(module: str, loaded: set[str]) -> None:
    assert not {each for each in loaded if each == module or each.startswith(f"{module}.")}
