"""The app: holds the view, feeds the reducer, draws at most some frames a second, and does actions.

Screens are modes of it, built when first shown. They draw what the view says and decide nothing.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from textual.app import App
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from runtime.core.ids import ModelId
from tui.actions import BY_ID, bindings, is_enabled, key_name
from tui.clock import Clock, SystemClock
from tui.effects import Effects
from tui.effects_agents import AgentEffects
from tui.effects_reach import ReachEffects
from tui.effects_talk import TalkEffects
from tui.errands import Crew, Errands
from tui.feed import Feed
from tui.modes import MODES
from tui.ports import Source
from tui.screens.base import LarScreen, LiveDialog
from tui.state import Chat, Level, Toast, ViewState, due, is_moving, wanted_install
from tui.talk_agents import StopAsked
from tui.theme import DARK, DEFAULTS, THEMES
from tui.view import Cleared, InstallAsked, Message, Sent, Stopped, reduce
from tui.words import clean

FRAME_S = 1 / 15
"""Between two drawings: the eye reads no faster, and each one costs."""
_DUTY = 4
"""A drawing that took long is followed by a pause of so many times its length, so that typing stays quick."""
_TICK_S = 0.5
"""Between two looks at things that only time changes."""
_ARMED_S = 2.0
"""How long a first ctrl+c counts."""
_SEVERITY: dict[Level, SeverityLevel] = {
    "info": "information",
    "good": "information",
    "warn": "warning",
    "bad": "error",
}
_GLYPH: dict[Level, str] = {"info": "●", "good": "✔", "warn": "▲", "bad": "✖"}


class LarApp(App[int], inherit_bindings=False):
    """The console of one server."""

    CSS_PATH = "app.tcss"
    TITLE = "Lar"
    DEFAULT_MODE = "chat"
    BINDINGS = [*bindings(None)]  # noqa: RUF012 - Textual reads a list here
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-middle"), (100, "-wide")]  # noqa: RUF012 - as above
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-high")]  # noqa: RUF012 - as above
    COMMANDS = {lambda: _commands()}  # noqa: RUF012 - the palette is imported when it opens

    def __init__(
        self,
        source: Source,
        model: str,
        *,
        theme: str = DARK,
        clock: Clock | None = None,
        frame_s: float = FRAME_S,
    ) -> None:
        super().__init__()
        self.source = source
        self.clock: Clock = clock or SystemClock()
        self.view = ViewState(chat=Chat(model=ModelId(model)))
        self.previous_mode = "home"
        self._feed = Feed(source, self.clock, self.dispatch)
        self._effects = Effects(source, self.clock, self.dispatch)
        self.reach = ReachEffects(source, self.clock, self.dispatch)
        self.agency = AgentEffects(source, self.clock, self.dispatch)
        self._talk = TalkEffects(source, self.clock, self.dispatch)
        self._errands = Errands(
            Crew(self.reach, self.agency, self._talk),
            look=lambda: self.view,
            take=self._take_note,
            begin=self.begin,
            running=self._groups_at_work,
            end=self._cancel_group,
        )
        self._frame_s = frame_s
        self._frame: Timer | None = None
        self._drawn_for_s = 0.0
        self._is_dirty = False
        self._told = 0
        self._armed_at = float("-inf")
        for each in THEMES:
            self.register_theme(each)
        self._unknown_theme = "" if theme in self.available_themes else theme
        self.theme = DARK if self._unknown_theme else theme
        for name, build in MODES.items():
            self.add_mode(name, partial(build, self))

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return our own variables for themes that do not have them."""
        return DEFAULTS

    def on_mount(self) -> None:
        """Begin to follow the server, once there is something on screen."""
        self.call_after_refresh(self._begin)

    async def on_unmount(self) -> None:
        """Close the connections; requests that are open are cancelled by it."""
        await self.source.aclose()

    def _begin(self) -> None:
        self.run_worker(self._feed.run(), name="feed", group="feed")
        self.set_interval(_TICK_S, self._tick)
        if self._unknown_theme:
            known = ", ".join(each.name for each in THEMES)
            text = f"▲ There is no theme '{self._unknown_theme}'. Ours are: {known}."
            self.notify(text, severity="warning", markup=False)

    # ---- the view

    def dispatch(self, message: Message) -> None:
        """Tell the reducer; what follows from it is done and drawn."""
        self.view = reduce(self.view, message)
        self._follow_up()
        self._is_dirty = True
        if self._frame_s <= 0:
            self.call_next(self._draw)
        elif self._frame is None:
            self._frame = self.set_timer(max(self._frame_s, _DUTY * self._drawn_for_s), self._draw)

    def _follow_up(self) -> None:
        """Do what the view asks for; each of these changes the view so that it asks but once."""
        exchange = due(self.view)
        if exchange is not None:
            view = self.view
            self.view = reduce(view, Sent(id=exchange.id, at=self.clock.monotonic()))
            if exchange.agent:
                self.run_worker(self._talk.ask(view.chat, exchange), name="talk", group="talk")
            else:
                self.run_worker(self._effects.answer(view, exchange), name="answer", group="answer")

        model = wanted_install(self.view)
        if model is not None:
            self.install(model)

        if self.view.is_stale and not any(each.group == "refresh" for each in self.workers):
            self.run_worker(self._feed.refresh(), name="refresh", group="refresh")

        self._errands.run()
        for toast in self.view.toasts:
            if toast.id > self._told:
                self._told = toast.id
                self._tell(toast)

    def _take_note(self, message: Message) -> None:
        """Tell the reducer what is being done about the view."""
        self.view = reduce(self.view, message)

    def _groups_at_work(self) -> set[str]:
        return {each.group for each in self.workers if not each.is_finished}

    def _cancel_group(self, group: str) -> None:
        self.workers.cancel_group(self, group)

    def _tell(self, toast: Toast) -> None:
        """Show a toast, unless the screen that shows the thing itself is open."""
        if toast.about and toast.about == self.current_mode:
            return

        way = f"  {key_name(BY_ID[f'go.{toast.about}'].keys[0])} shows it" if toast.about else ""
        text = f"{_GLYPH[toast.level]} {toast.text}{way}"
        self.notify(text, severity=_SEVERITY[toast.level], markup=False)

    def _draw(self) -> None:
        self._frame = None
        if not self._is_dirty:
            return

        self._is_dirty = False
        began = self.clock.monotonic()
        for screen in self.screen_stack:
            if isinstance(screen, LarScreen | LiveDialog):
                screen.show()
        self._drawn_for_s = self.clock.monotonic() - began

    def _tick(self) -> None:
        if is_moving(self.view):
            self._is_dirty = True
            self._draw()

    # ---- what screens ask for

    def act(self, action: str) -> None:
        """Do an action by its id, where it makes sense now."""
        screen = self.lar_screen
        if screen is None or not is_enabled(BY_ID[action], screen.context()):
            return
        if screen is not self.screen and BY_ID[action].group != "lar":
            return

        name = f"do_{BY_ID[action].handler}"
        handler: Callable[[], None] = getattr(screen, name, None) or getattr(self, name)
        handler()

    def action_act(self, action: str) -> None:
        """Do an action on behalf of a key."""
        self.act(action)

    @property
    def lar_screen(self) -> LarScreen | None:
        """The screen of the mode, under whatever is open over it."""
        return next((each for each in self.screen_stack if isinstance(each, LarScreen)), None)

    def install(self, model: str) -> None:
        """Ask the server to install a model."""
        self.view = reduce(self.view, InstallAsked(model=ModelId(model)))
        self.run_worker(self._effects.install(ModelId(model)), name="install", group="install")

    def unload(self, model: str) -> None:
        """Ask the server to free a model."""
        self.run_worker(self._effects.unload(ModelId(model)), name="unload", group="unload")

    def copy(self, text: str, what: str) -> None:
        """Put text on the clipboard and say so."""
        self.copy_to_clipboard(text)
        self.notify(f"✔ {what} copied", timeout=2, markup=False)

    def stop_answer(self) -> bool:
        """Stop the answer that is coming; False when there is none."""
        exchange = self.view.chat.open
        if exchange is None or exchange.is_stopping:
            return False
        if exchange.agent:
            self.dispatch(StopAsked(exchange=exchange.id))
            return True

        self.workers.cancel_group(self, "answer")
        self.dispatch(Stopped(id=exchange.id, at=self.clock.monotonic()))
        return True

    def begin(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Do something that takes a while, beside the drawing."""
        self.run_worker(work, name=group, group=group)

    def go_to(self, mode: str) -> None:
        """Show a screen."""
        if mode != self.current_mode:
            self.previous_mode = self.current_mode
            self.switch_mode(mode)

    # ---- actions of every screen

    def do_go_chat(self) -> None:
        """Show the chat."""
        self.go_to("chat")

    def do_go_home(self) -> None:
        """Show the home screen."""
        self.go_to("home")

    def do_go_events(self) -> None:
        """Show the events."""
        self.go_to("events")

    def do_go_approvals(self) -> None:
        """Show what waits for an answer."""
        self.go_to("approvals")

    def do_go_tools(self) -> None:
        """Show the MCP servers and their tools."""
        self.go_to("tools")

    def do_go_agents(self) -> None:
        """Show the agents and their runs."""
        self.go_to("agents")

    def do_go_run(self) -> None:
        """Show the run that was opened last."""
        self.go_to("run")

    def do_go_back(self) -> None:
        """Show the screen before this one."""
        self.go_to(self.previous_mode)

    def do_new_chat(self) -> None:
        """Begin a new chat; the draft stays. A model stops, an agent goes on."""
        at_work = self.view.chat.open
        if at_work is not None and at_work.agent:
            text = (
                f"{at_work.agent} goes on with what it does: {key_name(BY_ID['go.agents'].keys[0])} shows it"
            )
            self.notify(clean(text), markup=False)
        else:
            self.stop_answer()
        self.dispatch(Cleared())
        self.go_to("chat")

    def do_up(self) -> None:
        """Go up a level: from everywhere to the chat. Never quits."""
        self.go_to("chat")

    def do_retry(self) -> None:
        """Install the chat's model again."""
        self.install(self.view.chat.model)

    def do_interrupt(self) -> None:
        """Copy what is selected; else stop the answer; else quit when pressed twice."""
        selected = self._selected_text()
        if selected:
            self.copy(selected, "selection")
            self.screen.clear_selection()
            return

        if self.stop_answer():
            return

        now = self.clock.monotonic()
        if now - self._armed_at <= _ARMED_S:
            self.exit(0)
            return

        self._armed_at = now
        self.notify("ctrl+c again to quit; the server goes on", timeout=_ARMED_S, markup=False)

    def do_next_theme(self) -> None:
        """Take the next of our themes."""
        names = [each.name for each in THEMES]
        current = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(current + 1) % len(names)]

    def do_quit(self) -> None:
        """Leave; the server goes on."""
        self.exit(0)

    def do_palette(self) -> None:
        """Open the command palette."""
        self.action_command_palette()

    def do_go(self) -> None:
        """Open the Go strip."""
        # Screens and what they bring along are imported when first shown: the first frame needs one of them.
        from tui.screens.go import GoStrip

        self._open(GoStrip(self))

    def do_help(self) -> None:
        """Open the help."""
        from tui.screens.help import HelpScreen

        self._open(HelpScreen(self.lar_screen))

    def do_pick_model(self) -> None:
        """Open the list of models and agents."""
        from tui.screens.models import ModelPicker

        self._open(ModelPicker(self))

    def _open(self, screen: Screen[None]) -> None:
        if isinstance(self.screen, LarScreen):
            self.push_screen(screen)

    def _selected_text(self) -> str:
        focused: Widget | None = self.screen.focused
        inside = getattr(focused, "selected_text", "")
        return inside or self.screen.get_selected_text() or ""


def _commands() -> type:
    from tui.palette import LarCommands

    return LarCommands
