"""Markdown as lines: Rich does the layout, in our colours, left-aligned, links written out.

Imported when the first answer is drawn: parser and highlighter take longer to import than the first frame
may take.
"""

from functools import lru_cache
from io import StringIO
from typing import ClassVar

from markdown_it import MarkdownIt
from pygments.token import (  # type: ignore[import-untyped]  # pygments ships no types
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    String,
    Token,
)
from rich import markdown
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.theme import Theme

from tui.theme import Colours


class _Code(markdown.CodeBlock):
    """A code block on our surface, with our colours."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip("\n")
        theme, surface = _code_theme(_colours(console)), _colours(console).surface
        yield Syntax(
            code, self.lexer_name, theme=theme, word_wrap=True, padding=(0, 1), background_color=surface
        )


class _Heading(markdown.Heading):
    """A heading that stands left, as text does."""

    LEVEL_ALIGN: ClassVar = {f"h{level}": "left" for level in range(1, 7)}


class _Markdown(markdown.Markdown):
    """Markdown with one parser for all: building one takes longer than most pieces take to parse."""

    elements: ClassVar[dict[str, type[markdown.MarkdownElement]]] = {
        **markdown.Markdown.elements,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
    }

    def __init__(self, text: str) -> None:  # the base class would build its own parser
        self.markup = text
        self.parsed = _parser().parse(text)
        self.code_theme = ""
        self.justify = None
        self.style = "none"
        self.hyperlinks = False  # a link shows where it goes
        self.inline_code_lexer = None
        self.inline_code_theme = ""


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    return MarkdownIt().enable("strikethrough").enable("table")


class _Console(Console):
    """A console that lays out for a set of colours and prints nothing."""

    colours: Colours


def markdown_lines(text: str, width: int, colours: Colours) -> list[list[Segment]]:
    """Return Markdown as lines of at most this width."""
    console = _console(colours)
    options = console.options.update(width=max(4, width), height=None)
    rendered = _Markdown(text)
    return console.render_lines(rendered, options, pad=False)


def _colours(console: Console) -> Colours:
    assert isinstance(console, _Console)
    return console.colours


@lru_cache(maxsize=4)
def _console(colours: Colours) -> _Console:
    console = _Console(
        file=StringIO(),
        force_terminal=True,
        color_system="truecolor",
        theme=_theme(colours),
        legacy_windows=False,
    )
    console.colours = colours
    return console


def _theme(colours: Colours) -> Theme:
    heading = Style(color=colours.accent, bold=True)
    return Theme(
        {
            "markdown.h1": heading,
            "markdown.h1.border": Style(color=colours.faint),
            **{f"markdown.h{level}": heading for level in range(2, 7)},
            "markdown.code": Style(color=colours.second),
            "markdown.block_quote": Style(color=colours.muted, italic=True),
            "markdown.item.bullet": Style(color=colours.accent),
            "markdown.item.number": Style(color=colours.accent),
            "markdown.list": Style(),
            "markdown.hr": Style(color=colours.faint),
            "markdown.link": Style(color=colours.second, underline=True),
            "markdown.link_url": Style(color=colours.second, underline=True),
            "markdown.table.border": Style(color=colours.faint),
            "markdown.table.header": Style(color=colours.accent, bold=True),
        }
    )


@lru_cache(maxsize=4)
def _code_theme(colours: Colours) -> ANSISyntaxTheme:
    styles: dict[tuple[str, ...], Style] = {
        Token: Style(color=colours.text),
        Comment: Style(color=colours.muted, italic=True),
        Keyword: Style(color=colours.accent),
        Operator.Word: Style(color=colours.accent),
        String: Style(color=colours.good),
        Number: Style(color=colours.warn),
        Name.Function: Style(color=colours.second),
        Name.Class: Style(color=colours.second, bold=True),
        Name.Builtin: Style(color=colours.second),
        Name.Decorator: Style(color=colours.warn),
        Name.Tag: Style(color=colours.accent),
    }
    return ANSISyntaxTheme(styles)
