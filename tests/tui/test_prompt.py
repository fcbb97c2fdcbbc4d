from textual import events
from textual.app import App, ComposeResult

from tui.widgets.prompt import Prompt


class Field(App[None]):
    """A field alone, with what it sent."""

    CSS = "Prompt { height: auto; max-height: 10; }"

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def compose(self) -> ComposeResult:
        yield Prompt()

    def on_prompt_submitted(self, message: Prompt.Submitted) -> None:
        self.sent.append(message.text)


async def test_enter_sends_and_empties_the_field_and_blanks_are_not_sent() -> None:
    app = Field()
    async with app.run_test() as pilot:
        await pilot.press("space", "enter", "h", "i", "enter")
        assert app.sent == [" hi"]
        assert app.query_one(Prompt).text == ""


async def test_control_j_and_shift_enter_break_the_line() -> None:
    app = Field()
    async with app.run_test() as pilot:
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c", "enter")
        assert app.sent == ["a\nb\nc"]


async def test_pasted_lines_are_not_sent_and_cannot_steer_the_terminal() -> None:
    app = Field()
    async with app.run_test() as pilot:
        app.post_message(events.Paste("one\r\ntwo\x1b[2J"))
        await pilot.pause()
        assert app.query_one(Prompt).text == "one\ntwo\ufffd[2J"
        assert app.sent == []


async def test_up_on_the_first_row_recalls_and_down_comes_back_to_the_draft() -> None:
    app = Field()
    async with app.run_test() as pilot:
        await pilot.press("1", "enter", "2", "enter", "d")
        field = app.query_one(Prompt)
        seen = []
        for key in ("up", "up", "up", "down", "down", "down"):
            await pilot.press(key)
            seen.append(field.text)
        assert seen == ["2", "1", "1", "2", "d", "d"]


async def test_up_inside_a_longer_text_only_moves_the_cursor() -> None:
    app = Field()
    async with app.run_test() as pilot:
        await pilot.press("1", "enter", "a", "ctrl+j", "b", "up")
        assert app.query_one(Prompt).text == "a\nb"


async def test_the_field_grows_to_ten_rows_and_no_more() -> None:
    app = Field()
    async with app.run_test(size=(40, 30)) as pilot:
        field = app.query_one(Prompt)
        assert field.size.height == 1
        field.insert("\n" * 3)
        await pilot.pause()
        assert field.size.height == 4
        field.insert("\n" * 20)
        await pilot.pause()
        assert field.size.height == 10


async def test_a_text_is_given_back_only_to_an_empty_field() -> None:
    app = Field()
    async with app.run_test() as pilot:
        field = app.query_one(Prompt)
        field.restore("old")
        assert field.text == "old"
        await pilot.press("x")
        field.restore("other")
        assert field.text == "oldx"
