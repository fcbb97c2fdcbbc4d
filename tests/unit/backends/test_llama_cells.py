from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.cells import Cells

IDS = st.integers(0, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), IDS, st.integers(1, 9)),
        st.tuples(st.just("share"), IDS, IDS, st.integers(0, 30)),
        st.tuples(st.just("trim"), IDS, st.integers(0, 30)),
        st.tuples(st.just("drop"), IDS),
    ),
    max_size=40,
)


@given(STEPS)
def test_cells_are_counted_as_if_each_were_looked_at(steps: list[tuple[object, ...]]) -> None:
    cells = Cells()
    paths: dict[int, list[object]] = {each: [] for each in range(5)}
    for step in steps:
        match step:
            case ("grow", int(holder), int(count)):
                cells.grow(holder, count)
                paths[holder] = [*paths[holder], *(object() for _ in range(count))]
            case ("share", int(source), int(target), int(length)) if not paths[target] and source != target:
                length = min(length, len(paths[source]))
                cells.share(source, target, length)
                paths[target] = paths[source][:length]
            case ("trim", int(holder), int(length)):
                cells.trim(holder, length)
                paths[holder] = paths[holder][:length]
            case ("drop", int(holder)):
                cells.drop(holder)
                paths[holder] = []
            case _:
                continue  # a sequence that holds something is not copied into

        check(cells, paths)


def check(cells: Cells, paths: dict[int, list[object]]) -> None:
    everything = [cell for path in paths.values() for cell in path]
    assert cells.used == len(set(everything))
    for holder, path in paths.items():
        others = {cell for other, held in paths.items() if other != holder for cell in held}
        assert cells.length(holder) == len(path)
        assert cells.exclusive(holder) == len([cell for cell in path if cell not in others])
        some = {0, 2} - {holder}
        held_by_some = {cell for other in some for cell in paths[other]}
        assert cells.used_by(some) == len(held_by_some)
        half = len(path) // 2
        assert cells.unshared(holder, half, some) == len([c for c in path[:half] if c not in held_by_some])
