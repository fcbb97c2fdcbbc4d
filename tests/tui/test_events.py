from runtime.core.events import ModelEvicted, RunFailed, SeqDelta
from tests.kit.fake_source import SMALL, FakeSource
from tests.tui.kit import make_app, text_of, until
from tui.screens.events import EventsScreen
from tui.widgets.rows import EventRows


async def test_facts_are_listed_as_they_come_and_deltas_share_a_row() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 24)) as pilot:
        app.go_to("events")
        await until(pilot, lambda: "Nothing has happened yet" in text_of(app))
        source.happen(ModelEvicted(model=SMALL, reason="idle"))
        for _ in range(3):
            source.happen(SeqDelta(index=0, text="x", tokens=1), run_id="run_1")
        await until(pilot, lambda: "left memory: idle" in text_of(app))
        await until(pilot, lambda: "x3" in text_of(app).replace("\u00d7", "x"))
        assert "22:13:20" in text_of(app)


async def test_the_filter_narrows_while_it_is_written_and_escape_empties_it() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 24)) as pilot:
        app.go_to("events")
        source.happen(ModelEvicted(model=SMALL, reason="idle"))
        source.happen(RunFailed(code="worker_died", message="It died."), run_id="run_1")
        await until(pilot, lambda: "It died." in text_of(app))
        await pilot.press("slash", *"model.", "asterisk", "enter")
        await until(pilot, lambda: "It died." not in text_of(app))
        assert "1 of 2 facts" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: "It died." in text_of(app))


async def test_a_pause_holds_the_rows_still_and_counts_what_comes() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 24)) as pilot:
        app.go_to("events")
        source.happen(ModelEvicted(model=SMALL, reason="idle"))
        await until(pilot, lambda: "left memory: idle" in text_of(app))
        await pilot.press("space")
        source.happen(ModelEvicted(model=SMALL, reason="room"))
        await until(pilot, lambda: "paused, 1 new" in text_of(app))
        assert "left memory: room" not in text_of(app)
        await pilot.press("f")
        await until(pilot, lambda: "left memory: room" in text_of(app))


async def test_the_cursor_stays_on_its_fact_while_others_come() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 24)) as pilot:
        app.go_to("events")
        for number in range(60):
            source.happen(RunFailed(code="engine_failed", message=f"number {number}"), run_id="run_1")
        await until(pilot, lambda: "number 59" in text_of(app))
        await pilot.press("up", "up")
        rows = app.screen.query_one(EventRows)
        assert rows.current is not None
        stays = rows.current.seq
        source.happen(RunFailed(code="engine_failed", message="number 60"), run_id="run_1")
        await until(pilot, lambda: len(app.view.rows) == 61)
        assert rows.current.seq == stays
        assert "held by the cursor" in text_of(app)


async def test_enter_shows_the_whole_fact_and_escape_goes_up_a_level_at_a_time() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        app.go_to("events")
        source.happen(ModelEvicted(model=SMALL, reason="idle"))
        await until(pilot, lambda: "left memory" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: '"kind": "model.evicted"' in text_of(app))
        await pilot.press("y")
        assert '"reason": "idle"' in app.clipboard
        await pilot.press("escape")
        assert isinstance(app.screen, EventsScreen)
        await pilot.press("escape")
        await until(pilot, lambda: app.current_mode == "chat")


async def test_the_newest_fact_is_in_sight_after_a_while_on_another_screen() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=(100, 24)) as pilot:
        app.go_to("events")
        for _ in range(5):
            source.happen(ModelEvicted(model=SMALL, reason="idle"))
        await until(pilot, lambda: "left memory" in text_of(app))
        app.go_to("chat")
        await until(pilot, lambda: app.current_mode == "chat")
        for number in range(60):
            source.happen(RunFailed(code="engine_failed", message=f"number {number}"), run_id="run_1")
        await until(pilot, lambda: len(app.view.rows) == 65)
        app.go_to("events")
        await until(pilot, lambda: "number 59" in text_of(app))
        assert "following" in text_of(app)
