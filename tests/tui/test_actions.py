from collections import Counter

import pytest
from textual.widgets import TextArea

from tui.actions import ACTIONS, BY_ID, Action, Context, bindings, hints, is_enabled, key_name, letters
from tui.app import LarApp
from tui.screens.agents import AgentsScreen
from tui.screens.approvals import ApprovalsScreen
from tui.screens.chat import ChatScreen
from tui.screens.events import EventsScreen
from tui.screens.home import HomeScreen
from tui.screens.run import RunScreen
from tui.screens.tools import ToolsScreen
from tui.widgets.prompt import Prompt

SCREENS = {
    "chat": ChatScreen,
    "events": EventsScreen,
    "home": HomeScreen,
    "approvals": ApprovalsScreen,
    "tools": ToolsScreen,
    "agents": AgentsScreen,
    "run": RunScreen,
}
SAME_BYTES = {"ctrl+h", "ctrl+i", "ctrl+m", "ctrl+left_square_bracket"}
ON_PURPOSE = {"ctrl+c"}
"""Keys of the text field that are taken from it; copying still works, since our action copies first."""


def test_ids_are_unique() -> None:
    assert len(BY_ID) == len(ACTIONS)


def test_no_key_is_one_that_a_terminal_cannot_tell_apart() -> None:
    assert not SAME_BYTES & {key for action in ACTIONS for key in action.keys}


def test_no_chord_is_taken_from_the_text_field() -> None:
    field = {
        key.strip()
        for each in (*Prompt.BINDINGS, *TextArea.BINDINGS)
        for key in each.key.split(",")  # type: ignore[union-attr]  # all of them are Bindings
    }
    ours = {key for action in ACTIONS if not action.is_field_key for key in action.keys if "ctrl+" in key}
    assert ours & field <= ON_PURPOSE


@pytest.mark.parametrize("screen", [None, *SCREENS])
def test_a_key_means_one_thing_on_a_screen(screen: str | None) -> None:
    keys = Counter(each.key for each in bindings(screen))  # type: ignore[union-attr, arg-type]  # Bindings; a screen's name
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_has_somebody_who_does_it(action: Action) -> None:
    if action.is_field_key:
        return

    name = f"do_{action.handler}"
    places: list[object] = [SCREENS[screen] for screen in action.screens] or [LarApp]
    assert all(callable(getattr(place, name, None) or getattr(LarApp, name, None)) for place in places)


def test_an_action_makes_sense_only_where_it_is_at_home_and_has_what_it_needs() -> None:
    stop = BY_ID["chat.stop"]
    assert is_enabled(stop, Context("chat", frozenset(["answering"])))
    assert not is_enabled(stop, Context("chat", frozenset()))
    assert not is_enabled(stop, Context("events", frozenset(["answering"])))


def test_the_footer_offers_stop_first_while_an_answer_comes() -> None:
    found = [action.id for action in hints(Context("chat", frozenset(["answering"])))]
    assert found[:2] == ["chat.send", "chat.stop"]


def test_every_screen_has_a_letter() -> None:
    assert {action.handler for action in letters().values()} >= {
        "go_chat",
        "go_home",
        "go_events",
        "go_approvals",
        "go_tools",
        "go_agents",
        "go_run",
    }


@pytest.mark.parametrize(
    ("key", "name"), [("ctrl+p", "^p"), ("f1", "F1"), ("slash", "/"), ("G", "G"), ("f", "f")]
)
def test_keys_are_named_as_people_read_them(key: str, name: str) -> None:
    assert key_name(key) == name
