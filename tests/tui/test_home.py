from runtime.core.events import ModelInstalling, Progress, RunRequested, SeqDelta, WorkerExited
from runtime.core.ids import PrincipalId, WorkerId
from tests.kit.fake_source import OTHER, SMALL, FakeSource, model_state, server_state
from tests.tui.kit import make_app, text_of, until
from tui.screens.base import LarScreen


def two_models() -> FakeSource:
    return FakeSource(server_state(model_state(), model_state(OTHER, "available", size_bytes=1_300_000_000)))


async def test_home_shows_the_server_its_models_and_what_runs() -> None:
    source = two_models()
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        app.go_to("home")
        asked = RunRequested(
            model=SMALL, route="/v1/chat", principal=PrincipalId("o"), choices=1, is_stream=True
        )
        source.happen(asked, run_id="run_123456789", at=app.clock.now() - 12)
        source.happen(SeqDelta(index=0, text="", tokens=1), run_id="run_123456789", at=app.clock.now() - 2)
        source.happen(SeqDelta(index=0, text="", tokens=40), run_id="run_123456789", at=app.clock.now())
        await until(pilot, lambda: "run_123456" in text_of(app))
        shown = text_of(app)
        assert "up 1h06" in shown
        assert "1.3 GB" in shown
        assert "answering  20 tok/s" in shown
        assert "1 running" in shown


async def test_a_model_is_installed_and_freed_from_home() -> None:
    source = two_models()
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        app.go_to("home")
        await until(pilot, lambda: OTHER in text_of(app))
        await pilot.press("u")
        await until(pilot, lambda: source.unloads == [SMALL])
        await pilot.press("i")
        assert source.installs == []
        await pilot.press("down", "i")
        await until(pilot, lambda: source.installs == [OTHER])
        source.happen(ModelInstalling(model=OTHER, progress=Progress(phase="fetching", done=1, total=4)))
        await until(pilot, lambda: "installing 25 %" in text_of(app))


async def test_enter_chats_with_the_model_under_the_cursor() -> None:
    source = two_models()
    app = make_app(source)
    async with app.run_test() as pilot:
        app.go_to("home")
        await until(pilot, lambda: OTHER in text_of(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.current_mode == "chat")
        assert app.view.chat.model == OTHER


async def test_what_went_wrong_is_listed() -> None:
    source = two_models()
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        app.go_to("home")
        gone = WorkerExited(
            worker=WorkerId("w"), model=SMALL, returncode=-9, is_expected=False, last_words=""
        )
        source.happen(gone)
        await until(pilot, lambda: "its worker died (-9)" in text_of(app))


async def test_the_go_strip_goes_by_letter_and_says_when_a_letter_means_nothing() -> None:
    app = make_app(two_models())
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "h home" in text_of(app))
        await pilot.press("x")
        await until(pilot, lambda: "no screen has the key x" in text_of(app))
        await pilot.press("h")
        await until(pilot, lambda: app.current_mode == "home")
        await pilot.press("g", "minus")
        await until(pilot, lambda: app.current_mode == "chat")


async def test_numbers_go_to_screens_outside_text_fields_only() -> None:
    app = make_app(two_models())
    async with app.run_test() as pilot:
        await pilot.press("1")
        assert app.current_mode == "chat"
        app.go_to("home")
        await until(pilot, lambda: app.current_mode == "home")
        await pilot.press("3")
        await until(pilot, lambda: app.current_mode == "events")


async def test_help_tells_of_the_screen_and_every_key() -> None:
    app = make_app(two_models())
    async with app.run_test(size=(100, 110)) as pilot:
        await pilot.press("f1")
        await until(pilot, lambda: "On this screen (chat)" in text_of(app))
        assert "Commands" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LarScreen))


async def test_the_palette_finds_an_action_and_does_it() -> None:
    app = make_app(two_models())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "chat: New chat" in text_of(app))
        await pilot.press(*"lar-light")
        await until(pilot, lambda: "theme: lar-light" in text_of(app) and "New chat" not in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.theme == "lar-light")


async def test_a_theme_that_is_not_there_is_told_and_the_dark_one_is_taken() -> None:
    app = make_app(two_models(), theme="no-such")
    app._disable_notifications = False
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "There is no theme 'no-such'" in text_of(app))
        assert app.theme == "lar-dark"
