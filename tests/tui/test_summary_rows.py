"""Rows of the events screen that must not say more, or less, than what happened."""

from runtime.core.events import Envelope, Event, SeqDelta
from runtime.core.ids import CallId, RunId
from runtime.core.tool_facts import ToolFailed
from tui.state import Row
from tui.summary import row_of


def row(event: Event) -> Row:
    return row_of(Envelope(seq=1, at=1.0, event=event, run_id=RunId("run_1")))


def test_a_call_that_waits_for_a_person_has_not_failed() -> None:
    told = row(ToolFailed(call=CallId("call_1"), took_s=0.1, code="asked", message="A person must agree."))
    assert (told.level, told.text) == ("warn", "waits for a person")


def test_a_call_that_failed_is_bad_and_says_why() -> None:
    told = row(ToolFailed(call=CallId("call_1"), took_s=0.1, code="timeout", message="It took too long."))
    assert (told.level, told.text) == ("bad", "timeout: It took too long.")


def test_tokens_without_text_are_counted() -> None:
    assert row(SeqDelta(index=0, text="", tokens=22)).text == "22 tokens without text"
    assert row(SeqDelta(index=0, text="so", tokens=1)).text == "so"
