"""Which inputs one step computes: bounded, never none, fair."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.embedding.planner import NARROW, Piece, Turn, plan_batch


def turn(seq: int, *lengths: int, rank: int = 0, spent: int = 0, computed: int = 0) -> Turn:
    pieces = [Piece(seq, place, length) for place, length in enumerate(lengths)]
    return Turn(rank, spent, computed, sorted(pieces, key=lambda piece: -piece.length))


TURNS = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 5000), st.lists(st.integers(1, 600), min_size=1, max_size=20)
    ),
    max_size=5,
).map(lambda rows: [turn(seq, *row[2], rank=row[0], computed=row[1]) for seq, row in enumerate(rows)])


@given(turns=TURNS, area=st.integers(1, 2000), is_padded=st.booleans())
def test_a_batch_is_bounded_and_never_empty_while_there_is_work(
    turns: list[Turn], area: int, is_padded: bool
) -> None:
    chosen = plan_batch(turns, area, is_padded=is_padded)

    assert bool(chosen) == bool(turns)
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= {piece for each in turns for piece in each.pieces}
    if len(chosen) > 1:
        width = max(piece.length for piece in chosen)
        total = width * len(chosen) if is_padded else sum(piece.length for piece in chosen)
        assert total <= area


@given(turns=TURNS.filter(bool), is_padded=st.booleans())
def test_the_seq_whose_turn_it_is_always_has_a_part(turns: list[Turn], is_padded: bool) -> None:
    first = min(turns, key=lambda each: (each.rank, each.spent, each.computed))

    chosen = plan_batch(turns, 512, is_padded=is_padded)

    assert first.pieces[0] in chosen


@given(lengths=st.lists(st.integers(1, 500), min_size=1, max_size=60), is_padded=st.booleans())
def test_repeated_steps_compute_everything_once(lengths: list[int], is_padded: bool) -> None:
    waiting = turn(1, *lengths)
    done: list[Piece] = []
    while waiting.pieces:
        chosen = plan_batch([waiting], 512, is_padded=is_padded)
        done += chosen
        left = [piece for piece in waiting.pieces if piece not in chosen]
        waiting = Turn(0, 0, 0, left)

    assert sorted(done) == sorted(turn(1, *lengths).pieces)


def test_priority_comes_before_who_had_least() -> None:
    chosen = plan_batch([turn(1, 500, rank=1), turn(2, 300, rank=0, computed=9000)], 512, is_padded=True)

    assert chosen[0] == Piece(2, 0, 300)


def test_somebody_who_had_less_goes_before_a_seq_that_had_less() -> None:
    greedy, modest = turn(1, 500, spent=9000), turn(2, 300, spent=10, computed=10)

    assert plan_batch([greedy, modest], 512, is_padded=True)[0] == Piece(2, 0, 300)


def test_inputs_of_similar_length_are_padded_together_and_short_ones_left_for_later() -> None:
    chosen = plan_batch([turn(1, 200, 190, 110, 40)], 1024, is_padded=True)

    assert [piece.length for piece in chosen] == [200, 190, 110]


def test_without_padding_short_inputs_fill_what_is_left() -> None:
    chosen = plan_batch([turn(1, 200, 190, 110, 40)], 450, is_padded=False)

    assert [piece.length for piece in chosen] == [200, 190, 40]


def test_short_queries_of_many_are_computed_together() -> None:
    turns = [turn(seq, 4 + seq % 20) for seq in range(16)]

    assert len(plan_batch(turns, 1024, is_padded=True)) == 16
    assert NARROW >= 24


def test_nothing_is_chosen_where_nothing_waits() -> None:
    assert plan_batch([], 512, is_padded=True) == []
