"""What every store of approvals keeps, for the file and for the one that tests use."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from runtime.core.gate.approval_rules import Asking, answer_approval, open_approval
from runtime.core.gate.approval_store import ApprovalLog, ApprovalRecord, ApprovalStore
from runtime.core.gate.words import Answer
from runtime.core.ids import ApprovalId
from tests.kit.gate import MemoryStore, ask_tool

Open = Callable[[], ApprovalStore]


@pytest.fixture(params=["file", "memory"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Return what opens the same store again and again."""
    memory = MemoryStore()
    return (lambda: ApprovalLog(tmp_path / "approvals.jsonl")) if request.param == "file" else lambda: memory


def _asked(number: int) -> ApprovalRecord:
    question = ask_tool(arguments={"n": number, "text": "ä\n\u202e\x00"}, session="s")
    asking = Asking(
        id=ApprovalId(f"apr_{number}"),
        question=question,
        reason="why",
        policies=("p",),
        now=float(number),
        deadline_s=60.0,
    )
    return ApprovalRecord(approval=open_approval(asking))


async def test_an_empty_store_has_nothing(open_store: Open) -> None:
    assert await open_store().load() == []


async def test_what_was_put_is_there_whole_and_in_order(open_store: Open) -> None:
    records = [_asked(number) for number in range(3)]
    for each in records:
        await open_store().put(each)

    assert await open_store().load() == records


async def test_the_last_state_of_a_question_holds(open_store: Open) -> None:
    first, second = _asked(1), _asked(2)
    answered = answer_approval(first.approval, Answer(is_approved=True, note="fine"), "ann", 5.0)
    for each in (
        first,
        second,
        ApprovalRecord(approval=answered),
        ApprovalRecord(approval=answered, is_spent=True),
    ):
        await open_store().put(each)

    loaded = await open_store().load()

    assert loaded == [ApprovalRecord(approval=answered, is_spent=True), second]
    assert msgspec.json.decode(msgspec.json.encode(loaded), type=list[ApprovalRecord]) == loaded
