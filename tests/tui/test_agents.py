from runtime.core.agent_facts import AgentFinished, AgentStarted, AgentWaiting
from runtime.core.ids import ApprovalId, PrincipalId
from runtime.core.messages import Usage
from tests.kit.fake_source import SMALL, FakeSource
from tests.tui import laboured
from tests.tui.kit import make_app, text_of, until
from tests.tui.laboured import LISTING, RUN, give_run, run, staffed, steps
from tui.app import LarApp
from tui.ports import Refused
from tui.screens.agents import AgentsScreen
from tui.screens.approvals import ApprovalsScreen
from tui.screens.run import RunScreen
from tui.screens.say import SayScreen
from tui.widgets.agents import RunRows
from tui.widgets.timeline import Timeline

SIZE = (120, 36)


def posts(source: FakeSource) -> list[tuple[str, object]]:
    return [(call.path, call.body) for call in source.calls if call.method == "POST"]


async def open_run(app: LarApp, pilot: object, source: FakeSource) -> None:
    app.go_to("agents")
    await until(pilot, lambda: app.view.agents.runs)  # type: ignore[arg-type]  # a Pilot
    await pilot.press("tab", "enter")  # type: ignore[attr-defined]  # a Pilot
    await until(pilot, lambda: app.view.opened.steps)  # type: ignore[arg-type]  # a Pilot
    await until(pilot, lambda: isinstance(app.screen, RunScreen))  # type: ignore[arg-type]  # a Pilot


async def test_nothing_of_agents_is_fetched_before_somebody_looks() -> None:
    source = staffed()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.view.asks.approvals_want.had)
        assert not [each.path for each in source.calls if "agents" in each.path or "runs" in each.path]
        await pilot.press("ctrl+g", "a")
        await until(pilot, lambda: app.view.agents.agents)
        assert isinstance(app.screen, AgentsScreen)


async def test_agents_are_shown_with_their_state_and_what_starts_them() -> None:
    app = make_app(staffed())
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: "● clerk" in text_of(app))
        shown = text_of(app)
        assert "‖ digest" in shown
        assert "at 0 8 * * 1-5" in shown
        assert "✖ researcher" in shown
        assert "faulty" in shown
        assert "bread⟨200B⟩?" in shown
        await pilot.press("down", "down", "down")
        await until(pilot, lambda: "lar recall collections create papers" in text_of(app))
        assert "No run yet. enter gives it a task." in text_of(app)


async def test_only_the_runs_of_the_agent_under_the_cursor_are_listed() -> None:
    app = make_app(staffed())
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: "Sum up what came in" in text_of(app))
        await pilot.press("down")
        await until(pilot, lambda: "runs of clerk" in text_of(app))
        assert "Sum up what came in" not in text_of(app)
        assert "Write down that tea" in text_of(app)


async def test_runs_move_with_the_facts_and_a_new_one_is_listed() -> None:
    source = staffed()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: "▲ waits" in text_of(app))
        ended = AgentFinished(
            agent="clerk", turns=3, calls=2, usage=Usage(prompt_tokens=5, completion_tokens=4)
        )
        source.happen(ended, run_id=RUN)
        await until(pilot, lambda: "3 turns   2 calls     9 tok" in text_of(app))
        before = len(source.calls)
        more = [run("run_9", title="Another one"), *source.answers[LISTING]["runs"]]
        source.answers[LISTING] = {"runs": more}
        source.happen(
            AgentStarted(agent="clerk", model=SMALL, principal=PrincipalId("owner")), run_id="run_9"
        )
        await until(pilot, lambda: "Another one" in text_of(app))
        assert [each.path for each in source.calls[before:]] == ["/api/agents", LISTING.split(" ")[1]]
        first = app.view.agents.runs[1]
        assert (first.id, first.status) == (RUN, "completed"), "an old listing brings no run back"


async def test_an_agent_is_paused_and_taken_up_again() -> None:
    source = staffed()
    source.answers["POST /api/agents/clerk/pause"] = laboured.agent(is_paused=True)
    source.answers["POST /api/agents/digest/resume"] = Refused("not_found", "There is no agent 'digest'.")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: app.view.agents.agents)
        await pilot.press("p")
        assert posts(source) == [], "the first row is no agent"
        await pilot.press("down", "p")
        await until(pilot, lambda: posts(source))
        await pilot.press("down", "p")
        await until(pilot, lambda: app.view.toasts)
        assert app.view.toasts[-1].text == "resume digest: There is no agent 'digest'."
        assert [path for path, _ in posts(source)] == ["/api/agents/clerk/pause", "/api/agents/digest/resume"]
        await until(pilot, lambda: not app.view.agents.busy)


async def test_a_task_is_given_and_its_run_followed_to_the_end() -> None:
    source = staffed()
    source.answers["POST /api/agents/clerk/runs"] = run("run_9", "queued", title="Write it")
    give_run(source, run("run_9", "in_progress"), [laboured.opened("Write it")])
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: app.view.agents.agents)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, SayScreen))
        await pilot.press("enter")
        assert isinstance(app.screen, SayScreen), "an empty task is none"
        await pilot.press(*"Write it", "enter")
        await until(pilot, lambda: source.followed == ["run_9"])
        assert posts(source) == [("/api/agents/clerk/runs", {"input": "Write it"})]
        await until(pilot, lambda: "opened by api: Write it" in text_of(app))
        source.move(0, "status", status="in_progress")
        source.move(1, "item.began", place=0, item=laboured.said("") | {"parts": []})
        source.move(2, "text", place=0, item_id="msg_1", part=0, delta="It is ")
        source.move(2, "text", place=0, item_id="msg_1", part=0, delta="It is ")
        source.move(3, "text", place=0, item_id="msg_1", part=0, delta="writ\u200bten.")
        await until(pilot, lambda: "It is writ⟨200B⟩ten." in text_of(app))
        source.lose_run("the connection broke off")
        await until(pilot, lambda: "✖ the connection broke off" in text_of(app))
        over = run("run_9", "completed")
        give_run(source, over, [laboured.opened("Write it"), *laboured.answer("It is written.")])
        source.move(4, "over", record=over)
        await until(pilot, lambda: "assistant says: It is written." in text_of(app))
        assert "✔ done" in text_of(app)
        assert "the connection broke off" not in text_of(app)
        assert "writ⟨200B⟩ten" not in text_of(app), "what is coming about gives way to what came"


async def test_a_run_shows_what_it_was_asked_thought_called_and_what_it_waits_for() -> None:
    source = staffed()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await open_run(app, pilot, source)
        shown = text_of(app)
        assert "opened by api: Write down that tea is missing" in shown
        assert "the prompt: 16 letters of instructions, 2 tools" in shown
        assert "turn 1 asks qwen2.5-0.5b with 1 items, 1 recalled" in shown
        assert "thinks: The person wants a note." in shown
        assert "buy⟨200B⟩ tea" in shown
        assert "files · write waits for you: It writes." in shown
        await pilot.press("home", "down", "enter")
        await until(pilot, lambda: "Be brief." in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: "Be brief." not in text_of(app))
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, ApprovalsScreen))


async def test_only_new_steps_are_fetched() -> None:
    source = staffed()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await open_run(app, pilot, source)
        await until(pilot, lambda: source.followed)
        give_run(source, run(status="completed"), [*steps(), *laboured.answer()])
        before = len(source.calls)
        source.move(0, "status", status="in_progress")
        await until(pilot, lambda: len(app.view.opened.steps) == 9)
        asked = [each.path for each in source.calls[before:] if "steps" in each.path]
        assert asked[0] == f"/api/runs/{RUN}/steps?from=4"
        assert "✔ completed" in text_of(app)
        assert "waits for you" not in text_of(app)


async def test_a_live_run_is_steered_and_cancelled() -> None:
    source = staffed()
    for verb in ("steer", "cancel"):
        source.answers[f"POST /api/runs/{RUN}/{verb}"] = run()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await open_run(app, pilot, source)
        await pilot.press("s", *"in French", "enter")
        await until(pilot, lambda: posts(source))
        await pilot.press("x")
        await until(pilot, lambda: "esc lets it go on" in text_of(app))
        assert len(posts(source)) == 1
        await pilot.press(*"wrong", "enter")
        await until(pilot, lambda: len(posts(source)) == 2)
        assert posts(source) == [
            (f"/api/runs/{RUN}/steer", {"input": "in French"}),
            (f"/api/runs/{RUN}/cancel", {"reason": "wrong"}),
        ]


async def test_a_replay_says_where_it_differs_and_puts_the_cursor_there() -> None:
    source = staffed()
    told = {"steps": 4, "is_same": False, "first_difference": 1, "told": "The model is another."}
    source.answers[f"POST /api/runs/{RUN}/replay"] = told
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await open_run(app, pilot, source)
        await pilot.press("R")
        await until(pilot, lambda: "different at step 2: The model is another." in text_of(app))
        current = app.screen.query_one(Timeline).current
        assert current is not None
        assert current.step == 1
        source.answers[f"POST /api/runs/{RUN}/replay"] = {"steps": 4, "is_same": True}
        await pilot.press("R")
        await until(pilot, lambda: "lived again: the same 4 steps" in text_of(app))


async def test_a_run_is_forked_from_the_step_under_the_cursor() -> None:
    source = staffed()
    fork = run("run_f", "completed", forked_from=RUN)
    source.answers[f"POST /api/runs/{RUN}/fork"] = fork
    give_run(source, fork, [laboured.opened() | {"forked_from": RUN, "forked_at": 3}])
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await open_run(app, pilot, source)
        await pilot.press("up", "f")
        await until(pilot, lambda: "another way after step 3" in text_of(app))
        await pilot.press(*"Do not", "enter")
        await until(pilot, lambda: f"forked from {RUN} at 3" in text_of(app))
        assert posts(source) == [(f"/api/runs/{RUN}/fork", {"after_step": 3, "input": "Do not"})]
        assert source.followed == [RUN], "what is over is not followed"
        await pilot.press("y")
        assert app.clipboard == "run_f"


async def test_a_run_that_cannot_be_read_says_why() -> None:
    source = staffed()
    source.answers[f"GET /api/runs/{RUN}"] = Refused("not_found", "There is no such run.")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: app.view.agents.runs)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "There is no such run." in text_of(app))
        assert "r looks again" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, AgentsScreen))


async def test_without_agents_and_without_a_run_the_screens_say_what_to_do() -> None:
    app = make_app(FakeSource())
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: "lar agents create NAME" in text_of(app))
        await pilot.press("7")
        await until(pilot, lambda: "No run is open. 6 shows the agents" in text_of(app))


async def test_a_long_run_lays_out_only_what_came_and_draws_only_what_is_seen() -> None:
    source = staffed()
    many = [laboured.opened(), *(each for _ in range(500) for each in laboured.answer("word " * 400)[:4])]
    give_run(source, run(), many)
    drawn: list[int] = []

    class Counting(Timeline):
        def draw(self, index: int, *more: object) -> object:  # type: ignore[override]  # only counted
            drawn.append(index)
            return super().draw(index, *more)  # type: ignore[arg-type]  # handed on

    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await open_run(app, pilot, source)
        timeline = app.screen.query_one(Timeline)
        assert timeline.count > 5000
        timeline.__class__ = Counting
        laid = timeline._steps[:]
        source.move(0, "item.began", place=0, item=laboured.said("", identity="msg_x") | {"parts": []})
        source.move(1, "text", place=0, item_id="msg_x", part=0, delta="and more")
        await until(pilot, lambda: "and more" in text_of(app))
        assert len(drawn) < 10 * SIZE[1]
        assert all(was is now for was, now in zip(laid, timeline._steps, strict=True))


async def test_a_waiting_run_is_told_on_the_list() -> None:
    source = staffed()
    source.answers[LISTING] = {"runs": [run()]}
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: "● 1 at work" in text_of(app))
        source.happen(AgentWaiting(agent="clerk", approvals=(ApprovalId("apr_1"),)), run_id=RUN)
        await until(pilot, lambda: "▲ 1 wait for you, ^l" in text_of(app))


async def test_enter_on_the_row_of_all_runs_goes_to_the_runs() -> None:
    app = make_app(staffed())
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: app.view.agents.runs and "enter open" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.focused, RunRows))
        await pilot.press("enter")
        await until(pilot, lambda: app.view.opened.id == RUN)


async def test_a_screen_is_drawn_anew_for_another_size() -> None:
    app = make_app(staffed())
    async with app.run_test(size=(60, 20)) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: "clerk" in text_of(app))
        await pilot.resize_terminal(30, 20)
        await until(pilot, lambda: "1 faulty" not in text_of(app))
        await pilot.resize_terminal(120, 30)
        await until(pilot, lambda: "1 faulty" in text_of(app))


async def test_home_tells_of_agents_at_work_once_somebody_has_looked() -> None:
    app = make_app(staffed())
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: app.view.agents.runs)
        app.go_to("home")
        await until(pilot, lambda: "▲ clerk  waits for you" in text_of(app))
        assert "Write down that tea is missing" in text_of(app)
