"""Citations: which marks of a text count, where they stand, and that nothing else is cited."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.agents.citing import Source, Sources, cite, citer_of, sources_of
from runtime.core.agents.fold import fold
from runtime.core.agents.happenings import ItemEnded, TextCited
from runtime.core.agents.items import Answered, Called, Citation, Said, Text
from runtime.core.agents.outputs import TurnWriter
from runtime.core.agents.steps import AnyStep, CallBegun, CallEnded, RunOpened, TurnBegun, TurnEnded
from runtime.core.ids import ModelId
from runtime.core.messages import Delta, Usage
from tests.kit.agent_stage import asked, counting_mint, plan_of

REPORT = Source(file_id="file-1", filename="report.pdf")
NOTES = Source(file_id="file-2", filename="Notes (old).md")
PAGE = Source(url="https://example.org/a", title="A page")
LONGER = Source(url="https://example.org/a/b?c=1")
SOURCES = Sources((REPORT, NOTES, PAGE, LONGER), (REPORT, PAGE))


def of_file(source: Source, index: int) -> Citation:
    return Citation(index=index, file_id=source.file_id, filename=source.filename)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It rose [report.pdf].", [of_file(REPORT, 8)]),
        ("It rose [REPORT.PDF], then fell [Notes (old).md].", [of_file(REPORT, 8), of_file(NOTES, 32)]),
        ("It rose【1†source】.", [of_file(REPORT, 7)]),
        ("It rose【4:9†report.pdf】.", [of_file(REPORT, 7)]),
        ("It rose [1] (2).", [of_file(REPORT, 8), Citation(url=PAGE.url, title="A page", start=12, end=15)]),
        ("(1) first\n(2) second", []),
        ("In (1999) and [7] and f(3)", []),
        ("[other.pdf] 【】 【8†x】 []", []),
        ("See https://example.org/a.", [Citation(url=PAGE.url, title="A page", start=4, end=25)]),
        ("See https://example.org/a/b?c=1", [Citation(url=LONGER.url, title=LONGER.url, start=4, end=31)]),
        ("See https://example.org/ab or https://example.org/a/c", []),
        ("See [the page](https://example.org/a)!", [Citation(url=PAGE.url, title="A page", start=4, end=37)]),
    ],
)
def test_marks_of_what_was_found_are_citations(text: str, found: list[Citation]) -> None:
    assert list(cite(text, SOURCES)) == found


@given(st.text(alphabet="[]()【】†:123 ab.\nreport.pdf"), st.text(max_size=20))
def test_citations_stand_in_order_within_the_text(text: str, more: str) -> None:
    places = [each.index if each.url is None else each.start for each in cite(text + more, SOURCES)]

    assert places == sorted(places)
    assert all(0 <= each < len(text + more) for each in places)


def test_what_a_run_has_found_is_cited_by_its_next_message() -> None:
    call_of_lar = Called(
        id="fs_1",
        call_id="call_1",
        name="file_search",
        arguments="{}",
        form="file_search",
        by_client=False,
    )
    found = {"results": [{"file_id": "file-1", "filename": "report.pdf", "text": "It rose."}]}
    result = Answered(id="res_1", call_id="call_1", structured=found, form="file_search")
    steps: list[AnyStep] = [
        RunOpened(at=0.0, plan=plan_of(), input=(asked(),)),
        TurnBegun(at=1.0, turn=0, model=ModelId("m"), prompt_items=1),
        TurnEnded(at=2.0, turn=0, items=(call_of_lar,), usage=Usage(), reason="tool_calls"),
        CallBegun(at=3.0, call_id="call_1"),
        CallEnded(at=4.0, result=result),
    ]
    sources = sources_of(fold(steps))
    writer = TurnWriter(plan_of(), 1, counting_mint(), (), citer_of(sources))

    told = [
        *writer.hear(Delta(text="It rose ")),
        *writer.hear(Delta(text="[report.pdf].")),
        *writer.finish(is_cut=False),
    ]

    assert sources.every == (REPORT,)
    [cited] = [each for each in told if isinstance(each, TextCited)]
    ended = told[-1]
    assert isinstance(ended, ItemEnded)
    assert isinstance(ended.item, Said)
    [part] = ended.item.parts
    assert isinstance(part, Text)
    assert part.citations == (cited.citation,) == (of_file(REPORT, 8),)
    assert told.index(cited) == len(told) - 2


def test_nothing_found_is_nothing_cited() -> None:
    assert citer_of(sources_of(fold([RunOpened(at=0.0, plan=plan_of(), input=(asked(),))]))) is None
