"""Places are found as they were set last, and what a reader was given stays as it was."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.recall.places import NOWHERE, Places

batches = st.lists(st.dictionaries(st.integers(0, 60), st.integers(-1, 9), max_size=20), max_size=8)


@given(batches=batches)
def test_places_are_those_of_a_dictionary(batches: list[dict[int, int]]) -> None:
    places, known = Places(), dict[int, int]()
    kept = []
    for batch in batches:
        places.put(np.array(list(batch), np.int64), np.array(list(batch.values()), np.int32))
        known |= batch
        kept.append((places.ids, places.places, sorted(known), [known[each] for each in sorted(known)]))

    asked = np.arange(-5, 70)
    assert places.find(asked).tolist() == [known.get(each, NOWHERE) for each in asked.tolist()]
    for ids, where, wanted_ids, wanted in kept:
        assert ids.tolist() == wanted_ids
        assert where.tolist() == wanted
