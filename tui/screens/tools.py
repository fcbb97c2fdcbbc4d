"""The MCP servers: how they stand, what of theirs waits for trust, and connecting them anew."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui.actions import Need, bindings
from tui.reach import ToolChange, Tools, ToolServer
from tui.screens.base import LarScreen
from tui.tooling import ToolsWanted
from tui.widgets.foreign import Facts
from tui.widgets.hints import Hints
from tui.widgets.line import Word, content
from tui.widgets.status import Banner, Status
from tui.widgets.tools import Item, ToolRows, about, source_of


class ToolsScreen(LarScreen):
    """The screen. Its cursor is its own; all else is the view's."""

    NAME = "tools"
    TITLE_WORD = "tools"
    CSS_PATH = "tools.tcss"
    BINDINGS: ClassVar = bindings("tools")
    AUTO_FOCUS = "ToolRows"
    HELP_TEXT = (
        "MCP servers, Lar's own and those that you have added, with the tools that wait for you below each. "
        "A tool can be called once somebody has seen its definition and approved it; one that changes is out "
        "of use until then. Characters that cannot be seen are shown as ⟨200B⟩. tab scrolls the details."
    )

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield Status()
        yield Banner()
        yield Static(id="said")
        with Container(id="panes"):
            yield ToolRows()
            with VerticalScroll(id="details"):
                yield Facts()
        yield Static(id="none")
        yield Hints()

    def on_mount(self) -> None:
        """Draw what is known, and look."""
        super().on_mount()
        self.do_look()

    @property
    def chosen(self) -> Item | None:
        """What is under the cursor."""
        found = self.query(ToolRows)
        return found.first().current if self.is_mounted and found else None

    def needs(self) -> set[Need]:
        """Return what there is."""
        found, chosen = super().needs(), self.chosen
        if chosen is not None:
            found.add("server")
            if self._waiting(chosen):
                found.add("waiting_tools")
        return found

    def _waiting(self, chosen: Item) -> tuple[ToolChange, ...]:
        """Return the tools that the person would approve here: this one, or a server's without warnings."""
        tools = self.console.view.tools
        if isinstance(chosen, ToolChange):
            return () if chosen.tool.server in tools.busy else (chosen,)
        if chosen.name in tools.busy:
            return ()
        return tuple(each for each in tools.changes if each.tool.server == chosen.name and not each.warnings)

    def show_body(self) -> None:
        """Draw the servers."""
        tools = self.console.view.tools
        self.query_one("#said", Static).update(_said(tools, self.size.width - 2))
        rows = self.query_one(ToolRows)
        rows.show(tools)
        is_empty = not rows.count
        self.query_one("#panes").display = not is_empty
        nothing = self.query_one("#none", Static)
        nothing.display = is_empty
        if is_empty:
            nothing.update(_nothing(tools))
        chosen = self.chosen
        if chosen is not None:
            self.query_one(Facts).show(about(chosen, tools))

    def on_tool_rows_moved(self) -> None:
        """Show the details of what the cursor is on now."""
        self.query_one("#details", VerticalScroll).scroll_home(animate=False)
        self.show()

    # ---- actions

    def do_look(self) -> None:
        """Fetch the servers as they are now."""
        self.console.dispatch(ToolsWanted())

    def do_connect(self) -> None:
        """Connect the server under the cursor anew."""
        chosen = self.chosen
        if chosen is None:
            return
        server = chosen.name if isinstance(chosen, ToolServer) else chosen.tool.server
        if server not in self.console.view.tools.busy:
            self.console.begin(self.console.reach.connect(server), "connects")

    def do_approve(self) -> None:
        """Ask once more, then approve the tool, or those of the server that raise no suspicion."""
        changes = self._waiting(self.chosen) if self.chosen is not None else ()
        if not changes:
            return

        # Screens are imported when first shown.
        from tui.screens.trust import TrustScreen

        self.app.push_screen(TrustScreen(changes, self.console))

    def do_copy(self) -> None:
        """Copy a tool's definition, or where the server is."""
        if self.chosen is not None:
            self.console.copy(source_of(self.chosen), "what is shown")


def _said(tools: Tools, width: int) -> Content:
    bad = sum(each.status == "failed" for each in tools.servers)
    return content(
        [
            Word(f"{len(tools.servers)} servers", "$muted"),
            Word(
                f"▲ {len(tools.changes)} tools wait for approval" if tools.changes else "", "bold $warning", 1
            ),
            Word(f"✖ {bad} failed" if bad else "", "$error", 2),
            Word(f"✖ {tools.trouble}" if tools.trouble else "", "$error", 1),
        ],
        width,
    )


def _nothing(tools: Tools) -> Content:
    if tools.trouble:
        return Content("The servers cannot be listed. r looks again.")
    if not tools.is_known:
        return Content("Looking which servers there are…")
    return Content("\n").join(
        [
            Content("There is no MCP server yet."),
            Content.styled("lar mcp add NAME -- COMMAND …   takes a local one up", "$muted"),
            Content.styled("lar mcp add NAME https://…      a remote one", "$muted"),
            Content.styled("lar mcp import                  those of other programs", "$muted"),
        ]
    )
