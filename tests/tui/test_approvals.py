from runtime.core.ids import ApprovalId, QuestionId
from runtime.core.tool_facts import ApprovalAnswered, ApprovalAsked, QuestionAsked
from tests.kit.fake_source import FakeSource
from tests.tui import asked
from tests.tui.kit import make_app, text_of, until
from tui.app import LarApp
from tui.ports import Refused
from tui.screens.answer import AnswerScreen
from tui.screens.approvals import ApprovalsScreen
from tui.screens.question import QuestionScreen
from tui.widgets.asks import AskRows

SIZE = (100, 30)
ANSWER = "POST /api/approvals/apr_1/answer"
SAY = "POST /api/mcp/questions/qst_1/answer"


def two_wait() -> FakeSource:
    source = FakeSource()
    model = {"kind": "Model", "id": "gemma3-27b"}
    second = asked.approval("apr_2", action="install", arguments={}, resource=model)
    asked.give(source, asked.approval(), second)
    return source


def answers(source: FakeSource) -> list[object]:
    return [call.body for call in source.calls if call.method == "POST"]


def cursor(app: LarApp) -> str:
    current = app.screen.query_one(AskRows).current
    assert current is not None
    return current.id


async def test_what_waits_is_shown_with_its_arguments_and_what_is_hidden_in_them() -> None:
    app = make_app(two_wait())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "files · write_file" in text_of(app))
        shown = text_of(app)
        assert "coder by way of agent wants to call_tool" in shown
        assert "buy⟨200B⟩ tea" in shown
        assert "59m48 yet" in shown
        assert "Tools of other servers are used" in shown
        await pilot.press("y")
        assert '"path": "/home/ana/notes/a.md"' in app.clipboard


async def test_a_yes_names_its_scope_and_the_list_moves_on() -> None:
    source = two_wait()
    source.answers[ANSWER] = asked.answered("apr_1", scope="tool")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: app.view.asks.count == 2)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AnswerScreen))
        await pilot.press("down", "down", "tab", *"go on", "enter")
        await until(pilot, lambda: app.view.asks.count == 1)
        assert answers(source) == [{"is_approved": True, "scope": "tool", "note": "go on"}]
        assert isinstance(app.screen, ApprovalsScreen)
        assert cursor(app) == "apr_2"
        assert [each.id for each in app.view.asks.history] == ["apr_1"]


async def test_a_yes_for_ever_shows_the_policy_before_it_is_written() -> None:
    source = two_wait()
    source.answers[ANSWER] = asked.answered("apr_1", scope="forever")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: app.view.asks.count == 2)
        await pilot.press("a")
        await until(pilot, lambda: "for ever: writes a policy" in text_of(app))
        assert "principal == Agent" not in text_of(app)
        await pilot.press("up")
        await until(pilot, lambda: 'principal == Agent::"coder"' in text_of(app))
        assert answers(source) == []
        await pilot.press("enter")
        await until(pilot, lambda: answers(source))
        assert answers(source) == [{"is_approved": True, "scope": "forever", "note": ""}]


async def test_a_no_offers_nothing_for_ever_and_escape_leaves_it_waiting() -> None:
    source = two_wait()
    source.answers[ANSWER] = asked.answered("apr_1", "denied")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: app.view.asks.count == 2)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, AnswerScreen))
        assert "forever" not in text_of(app)
        await pilot.press("escape")
        assert answers(source) == []
        await pilot.press("d", "enter")
        await until(pilot, lambda: app.view.asks.count == 1)
        assert answers(source) == [{"is_approved": False, "scope": "call", "note": ""}]


async def test_an_answer_from_elsewhere_is_told_in_the_open_dialog_and_nothing_is_sent() -> None:
    source = two_wait()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: app.view.asks.count == 2)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AnswerScreen))
        source.happen(ApprovalAnswered(approval=ApprovalId("apr_1"), status="denied", by="ana"))
        await until(pilot, lambda: "It is denied by ana already" in text_of(app))
        await pilot.press("enter")
        assert answers(source) == []


async def test_a_conflict_is_told_and_the_list_is_true_afterwards() -> None:
    source = two_wait()
    source.answers[ANSWER] = Refused("conflict", "It was denied by ana.")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: app.view.asks.count == 2)
        asked.give(source, asked.approval("apr_2"))
        await pilot.press("a", "enter")
        await until(pilot, lambda: app.view.asks.count == 1)
        assert app.view.toasts[-1].text == "approve mcp__files__write_file: It was denied by ana."


async def test_what_is_asked_on_another_screen_is_told_with_the_key_that_goes_there() -> None:
    source = FakeSource()
    app = make_app(source)
    app._disable_notifications = False
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await until(pilot, lambda: app.view.link.phase == "live")
        asked.give(source, asked.approval())
        fact = ApprovalAsked(
            approval=ApprovalId("apr_1"), action="call_tool", resource="mcp__x__y", expires_at=1.0
        )
        source.happen(fact)
        await until(pilot, lambda: "^l shows it" in text_of(app))
        await until(pilot, lambda: "▲ 1 to answer" in text_of(app))
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, ApprovalsScreen))


async def test_the_chats_draft_is_not_touched_by_what_is_asked() -> None:
    source = FakeSource()
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.view.link.phase == "live")
        await pilot.press(*"ad")
        source.happen(QuestionAsked(question=QuestionId("qst_1"), server="issues", expires_at=1.0))
        await until(pilot, lambda: app.view.toasts)
        await pilot.press(*"a")
        assert "ada" in text_of(app)
        assert answers(source) == []


async def test_home_says_how_much_waits_and_a_click_less_way_there() -> None:
    app = make_app(two_wait())
    async with app.run_test(size=SIZE) as pilot:
        app.go_to("home")
        await until(pilot, lambda: "files · write_file" in text_of(app))
        assert "^l shows them" in text_of(app)


async def test_a_servers_question_is_answered_by_its_form() -> None:
    source = FakeSource()
    source.answers["GET /api/mcp/questions"] = {"questions": [asked.question()]}
    source.answers[SAY] = None
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: app.view.asks.count == 1)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, QuestionScreen))
        await pilot.press(*"tea", "enter", "ctrl+s")
        await until(pilot, lambda: "State: this is needed" in text_of(app))
        await pilot.press("space", "ctrl+s")
        await until(pilot, lambda: app.view.asks.count == 0)
        content = {"title": "tea", "count": 2, "private": False, "state": "open"}
        assert answers(source) == [{"action": "accept", "content": content}]
        assert app.view.asks.history[0].status == "accept"


async def test_a_question_with_a_page_shows_it_and_a_second_enter_sends_nothing() -> None:
    source = FakeSource()
    told = asked.question(form=None, url="https://example.org/login?x=1", message="Log in there.")
    source.answers["GET /api/mcp/questions"] = {"questions": [told]}
    source.answers[SAY] = None
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "https://example.org/login?x=1" in text_of(app))
        await pilot.press("y")
        assert app.clipboard == "https://example.org/login?x=1"
        await pilot.press("enter", "enter")
        assert answers(source) == []
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: answers(source))
        assert answers(source) == [{"action": "decline"}]


async def test_a_question_that_is_over_is_told_in_the_open_form() -> None:
    source = FakeSource()
    source.answers["GET /api/mcp/questions"] = {"questions": [asked.question()]}
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: app.view.asks.count == 1)
        await pilot.press("enter")
        source.answers["GET /api/mcp/questions"] = {"questions": []}
        source.happen(QuestionAsked(question=QuestionId("qst_2"), server="x", expires_at=1.0))
        await until(pilot, lambda: "Nobody waits for this answer any more" in text_of(app))
        await pilot.press("ctrl+s")
        assert answers(source) == []


async def test_what_is_over_stays_below_with_who_answered_and_the_note() -> None:
    source = FakeSource()
    asked.give(source, over=(asked.answered(),))
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "approved by owner" in text_of(app))
        assert "only this once" in text_of(app)
        await pilot.press("a")
        assert isinstance(app.screen, ApprovalsScreen)


async def test_a_key_that_may_not_look_is_told_so() -> None:
    source = FakeSource()
    source.answers["GET /api/approvals"] = Refused("forbidden", "This key may not observe.")
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "This key may not observe." in text_of(app))
        assert "r looks again" in text_of(app)
        asked.give(source, asked.approval())
        await pilot.press("r")
        await until(pilot, lambda: "files · write_file" in text_of(app))


async def test_huge_arguments_are_cut_and_it_is_told_that_they_are() -> None:
    source = FakeSource()
    asked.give(source, asked.approval(arguments={"text": "x" * 100_000}))
    app = make_app(source)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "letters more are not" in text_of(app))
        await pilot.press("y")
        assert "x" * 100_000 in app.clipboard
