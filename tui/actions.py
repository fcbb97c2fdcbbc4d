"""Everything a person can do, once: bindings, command palette, footer, Go strip and help read it here.

Keys are free of those that terminals cannot tell apart (ctrl+h, i, m, [) and of those that the text field
takes for itself (ctrl+a c d e f k u v w x y z; ctrl+c is ours, and copies first). Plain letters work
outside text fields.
"""

from typing import Literal, NamedTuple

from textual.binding import Binding, BindingType

Group = Literal["chat", "agents", "run", "approvals", "tools", "events", "models", "go", "lar"]
Screen = Literal["chat", "events", "home", "approvals", "tools", "agents", "run"]
Need = Literal[
    "nothing",
    "answering",
    "queued",
    "answer",
    "conversation",
    "fault",
    "installable",
    "loaded",
    "rows",
    "paused",
    "approval",
    "question",
    "ask",
    "server",
    "waiting_tools",
    "agent",
    "listed",
    "run",
    "live_run",
    "step",
    "asked",
    "chat_ask",
    "chat_run",
]


class Context(NamedTuple):
    """Where the person is and what there is: decides which actions make sense."""

    screen: Screen
    has: frozenset[Need]


class Action(NamedTuple):
    """One thing to do. `hint` is its word in the footer, empty for none; a smaller rank comes first."""

    id: str
    group: Group
    title: str
    keys: tuple[str, ...]
    handler: str
    screens: tuple[Screen, ...] = ()
    """Where it makes sense; empty: everywhere."""
    need: Need = "nothing"
    hint: str = ""
    rank: int = 50
    is_field_key: bool = False
    """Whether the text field itself acts on the key, so that nothing is bound."""
    letter: str = ""
    """Its key in the Go strip."""
    hint_screens: tuple[Screen, ...] = ()
    """Whose footers have it; empty: all where it makes sense."""


ACTIONS: tuple[Action, ...] = (
    Action(
        "chat.send", "chat", "Send", ("enter",), "send", ("chat",), hint="send", rank=1, is_field_key=True
    ),
    Action(
        "chat.stop", "chat", "Stop the answer", ("escape",), "up", ("chat",), "answering", "stop", 2, True
    ),
    Action(
        "chat.withdraw",
        "chat",
        "Take the waiting message back",
        ("escape",),
        "up",
        ("chat",),
        "queued",
        "take back",
        3,
        True,
    ),
    Action(
        "chat.newline",
        "chat",
        "New line",
        ("ctrl+j", "shift+enter"),
        "newline",
        ("chat",),
        hint="newline",
        rank=5,
        is_field_key=True,
    ),
    Action(
        "chat.approve",
        "chat",
        "Approve what the agent waits for…",
        ("ctrl+o", "a"),
        "approve",
        ("chat",),
        "chat_ask",
        "approve",
        2,
    ),
    Action(
        "chat.deny",
        "chat",
        "Deny what the agent waits for…",
        ("ctrl+b", "d"),
        "deny",
        ("chat",),
        "chat_ask",
        "deny",
        3,
    ),
    Action(
        "chat.run", "chat", "Show every step of the agent", ("f8",), "run", ("chat",), "chat_run", "steps", 7
    ),
    Action("chat.new", "chat", "New chat", ("ctrl+n",), "new_chat", hint="new", rank=8),
    Action(
        "chat.model",
        "chat",
        "Talk to another model or an agent…",
        ("f5",),
        "pick_model",
        hint="talk to",
        hint_screens=("chat",),
        rank=9,
    ),
    Action("chat.copy", "chat", "Copy the last answer", ("y",), "copy_answer", ("chat",), "answer"),
    Action("chat.copy_all", "chat", "Copy the whole chat", ("Y",), "copy_chat", ("chat",), "conversation"),
    Action(
        "chat.thoughts",
        "chat",
        "Show or hide thoughts and results",
        ("ctrl+t",),
        "thoughts",
        ("chat",),
        "conversation",
    ),
    Action(
        "chat.newest", "chat", "Go to the newest line", ("ctrl+end", "G"), "newest", ("chat",), "conversation"
    ),
    Action(
        "chat.older", "chat", "Scroll up", ("pageup",), "older", ("chat",), "conversation", is_field_key=True
    ),
    Action(
        "chat.newer",
        "chat",
        "Scroll down",
        ("pagedown",),
        "newer",
        ("chat",),
        "conversation",
        is_field_key=True,
    ),
    Action(
        "model.retry", "models", "Install again", ("ctrl+r",), "retry", need="fault", hint="try again", rank=4
    ),
    Action(
        "model.install",
        "models",
        "Install the model",
        ("i",),
        "install",
        ("home",),
        "installable",
        "install",
        2,
    ),
    Action(
        "model.unload",
        "models",
        "Free the model's memory",
        ("u",),
        "unload",
        ("home",),
        "loaded",
        "unload",
        3,
    ),
    Action("model.talk", "models", "Chat with the model", ("enter",), "talk", ("home",), hint="chat", rank=1),
    Action(
        "events.open",
        "events",
        "Show the fact as JSON",
        ("enter",),
        "open_row",
        ("events",),
        "rows",
        "json",
        1,
    ),
    Action("events.filter", "events", "Filter…", ("slash",), "filter", ("events",), hint="filter", rank=2),
    Action(
        "events.pause", "events", "Pause or go on", ("space",), "pause", ("events",), hint="pause", rank=3
    ),
    Action(
        "events.follow",
        "events",
        "Follow the newest",
        ("f", "G", "end"),
        "follow",
        ("events",),
        hint="follow",
        rank=4,
    ),
    Action(
        "approvals.approve",
        "approvals",
        "Approve…",
        ("a",),
        "approve",
        ("approvals",),
        "approval",
        "approve",
        1,
    ),
    Action("approvals.deny", "approvals", "Deny…", ("d",), "deny", ("approvals",), "approval", "deny", 2),
    Action(
        "approvals.answer",
        "approvals",
        "Answer the server's question…",
        ("enter",),
        "answer",
        ("approvals",),
        "question",
        "answer",
        1,
    ),
    Action(
        "approvals.copy", "approvals", "Copy what is asked as JSON", ("y",), "copy", ("approvals",), "ask"
    ),
    Action(
        "approvals.look", "approvals", "Look again", ("r",), "look", ("approvals",), hint="refresh", rank=9
    ),
    Action(
        "tools.approve",
        "tools",
        "Approve the tool, or those of the server…",
        ("a",),
        "approve",
        ("tools",),
        "waiting_tools",
        "approve",
        1,
    ),
    Action(
        "tools.connect",
        "tools",
        "Connect the server anew",
        ("c",),
        "connect",
        ("tools",),
        "server",
        "connect",
        2,
    ),
    Action("tools.copy", "tools", "Copy what is shown", ("y",), "copy", ("tools",), "server"),
    Action("tools.look", "tools", "Look again", ("r",), "look", ("tools",), hint="refresh", rank=9),
    Action(
        "agents.open", "agents", "Give a task, or open", ("enter",), "open", ("agents",), "listed", "open", 1
    ),
    Action("agents.task", "agents", "Give it a task…", ("t",), "task", ("agents",), "agent", "task", 2),
    Action("agents.chat", "agents", "Chat with it", ("c",), "chat", ("agents",), "agent", "chat", 3),
    Action("agents.pause", "agents", "Pause or resume", ("p",), "pause", ("agents",), "agent", "pause", 4),
    Action("agents.look", "agents", "Look again", ("r",), "look", ("agents",), hint="refresh", rank=9),
    Action("run.fold", "run", "Show or hide more", ("enter", "space"), "fold", ("run",), "step", "more", 1),
    Action(
        "run.approvals", "run", "Answer what it waits for", ("w",), "answer", ("run",), "asked", "answer", 2
    ),
    Action("run.steer", "run", "Say something to it…", ("s",), "steer", ("run",), "live_run", "steer", 3),
    Action("run.cancel", "run", "Cancel the run…", ("x",), "cancel", ("run",), "live_run", "cancel", 4),
    Action("run.fork", "run", "Go another way from here…", ("f",), "fork", ("run",), "step", "fork", 5),
    Action("run.replay", "run", "Live it again", ("R",), "replay", ("run",), "run", "replay", 6),
    Action("run.newest", "run", "Follow the newest", ("G", "end"), "newest", ("run",), "run"),
    Action("run.copy", "run", "Copy the run's id", ("y",), "copy", ("run",), "run", "copy id", 8),
    Action("run.look", "run", "Look again", ("r",), "look", ("run",), "run"),
    Action("go.chat", "go", "Chat", ("2",), "go_chat", letter="c"),
    Action("go.home", "go", "Home", ("1",), "go_home", letter="h"),
    Action("go.events", "go", "Events", ("3",), "go_events", letter="e"),
    Action("go.approvals", "go", "Approvals", ("ctrl+l", "4"), "go_approvals", letter="i"),
    Action("go.tools", "go", "Tools", ("5",), "go_tools", letter="t"),
    Action("go.agents", "go", "Agents", ("6",), "go_agents", letter="a"),
    Action("go.run", "go", "Run", ("7",), "go_run", letter="r"),
    Action("go.back", "go", "The screen before", ("minus",), "go_back", letter="-"),
    Action("lar.go", "lar", "Go to…", ("ctrl+g", "f3", "g"), "go", hint="go", rank=20),
    Action("lar.palette", "lar", "Commands", ("ctrl+p", "f2", "colon"), "palette", hint="commands", rank=21),
    Action("lar.help", "lar", "Keys and help", ("f1", "question_mark"), "help", hint="help", rank=22),
    Action("lar.up", "lar", "Stop, close or go up", ("escape",), "up"),
    Action("lar.interrupt", "lar", "Copy, stop, or quit when pressed twice", ("ctrl+c",), "interrupt"),
    Action("lar.theme", "lar", "Next theme", (), "next_theme"),
    Action("lar.quit", "lar", "Quit; the server goes on", ("ctrl+q",), "quit", hint="quit", rank=30),
)

BY_ID = {action.id: action for action in ACTIONS}
GROUPS: dict[Group, str] = {
    "chat": "Chat",
    "agents": "Agents",
    "run": "Run",
    "approvals": "Approvals",
    "tools": "Tools",
    "events": "Events",
    "models": "Models",
    "go": "Go",
    "lar": "Everywhere",
}
"""The groups in the order in which people read them."""

_NAMES = {
    "slash": "/",
    "space": "space",
    "minus": "-",
    "colon": ":",
    "question_mark": "?",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
}


def is_enabled(action: Action, context: Context) -> bool:
    """Whether the action makes sense here and now."""
    if action.screens and context.screen not in action.screens:
        return False
    return action.need == "nothing" or action.need in context.has


def key_name(key: str) -> str:
    """Return a key as people read it: `^p`, `F1`, `/`."""
    if key in _NAMES:
        return _NAMES[key]
    if _is_chord(key) and not key.startswith("ctrl+"):
        return key.upper()
    return key.replace("ctrl+", "^")


def bindings(screen: Screen | None) -> list[BindingType]:
    """Return the bindings of a screen, or of the app (None): the actions that make sense everywhere."""
    return [
        Binding(
            key,
            f"app.act('{action.id}')",
            action.title,
            show=False,
            id=action.id,
            priority=screen is None and _is_chord(key),
        )
        for action in ACTIONS
        for key in action.keys
        if not action.is_field_key and (screen in action.screens if screen else not action.screens)
    ]


def _is_chord(key: str) -> bool:
    """Whether a key is never text, so that it works while somebody types."""
    return key.startswith("ctrl+") or (key.startswith("f") and key[1:].isdigit())


def hints(context: Context) -> list[Action]:
    """Return the actions of the footer, the most useful first."""
    found = [action for action in ACTIONS if action.hint and is_enabled(action, context)]
    found = [action for action in found if not action.hint_screens or context.screen in action.hint_screens]
    return sorted(found, key=lambda action: action.rank)


def letters() -> dict[str, Action]:
    """Return the actions of the Go strip by their letters."""
    return {action.letter: action for action in ACTIONS if action.letter}
