"""The first row of every screen, and the banner that says that the server is gone."""

from textual.content import Content
from textual.widget import Widget

from runtime.core.states import ModelState
from tui.revealed import reveal
from tui.state import Exchange, Run, ViewState, chat_model, find_run, job_of, live_rate
from tui.widgets.line import Word, content
from tui.words import fraction, span, tally

STAGES: dict[str, tuple[str, str, str]] = {
    "available": ("○", "not installed", "$muted"),
    "installing": ("↓", "installing", "$warning"),
    "installed": ("○", "idle", "$muted"),
    "loading": ("◐", "loading", "$warning"),
    "loaded": ("●", "loaded", "$success"),
    "broken": ("✖", "broken", "$error"),
}
"""Each stage as glyph, word and colour."""


def stage_word(view: ViewState, model: ModelState) -> Word:
    """Return a model's stage with how far it is."""
    glyph, word, style = STAGES[model.stage]
    job = job_of(view, model)
    known = fraction(job) if job and model.stage in ("installing", "loading") else None
    return Word(f"{glyph} {word}" if known is None else f"{glyph} {word} {known * 100:.0f} %", style, 2)


def link_word(view: ViewState, now: float) -> Word:
    """Return how the connection is; its age when it is gone."""
    match view.link.phase:
        case "live":
            return Word("server ● live", "$success", 3)
        case "connecting":
            return Word("server ◐ connecting", "$warning", 1)
        case "lost":
            return Word(f"server ✖ gone {span(now - view.link.since)}", "$error", 1)


def run_phase(run: Run) -> str:
    """Return what a run does now, in words."""
    match run.phase:
        case "queued":
            return f"number {run.position} in the queue"
        case "placing":
            return "waiting for the model"
        case "reading":
            return f"reading {tally(run.prompt_tokens)} tokens" if run.prompt_tokens else "reading"
        case "answering":
            return "answering"
        case "requested":
            return "asked"


def speed_words(view: ViewState, exchange: Exchange | None) -> list[Word]:
    """Return the speed and the time to the first token of an exchange, as far as they are known."""
    if exchange is None:
        return []

    words = []
    rate = live_rate(view, exchange)
    if rate is not None:
        words.append(Word(f"{rate:.0f} tok/s", "$foreground", 4))
    if exchange.first_token_s is not None:
        words.append(Word(f"first {span(exchange.first_token_s)}", "$muted", 6))
    return words


def activity_words(view: ViewState, now: float) -> list[Word]:
    """Return what the chat is doing and how fast."""
    exchange = view.chat.open
    if exchange is None:
        last = view.chat.exchanges[-1] if view.chat.exchanges else None
        return speed_words(view, last)

    since = f" {span(now - exchange.sent_at)}" if exchange.sent_at is not None else ""
    if exchange.agent:
        waits = exchange.run.info is not None and exchange.run.info.status == "waiting"
        doing = "stopping" if exchange.is_stopping else "waits for you" if waits else "working"
        return [Word(f"▸ {doing}{since}", "$accent", 1)]

    run = find_run(view, exchange.run_id)
    if exchange.status == "streaming":
        doing = "answering" if exchange.text_at is not None else "thinking"
    else:
        doing = run_phase(run) if run else "asked"
    return [Word(f"▸ {doing}{since}", "$accent", 1), *speed_words(view, exchange)]


def status_words(view: ViewState, title: str, now: float) -> list[Word]:
    """Return the whole row, to be cut to the width there is."""
    model = chat_model(view)
    words = [Word(f"◆ {title}", "bold $accent", 0), link_word(view, now)]
    if view.asks.count:
        words.append(Word(f"▲ {view.asks.count} to answer", "bold $warning", 1))
    if view.chat.agent:
        words.append(Word(f"agent {reveal(view.chat.agent)}", "bold $foreground", 5))
    elif view.chat.model:
        words.append(Word(view.chat.model, "bold $foreground", 5))
    if view.link.phase == "lost":
        # What was true of the model need not be true now.
        return words

    if model is not None and not view.chat.agent:
        words.append(stage_word(view, model))
    return [*words, *activity_words(view, now)]


class Status(Widget):
    """The row itself."""

    def __init__(self) -> None:
        super().__init__()
        self._words: list[Word] = []

    def show(self, view: ViewState, title: str, now: float) -> None:
        """Draw the view."""
        words = status_words(view, title, now)
        if words != self._words:
            self._words = words
            self.refresh()

    def render(self) -> Content:
        """Return the words that fit."""
        return content(self._words, self.size.width)


class Banner(Widget):
    """Says that the server is gone and when it is tried again; takes no room while all is well."""

    def __init__(self) -> None:
        super().__init__()
        self._words: list[Word] = []

    def show(self, view: ViewState, now: float) -> None:
        """Draw the view."""
        words = banner_words(view, now)
        self.display = bool(words)
        if words != self._words:
            self._words = words
            self.refresh()

    def render(self) -> Content:
        """Return the words that fit."""
        return content(self._words, self.size.width)


def banner_words(view: ViewState, now: float) -> list[Word]:
    """Return the words of the banner; none while the server is there."""
    if view.link.phase != "lost":
        return []

    left = max(0.0, (view.link.retry_at or now) - now)
    again = f"✖ reconnecting {span(left)}" if left >= 1 else "✖ reconnecting…"
    return [
        Word(again, "bold"),
        Word(view.link.reason, "", 1),
        Word("nothing is lost, write on", "", 2),
    ]
