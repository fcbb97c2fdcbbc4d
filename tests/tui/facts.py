"""Every kind of fact as a Hypothesis strategy, built from the structs themselves."""

from typing import get_args, get_type_hints

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from runtime.core.events import Envelope, Event
from runtime.core.ids import RunId
from tests.kit.fake_source import OTHER, SMALL

_text = st.sampled_from(["", "a", "two words", "esc \x1b[2J", "line\nbreak"])
_number = st.integers(min_value=0, max_value=10_000)
_seconds = st.floats(min_value=0, max_value=1e6, allow_nan=False)


def _field(name: str, hint: object) -> SearchStrategy[object]:
    if name == "model":
        return st.sampled_from([SMALL, OTHER])
    if hint is int:
        return _number
    if hint is float:
        return _seconds
    if hint is str:
        return _text
    if isinstance(hint, type) and hasattr(hint, "__struct_fields__"):
        return struct(hint)
    if str in get_args(hint):
        return st.none() | _text
    if type(None) in get_args(hint):
        return st.none() | _seconds
    return st.from_type(hint)  # type: ignore[arg-type]  # Literals, NewTypes, bools and tuples


def struct(kind: type) -> SearchStrategy[object]:
    """Build a struct from its field types."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: _field(name, hints[name]) for name in kind.__struct_fields__})  # type: ignore[attr-defined]  # a msgspec struct


facts = st.one_of([struct(each) for each in get_args(Event)])
"""Any fact."""

run_ids = st.sampled_from([None, RunId("run_a"), RunId("run_b")])


@st.composite
def histories(draw: st.DrawFn) -> list[Envelope]:
    """Draw facts with growing seqs, which may leave gaps."""
    seq, envelopes = 0, []
    for event in draw(st.lists(facts, max_size=30)):
        seq += draw(st.integers(1, 3))
        at = draw(_seconds)
        envelopes.append(Envelope(seq=seq, at=at, event=event, run_id=draw(run_ids)))  # type: ignore[arg-type]  # facts are Events
    return envelopes
