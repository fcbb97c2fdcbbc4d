from typing import Any

from textual.pilot import Pilot
from textual.widgets import OptionList

from runtime.core.agent_facts import AgentStarted
from runtime.core.ids import PrincipalId
from tests.kit.fake_source import SMALL, FakeSource, server_state
from tests.tui import asked, laboured
from tests.tui.asked import NOW
from tests.tui.kit import make_app, text_of, until
from tests.tui.laboured import CALL, LISTING, RUN, give_run, said, staffed
from tui.app import LarApp
from tui.ports import Refused
from tui.screens.answer import AnswerScreen
from tui.screens.models import ModelPicker
from tui.screens.run import RunScreen
from tui.state import Exchange
from tui.widgets.prompt import Prompt

SIZE = (110, 40)
START = "POST /api/agents/clerk/runs"
STEER = f"POST /api/runs/{RUN}/steer"
CANCEL = f"POST /api/runs/{RUN}/cancel"


def conversing(status: str = "in_progress", found: list[dict[str, Any]] | None = None) -> FakeSource:
    """Return a server whose clerk can be talked to, with a run of this status and these steps."""
    source = staffed()
    source.answers["POST /v1/conversations"] = {"id": "conv_1", "object": "conversation"}
    source.answers["POST /v1/conversations/conv_1/items"] = {"object": "list", "data": []}
    told = laboured.run(status=status, session="conv_1", waits_for=["apr_1"] if status == "waiting" else [])
    source.answers[START] = told
    give_run(source, told, [laboured.opened()] if found is None else found)
    return source


def newest(app: LarApp) -> Exchange:
    return app.view.chat.exchanges[-1]


def posted(source: FakeSource, path: str) -> list[Any]:
    return [call.body for call in source.calls if call.method == "POST" and call.path == path]


async def write(app: LarApp, pilot: Pilot[int], text: str) -> None:
    app.screen.query_one(Prompt).insert(text)
    await pilot.press("enter")


async def open_picker(app: LarApp, pilot: Pilot[int]) -> OptionList:
    await until(pilot, lambda: app.view.models)
    await pilot.press("f5")
    await until(pilot, lambda: isinstance(app.screen, ModelPicker) and app.view.agents.is_known)
    return app.screen.query_one(OptionList)


async def talk_to_clerk(app: LarApp, pilot: Pilot[int]) -> None:
    options = await open_picker(app, pilot)
    await until(pilot, lambda: "clerk" in text_of(app))
    options.highlighted = options.get_option_index("agent:clerk")
    await pilot.press("enter")
    await until(pilot, lambda: app.view.chat.agent == "clerk")


async def ask(app: LarApp, pilot: Pilot[int], source: FakeSource, text: str = "Write it down") -> None:
    await talk_to_clerk(app, pilot)
    await write(app, pilot, text)
    await until(pilot, lambda: newest(app).run.steps and source.followed)


async def test_the_picker_lists_models_and_agents_with_how_they_stand() -> None:
    app = make_app(conversing())
    async with app.run_test(size=SIZE) as pilot:
        options = await open_picker(app, pilot)
        await until(pilot, lambda: "clerk" in text_of(app))
        shown = text_of(app).partition("talk to")[2]
        assert shown.index("models") < shown.index("qwen2.5-0.5b") < shown.index("agents ")
        assert "● ready" in shown
        assert "The clerk of the house." in shown
        assert "‖ paused" in shown
        assert "✖ faulty" in shown
        options.highlighted = options.get_option_index("agent:researcher")
        await until(pilot, lambda: "✖ There is no collection 'papers'. Make it: lar recall" in text_of(app))


async def test_without_agents_the_picker_says_how_one_is_made() -> None:
    app = make_app(FakeSource())
    async with app.run_test(size=SIZE) as pilot:
        await open_picker(app, pilot)
        await until(pilot, lambda: "none yet: lar agents create NAME makes one" in text_of(app))


async def test_an_agent_is_asked_in_a_conversation_that_goes_on() -> None:
    source = conversing("completed", [laboured.opened(), *laboured.answer("It is **written**.")])
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await write(app, pilot, "Which word?")
        await until(pilot, lambda: source.asked)
        source.answer("Blue")
        await until(pilot, lambda: newest(app).status == "done")

        await talk_to_clerk(app, pilot)
        await write(app, pilot, "Write it down")
        await until(pilot, lambda: newest(app).agent and newest(app).status == "done")
        assert posted(source, "/api/agents/clerk/runs") == [{"input": "Write it down", "session": "conv_1"}]
        items = posted(source, "/v1/conversations")[0]["items"]
        assert [(each["role"], each["content"].strip()) for each in items] == [
            ("user", "Which word?"),
            ("assistant", "Blue"),
        ]
        assert "It is written." in text_of(app)
        assert "2 turns · 1 call · 1.2k tokens · 1m00" in text_of(app)

        await write(app, pilot, "And again")
        await until(pilot, lambda: len(posted(source, "/api/agents/clerk/runs")) == 2)
        assert len(posted(source, "/v1/conversations")) == 1, "the conversation goes on"


async def test_a_model_hears_what_an_agent_has_answered() -> None:
    source = conversing("completed", [laboured.opened(), *laboured.answer("It is written.")])
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await talk_to_clerk(app, pilot)
        await write(app, pilot, "Write it down")
        await until(pilot, lambda: newest(app).status == "done")
        options = await open_picker(app, pilot)
        options.highlighted = options.get_option_index("model:qwen2.5-0.5b")
        await pilot.press("enter")
        await until(pilot, lambda: not app.view.chat.agent)
        await write(app, pilot, "What did it say?")
        await until(pilot, lambda: source.asked)
        assert [each.content for each in source.asked[0].messages] == [
            "Write it down",
            "It is written.",
            "What did it say?",
        ]


async def test_calls_are_cards_and_what_waits_is_answered_right_there() -> None:
    source = conversing("waiting", laboured.steps())
    asked.give(source, asked.approval())
    source.answers["POST /api/approvals/apr_1/answer"] = asked.answered("apr_1")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await until(pilot, lambda: "files · write_file waits for you" in text_of(app))
        shown = text_of(app)
        assert '▲ files · write {"path":"a.md","content":"buy⟨200B⟩ tea"}' in shown
        assert '"text": "buy⟨200B⟩ tea' in shown
        assert "^o approve…" in shown
        app.screen.query_one(Prompt).insert("a draft")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, AnswerScreen))
        await pilot.press("enter")
        await until(pilot, lambda: posted(source, "/api/approvals/apr_1/answer"))
        assert posted(source, "/api/approvals/apr_1/answer")[0]["is_approved"] is True
        await until(pilot, lambda: "waits for you." not in text_of(app))
        assert app.screen.query_one(Prompt).text == "a draft"


async def test_a_call_is_denied_in_the_chat() -> None:
    source = conversing("waiting", laboured.steps())
    asked.give(source, asked.approval())
    source.answers["POST /api/approvals/apr_1/answer"] = asked.answered("apr_1", "denied")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await until(pilot, lambda: "^b deny…" in text_of(app))
        await pilot.press("ctrl+b")
        await until(pilot, lambda: isinstance(app.screen, AnswerScreen))
        await pilot.press("enter")
        await until(pilot, lambda: posted(source, "/api/approvals/apr_1/answer"))
        assert posted(source, "/api/approvals/apr_1/answer")[0]["is_approved"] is False


async def test_an_approval_of_another_run_is_not_shown_in_the_chat() -> None:
    source = conversing()
    asked.give(source, asked.approval(run="run_other"))
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await until(pilot, lambda: app.view.asks.count == 1)
        assert "waits for you" not in text_of(app)
        assert "approve" not in text_of(app)


async def test_an_approval_of_an_agent_that_was_called_is_shown_in_the_chat() -> None:
    source = conversing()
    child = laboured.run("run_child", "waiting", agent="helper", parent=RUN)
    source.answers[LISTING] = {"runs": [child, *source.answers[LISTING]["runs"]], "has_more": False}
    asked.give(source, asked.approval(run="run_child", principal='Agent::"helper"'))
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await until(pilot, lambda: 'Agent::"helper": files · write_file waits for you' in text_of(app))


async def test_results_are_one_line_until_they_are_unfolded_and_faults_are_open() -> None:
    long = '{"written":true}\n' + "\n".join(f"line {each}" for each in range(1, 30))
    result = {
        "item": "answered",
        "id": "fr_1",
        "call_id": "call_1",
        "parts": [{"type": "text", "text": long}],
    }
    again = {**CALL, "id": "fc_2", "call_id": "call_2"}
    fault = {
        "item": "answered", "id": "fr_2", "call_id": "call_2", "is_error": True,
        "parts": [{"type": "text", "text": "no such folder\nmake it first"}],
    }  # fmt: skip
    found = [
        *laboured.steps()[:2],
        {"step": "turn.ended", "at": NOW - 60, "turn": 0, "items": [CALL, again], "reason": "tool_calls"},
        {"step": "call.ended", "at": NOW - 50, "result": result},
        {"step": "call.ended", "at": NOW - 49, "result": fault},
        *laboured.answer()[-3:],
    ]
    app = make_app(conversing("completed", found))
    async with app.run_test(size=(110, 60)) as pilot:
        await talk_to_clerk(app, pilot)
        await write(app, pilot, "Write it down")
        await until(pilot, lambda: newest(app).status == "done")
        shown = text_of(app)
        assert "✔ files · write" in shown
        assert "+29 lines ^t" in shown
        assert "line 29" not in shown
        assert "✖ files · write" in shown
        assert "make it first" in shown
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "line 29" in text_of(app))


async def test_the_todo_list_is_shown_as_it_was_written_last() -> None:
    def wrote(call: str, *todos: tuple[str, str]) -> dict[str, Any]:
        entries = ",".join(f'{{"content":"{text}","status":"{status}"}}' for text, status in todos)
        arguments = f'{{"todos":[{entries}]}}'
        return {"item": "called", "id": call, "call_id": call, "name": "todo_write", "arguments": arguments}

    items = [
        wrote("fc_1", ("look", "pending")),
        wrote("fc_2", ("look", "completed"), ("write", "in_progress"), ("tell", "pending")),
    ]
    found = [
        laboured.opened(),
        {"step": "turn.begun", "at": NOW - 64, "turn": 0, "model": "m", "prompt_items": 1},
        {"step": "turn.ended", "at": NOW - 60, "turn": 0, "items": items, "reason": "tool_calls"},
    ]
    source = conversing(found=found)
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await until(pilot, lambda: "○ tell" in text_of(app))
        assert "✔ look" in text_of(app)
        assert "◐ write" in text_of(app)
        assert text_of(app).count("look") == 2, "the list as it was is folded to one line"


async def test_a_handover_is_told() -> None:
    plan = {"models": ["other"], "agent": "researcher", "instructions": "Look.", "tools": []}
    changed = {"step": "plan.changed", "at": NOW - 60, "plan": plan, "reason": "handover: researcher"}
    source = conversing(found=[laboured.opened(), changed])
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await until(pilot, lambda: "⇒ handed over: researcher goes on with other" in text_of(app))


async def test_what_it_says_and_calls_is_shown_while_it_comes() -> None:
    source = conversing()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        source.move(0, "item.began", place=0, item=said("", identity="msg_9"))
        source.move(1, "text", item_id="msg_9", delta="I **am** at")
        source.move(2, "text", item_id="msg_9", delta=" it\u202e")
        await until(pilot, lambda: "I am at it�" in text_of(app))
        assert "▸ working" in text_of(app)
        source.lose_run("connection reset")
        await until(pilot, lambda: "Not followed at the moment, and nothing of it is lost" in text_of(app))


async def test_a_message_written_meanwhile_is_said_to_it_and_stands_where_it_was_heard() -> None:
    source = conversing()
    source.answers[STEER] = laboured.run()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        assert "Say something to clerk while it works…" in text_of(app)
        await write(app, pilot, "Mind the tea")
        await until(pilot, lambda: "» it hears this before its next turn" in text_of(app))
        assert posted(source, f"/api/runs/{RUN}/steer") == [{"input": "Mind the tea"}]
        assert len(app.view.chat.exchanges) == 1

        heard = {"step": "items.added", "at": NOW, "items": [said("Mind the tea", "user", "msg_7")]}
        give_run(source, laboured.run(), [laboured.opened(), heard])
        source.move(0, "status", status="in_progress")
        await until(pilot, lambda: not newest(app).asides)
        assert "Mind the tea" in text_of(app)
        assert "before its next turn" not in text_of(app)


async def test_what_comes_too_late_for_a_run_is_asked_next() -> None:
    source = conversing()
    source.answers[STEER] = Refused("conflict", "The run has ended. Continue its conversation.")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await write(app, pilot, "One more thing")
        await until(
            pilot, lambda: newest(app).question == "One more thing" and newest(app).status == "queued"
        )
        give_run(source, laboured.run(status="completed"), [laboured.opened(), *laboured.answer()])
        source.move(0, "over", record=laboured.run(status="completed"))
        await until(pilot, lambda: len(posted(source, "/api/agents/clerk/runs")) == 2)
        assert posted(source, "/api/agents/clerk/runs")[1]["input"] == "One more thing"


async def test_escape_stops_the_agent_and_says_so() -> None:
    source = conversing()
    source.answers[CANCEL] = laboured.run(status="cancelled")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await pilot.press("escape")
        await until(pilot, lambda: "■ stopping…" in text_of(app))
        assert posted(source, f"/api/runs/{RUN}/cancel") == [None]
        over = laboured.run(status="cancelled", reason="asked")
        give_run(source, over, [laboured.opened(), {"step": "run.ended", "at": NOW, "status": "cancelled"}])
        source.move(0, "over", record=over)
        await until(pilot, lambda: newest(app).status == "stopped")
        assert "■ stopped" in text_of(app)


async def test_an_agent_that_cannot_be_stopped_goes_on_and_can_be_stopped_again() -> None:
    source = conversing()
    source.answers[CANCEL] = Refused("unreachable", "nothing answers")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await pilot.press("escape")
        await until(pilot, lambda: any("stop clerk" in each.text for each in app.view.toasts))
        assert not newest(app).is_stopping
        source.answers[CANCEL] = laboured.run(status="cancelled")
        await pilot.press("escape")
        await until(pilot, lambda: len(posted(source, f"/api/runs/{RUN}/cancel")) == 2)


async def test_a_refused_start_is_told_and_the_question_comes_back() -> None:
    source = conversing()
    source.answers[START] = Refused("conflict", "'clerk' cannot run: there is no collection 'papers'.")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await talk_to_clerk(app, pilot)
        await write(app, pilot, "Write it down")
        await until(pilot, lambda: "there is no collection 'papers'" in text_of(app))
        assert app.screen.query_one(Prompt).text == "Write it down"


async def test_a_failed_run_tells_why() -> None:
    fault = {"code": "worker_died", "message": "The worker was killed. Ask again."}
    ended = {"step": "run.ended", "at": NOW, "status": "failed", "fault": fault}
    source = conversing("failed", [laboured.opened(), ended])
    give_run(source, laboured.run(status="failed", fault=fault), [laboured.opened(), ended])
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await talk_to_clerk(app, pilot)
        await write(app, pilot, "Write it down")
        await until(pilot, lambda: "✖ worker_died" in text_of(app))
        assert "The worker was killed. Ask again." in text_of(app)


async def test_a_lost_server_is_waited_for_and_the_run_is_read_anew() -> None:
    source = conversing()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        source.lose()
        await until(pilot, lambda: app.view.link.phase == "lost")
        over = laboured.run(status="completed")
        give_run(source, over, [laboured.opened(), *laboured.answer("Done meanwhile.")])
        source.reach(server_state(seq=source.seq))
        await until(pilot, lambda: "Done meanwhile." in text_of(app))
        assert newest(app).status == "done"


async def test_a_server_that_began_anew_knows_neither_run_nor_conversation() -> None:
    source = conversing()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        source.happen(AgentStarted(agent="clerk", model=SMALL, principal=PrincipalId("owner")), run_id=RUN)
        await until(pilot, lambda: app.view.seen > 1)
        source.lose()
        source.reach(server_state(seq=1))
        await until(pilot, lambda: "✖ run_lost" in text_of(app))
        assert app.view.chat.session == ""


async def test_a_new_chat_leaves_the_agent_at_work_and_begins_a_conversation() -> None:
    source = conversing()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: not app.view.chat.exchanges)
        assert posted(source, f"/api/runs/{RUN}/cancel") == []
        assert app.view.chat.agent == "clerk"
        assert app.view.chat.session == ""


async def test_every_step_of_the_run_is_one_key_away() -> None:
    source = conversing()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await ask(app, pilot, source)
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.view.opened.id == RUN)


async def test_an_agent_is_chatted_with_from_the_screen_of_agents() -> None:
    app = make_app(conversing())
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("agents")
        await until(pilot, lambda: app.view.agents.agents)
        await pilot.press("down", "c")
        await until(pilot, lambda: app.current_mode == "chat")
        assert app.view.chat.agent == "clerk"
        assert "agent clerk" in text_of(app)
