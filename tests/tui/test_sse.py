import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.sse import MAX_EVENT_BYTES, EventTooLong, Sse, SseReader

_word = st.text(alphabet="abcé :\t", min_size=1, max_size=8).map(str.strip).filter(bool)
_events = st.lists(st.builds(Sse, id=st.integers(1, 99).map(str), kind=_word, data=_word), max_size=6)


@given(_events, st.data())
def test_events_are_read_whole_wherever_the_bytes_are_split(sent: list[Sse], data: st.DataObject) -> None:
    wire = b"".join(f"id: {e.id}\nevent: {e.kind}\ndata: {e.data}\n\n: keep-alive\n\n".encode() for e in sent)
    reader, got = SseReader(), []
    while wire:
        cut = data.draw(st.integers(1, len(wire)))
        got += reader.feed(wire[:cut])
        wire = wire[cut:]
    assert got == sent


def test_several_data_lines_are_one_event_and_carriage_returns_are_no_text() -> None:
    assert SseReader().feed(b"data: a\r\ndata: b\r\n\r\n") == [Sse("", "", "a\nb")]


def test_comments_alone_are_no_event() -> None:
    assert SseReader().feed(b": keep-alive\n\n") == []


def test_an_event_beyond_any_sense_is_refused() -> None:
    with pytest.raises(EventTooLong):
        SseReader().feed(b"data: " + b"x" * (MAX_EVENT_BYTES + 1))
