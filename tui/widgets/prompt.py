"""The field in which a message is written: enter sends, ctrl+j breaks the line, ↑ on the first row recalls.

It never loses a draft: what is recalled goes over an empty field or the draft kept below the history.
"""

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from tui.words import clean

HISTORY = 200
"""Messages that ↑ can bring back."""


class Prompt(TextArea):
    """The field."""

    class Submitted(Message):
        """The person wants the text sent."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Scrolled(Message):
        """The person wants to see other lines of the conversation: -1 for older, 1 for newer."""

        def __init__(self, pages: int) -> None:
            super().__init__()
            self.pages = pages

    def __init__(self) -> None:
        super().__init__(compact=True, highlight_cursor_line=False, placeholder="Write a message…")
        # A blinking cursor wakes the machine twice a second for as long as the console is open.
        self.cursor_blink = False
        self._past: list[str] = []
        self._place = 0
        self._draft = ""

    def restore(self, text: str) -> None:
        """Bring a text back that was not sent, unless something else is being written."""
        if not self.text.strip():
            self._write(text)

    async def _on_key(self, event: events.Key) -> None:
        """Take our keys; the base class gets the others, since Textual asks every class in turn."""
        if self._took(event):
            event.stop()
            event.prevent_default()

    def _took(self, event: events.Key) -> bool:
        match event.key:
            case "enter":
                self._submit()
            case "ctrl+j" | "shift+enter":
                self.insert("\n")
            case "up" if self.cursor_at_first_line and self._place > 0:
                self._recall(self._place - 1)
            case "down" if self.cursor_at_last_line and self._place < len(self._past):
                self._recall(self._place + 1)
            case "pageup" | "pagedown":
                self.post_message(self.Scrolled(-1 if event.key == "pageup" else 1))
            case _:
                return False
        return True

    async def _on_paste(self, event: events.Paste) -> None:
        """Rid pasted text of what could steer a terminal; the base class inserts it, and it never sends."""
        event.text = clean(event.text if "\n" in event.text else event.text.replace("\r", "\n"))

    def _submit(self) -> None:
        text = self.text
        if not text.strip():
            return

        if not self._past or self._past[-1] != text:
            self._past = [*self._past[-HISTORY + 1 :], text]
        self._place = len(self._past)
        self._draft = ""
        self.clear()
        self.post_message(self.Submitted(text))

    def _recall(self, place: int) -> None:
        if self._place == len(self._past):
            self._draft = self.text
        self._place = place
        self._write(self._past[place] if place < len(self._past) else self._draft)

    def _write(self, text: str) -> None:
        self.load_text(text)
        self.move_cursor(self.document.end)
