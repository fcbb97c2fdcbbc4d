import pytest

from runtime.core.errors import Fault
from runtime.core.events import ModelInstalled, ModelInstalling, Progress, RunRequested, SeqDelta
from runtime.core.ids import PrincipalId, RunId
from tests.kit.fake_source import OTHER, SMALL, FakeSource, model_state, server_state
from tests.tui.kit import make_app, text_of, until
from tui.ports import ChatFailed, ChatReasoning, ChatStarted, ChatText, Refused
from tui.widgets.prompt import Prompt
from tui.widgets.transcript import Transcript


async def test_a_question_is_sent_and_its_answer_is_shown_as_it_comes() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.view.link.phase == "live")
        await pilot.press("h", "i", "enter")
        await until(pilot, lambda: source.asked)
        assert [each.content for each in source.asked[0].messages] == ["hi"]
        assert source.asked[0].model == SMALL
        assert app.screen.query_one(Prompt).text == ""

        source.say(ChatStarted(run_id=None), ChatText(text="Hello **you**"))
        await until(pilot, lambda: "Hello you" in text_of(app))
        assert "answering" in text_of(app)


async def test_the_second_question_carries_the_conversation() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test() as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        source.answer("first")
        await until(pilot, lambda: app.view.chat.exchanges[0].status == "done")
        await pilot.press("b", "enter")
        await until(pilot, lambda: len(source.asked) == 2)
        assert [each.role for each in source.asked[1].messages] == ["user", "assistant", "user"]


async def test_escape_stops_the_answer_keeps_what_was_said_and_closes_the_request() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("q", "enter")
        await until(pilot, lambda: source.asked)
        source.say(ChatStarted(run_id=None), ChatText(text="half an ans"))
        await until(pilot, lambda: "half an ans" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: source.closed_chats == 1)
        assert app.view.chat.exchanges[0].status == "stopped"
        await until(pilot, lambda: "■ stopped" in text_of(app))
        assert "half an ans" in text_of(app)


async def test_messages_sent_while_an_answer_comes_wait_in_sight_and_go_in_turn() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("a", "enter", "b", "enter")
        await until(pilot, lambda: "» queued" in text_of(app))
        assert len(source.asked) == 1
        source.answer("done")
        await until(pilot, lambda: len(source.asked) == 2)
        assert source.asked[1].messages[-1].content == "b"


async def test_escape_takes_a_waiting_message_back_into_the_field() -> None:
    source = FakeSource(server_state(model_state(stage="installing")))
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("a", "b", "enter")
        await until(pilot, lambda: "» queued" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: not app.view.chat.exchanges)
        assert app.screen.query_one(Prompt).text == "ab"


async def test_an_error_is_shown_with_its_words_and_the_question_comes_back() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("w", "h", "y", "enter")
        await until(pilot, lambda: source.asked)
        source.say(ChatFailed(code="worker_died", message="The worker died. Send it again."))
        await until(pilot, lambda: "✖ worker_died" in text_of(app))
        assert "The worker died. Send it again." in text_of(app)
        assert app.screen.query_one(Prompt).text == "why"


async def test_an_error_never_overwrites_what_is_being_written() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test() as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        await pilot.press("n", "e", "w")
        source.say(ChatFailed(code="engine_failed", message="No."))
        await until(pilot, lambda: app.view.chat.exchanges[0].status == "failed")
        assert app.screen.query_one(Prompt).text == "new"


async def test_a_model_that_is_not_there_is_installed_and_the_message_goes_when_it_is() -> None:
    source = FakeSource(server_state(model_state(stage="available")))
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: source.installs == [SMALL])
        await pilot.press("a", "enter")
        progress = Progress(phase="building llama.cpp", done=74, total=220, left_s=190)
        source.happen(ModelInstalling(model=SMALL, progress=progress))
        await until(pilot, lambda: "34 % · 74/220 · 3m10 left" in text_of(app))
        assert "building llama.cpp" in text_of(app)
        assert source.asked == []

        source.happen(ModelInstalled(model=SMALL, duration_s=200))
        await until(pilot, lambda: source.asked)
        assert source.installs == [SMALL]
        assert "building" not in text_of(app)


async def test_a_broken_model_says_why_and_is_installed_again_on_demand() -> None:
    fault = Fault(code="install_failed", message="No compiler was found. Install gcc.")
    source = FakeSource(server_state(model_state(stage="broken", fault=fault)))
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "No compiler was found" in text_of(app))
        assert source.installs == []
        await pilot.press("ctrl+r")
        await until(pilot, lambda: source.installs == [SMALL])


async def test_a_refused_install_is_told() -> None:
    source = FakeSource(server_state(model_state(stage="available")))
    source.refusal = Refused("model_not_found", "No such model.")
    app = make_app(source)
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.view.toasts)
        assert app.view.toasts[-1].text == "install qwen2.5-0.5b: No such model."


async def test_a_lost_server_is_told_and_neither_draft_nor_conversation_is_lost() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        source.answer("the answer")
        await until(pilot, lambda: "the answer" in text_of(app))
        await pilot.press("d", "r", "a", "f", "t")
        source.lose(retry_s=3.0)
        await until(pilot, lambda: "✖ reconnecting 3.0s" in text_of(app))
        assert "the answer" in text_of(app)
        assert app.screen.query_one(Prompt).text == "draft"

        await pilot.press("enter")
        await until(pilot, lambda: "» queued" in text_of(app))
        source.reach(server_state(seq=50))
        await until(pilot, lambda: len(source.asked) == 2)
        assert "reconnecting" not in text_of(app)


async def test_the_speed_is_the_servers_count() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        source.say(ChatStarted(run_id=RunId("run_1")), ChatText(text="x"))
        asked = RunRequested(model=SMALL, route="/v1", principal=PrincipalId("o"), choices=1, is_stream=True)
        source.happen(asked, run_id="run_1", at=0)
        source.happen(SeqDelta(index=0, text="x", tokens=1), run_id="run_1", at=1)
        source.happen(SeqDelta(index=0, text="y", tokens=84), run_id="run_1", at=2)
        await until(pilot, lambda: "84 tok/s" in text_of(app))


async def test_thoughts_are_folded_until_they_are_asked_for() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        source.say(ChatReasoning(text="secret steps"), ChatText(text="so"))
        await until(pilot, lambda: "▸ thought" in text_of(app))
        assert "secret steps" not in text_of(app)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "secret steps" in text_of(app))


async def test_the_transcript_follows_at_the_end_and_stays_put_when_it_was_scrolled_up() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        source.say(ChatText(text="\n\n".join(f"line {number}" for number in range(40))))
        await until(pilot, lambda: "line 39" in text_of(app))
        await pilot.press("pageup")
        await until(pilot, lambda: "line 39" not in text_of(app))
        before = app.screen.query_one(Transcript).scroll_offset

        source.say(ChatText(text="\n\nline 40\n\nline 41"))
        await until(pilot, lambda: "↓ 4 new" in text_of(app))
        assert app.screen.query_one(Transcript).scroll_offset == before
        await pilot.press("ctrl+end")
        await until(pilot, lambda: "line 41" in text_of(app))
        assert "new" not in text_of(app).splitlines()[-6]


async def test_a_new_chat_is_empty_and_stops_what_was_coming() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test() as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: source.closed_chats == 1)
        assert app.view.chat.exchanges == ()
        await until(pilot, lambda: "Ask anything" in text_of(app))


async def test_the_model_picker_changes_whom_the_chat_talks_to() -> None:
    source = FakeSource(server_state(model_state(SMALL), model_state(OTHER)))
    app = make_app(source)
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.view.models)
        await pilot.press("f5")
        await until(pilot, lambda: OTHER in text_of(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.view.chat.model == OTHER)


async def test_control_c_copies_then_stops_then_quits_when_pressed_twice() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test() as pilot:
        await pilot.press("a", "b", "f7", "ctrl+c")
        assert app.clipboard == "ab"
        await pilot.press("enter")
        await until(pilot, lambda: source.asked)
        await pilot.press("ctrl+c")
        await until(pilot, lambda: source.closed_chats == 1)
        assert app.view.chat.exchanges[0].status == "stopped"
        await pilot.press("ctrl+c")
        assert app.is_running
        await pilot.press("ctrl+c")
    assert app.return_value == 0
    assert source.is_closed


async def test_the_last_answer_is_copied_as_it_was_written() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test() as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        source.say(ChatText(text="**bold** `code`"))
        await until(pilot, lambda: "bold code" in text_of(app))
        app.screen.query_one(Transcript).focus()
        await pilot.press("y")
        assert app.clipboard == "**bold** `code`"


async def test_what_the_mouse_selects_is_copied_as_text() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        source.say(ChatText(text="one **two** three"))
        await until(pilot, lambda: "one two three" in text_of(app))
        row = next(n for n, line in enumerate(text_of(app).splitlines()) if "one two three" in line)
        await pilot.mouse_down(Transcript, offset=(6, row - 1))
        await pilot.hover(Transcript, offset=(12, row - 1))
        await pilot.mouse_up(Transcript, offset=(12, row - 1))
        await until(pilot, lambda: app.screen.get_selected_text())
        await pilot.press("ctrl+c")
        assert app.clipboard == "two thr"


@pytest.mark.parametrize("size", [(40, 10), (59, 15), (80, 24), (160, 48)])
async def test_the_chat_can_be_used_at_every_size(size: tuple[int, int]) -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=size) as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        source.say(ChatText(text="fine"))
        await until(pilot, lambda: "fine" in text_of(app))
        assert all(len(line) <= size[0] for line in text_of(app).splitlines())


async def test_the_newest_line_is_in_sight_after_a_while_on_another_screen() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: source.asked)
        app.go_to("home")
        await until(pilot, lambda: app.current_mode == "home")
        source.say(ChatText(text="\n\n".join(f"line {number}" for number in range(60))))
        await until(pilot, lambda: "line 59" in app.view.chat.exchanges[0].answer)
        app.go_to("chat")
        await until(pilot, lambda: "line 59" in text_of(app))
        source.say(ChatText(text="\n\nthe end"))
        await until(pilot, lambda: "the end" in text_of(app))
