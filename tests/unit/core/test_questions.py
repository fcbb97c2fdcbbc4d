"""Questions of servers to the person: asked, answered, declined at the deadline, taken back."""

import anyio
import pytest

from runtime.core.errors import NotFound, RequestInvalid
from runtime.core.ids import QuestionId
from runtime.core.questions import MOST_OPEN, QuestionBoard
from runtime.core.tool_facts import QuestionAnswered, QuestionAsked, ReachFact
from runtime.core.tools import Elicitation, ElicitationAnswer
from tests.kit.clock import FakeClock

QUESTION = Elicitation(server="s", message="Who?", form={"type": "object", "required": ["name"]})
ANNA = ElicitationAnswer(action="accept", content={"name": "Anna"})


async def asked(board: QuestionBoard, into: list[ElicitationAnswer]) -> None:
    into.append(await board.ask(QUESTION))


async def until_open(board: QuestionBoard, count: int = 1) -> None:
    with anyio.fail_after(5):
        while len(board.list_open()) < count:
            await anyio.lowlevel.checkpoint()


async def test_an_answer_reaches_whoever_asked_and_both_are_told(clock: FakeClock) -> None:
    facts: list[ReachFact] = []
    answers: list[ElicitationAnswer] = []
    board = QuestionBoard(clock, facts.append, 60)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asked, board, answers)
        await until_open(board)
        (told,) = board.list_open()
        assert (told.question, told.expires_at - told.asked_at) == (QUESTION, 60)
        with pytest.raises(RequestInvalid, match="lacks 'name'"):
            board.answer(told.id, ElicitationAnswer(action="accept", content={}))
        board.answer(told.id, ANNA)
        with pytest.raises(NotFound):
            board.answer(told.id, ANNA)

    assert answers == [ANNA]
    assert board.list_open() == []
    assert [type(each) for each in facts] == [QuestionAsked, QuestionAnswered]


async def test_nobody_answers_and_it_counts_as_declined(clock: FakeClock) -> None:
    facts: list[ReachFact] = []
    answer = await QuestionBoard(clock, facts.append, 0.01).ask(QUESTION)

    assert answer.action == "decline"
    assert isinstance(facts[-1], QuestionAnswered)
    assert facts[-1].action == "expired"


async def test_a_question_is_taken_back_with_its_call(clock: FakeClock) -> None:
    board = QuestionBoard(clock, lambda fact: None, 60)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asked, board, [])
        await until_open(board)
        tasks.cancel_scope.cancel()

    assert board.list_open() == []
    with pytest.raises(NotFound):
        board.answer(QuestionId("qst_1"), ANNA)


async def test_a_flood_of_questions_is_declined(clock: FakeClock) -> None:
    board = QuestionBoard(clock, lambda fact: None, 60)
    async with anyio.create_task_group() as tasks:
        for _ in range(MOST_OPEN):
            tasks.start_soon(asked, board, [])
        await until_open(board, MOST_OPEN)
        assert (await board.ask(QUESTION)).action == "decline"
        tasks.cancel_scope.cancel()
