"""The prefix tree against a plain dictionary of lists: whatever is done to both, they agree."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.backends.engines.llama.radix import Match, Matches, PrefixTree, _Node

TOKENS = st.lists(st.integers(0, 2), max_size=12)
NAMESPACES = st.sampled_from(["", "poet"])


def shared(one: list[int], other: list[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


class TreeAgainstLists(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree: PrefixTree[int] = PrefixTree()
        self.lists: dict[int, tuple[str, list[int]]] = {}
        self.next_key = 0

    def pick(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.lists)))

    @rule(namespace=NAMESPACES, tokens=TOKENS)
    def insert(self, namespace: str, tokens: list[int]) -> None:
        self.tree.insert(namespace, tokens, self.next_key)
        self.lists[self.next_key] = (namespace, list(tokens))
        self.next_key += 1

    @precondition(lambda self: self.lists)
    @rule(data=st.data(), tokens=st.lists(st.integers(0, 2), max_size=3))
    def extend(self, data: st.DataObject, tokens: list[int]) -> None:
        key = self.pick(data)
        self.tree.extend(key, tokens)
        self.lists[key][1].extend(tokens)

    @precondition(lambda self: self.lists)
    @rule(data=st.data(), length=st.integers(0, 14))
    def truncate(self, data: st.DataObject, length: int) -> None:
        key = self.pick(data)
        self.tree.truncate(key, length)
        del self.lists[key][1][length:]

    @precondition(lambda self: self.lists)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        key = self.pick(data)
        self.tree.remove(key)
        del self.lists[key]

    @rule(namespace=NAMESPACES, tokens=TOKENS, odd_only=st.booleans())
    def look(self, namespace: str, tokens: list[int], odd_only: bool) -> None:
        lengths = {
            key: shared(held, tokens) for key, (place, held) in self.lists.items() if place == namespace
        }
        valid = {key: length for key, length in lengths.items() if length and not (odd_only and key % 2 == 0)}
        is_valid = (lambda key: key % 2 == 1) if odd_only else None
        found = self.tree.find(namespace, tokens, is_valid=is_valid)
        all_found = self.tree.find_all(namespace, tokens, is_valid=is_valid)
        if not valid:
            assert found is None
            assert all_found is None
        else:
            longest = max(valid.values())
            assert found is not None
            assert (found.length, valid[found.key]) == (longest, longest)
            assert all_found is not None
            assert all_found.length == longest
            assert sorted(all_found.keys) == [key for key in valid if valid[key] == longest]

        candidates = list(self.tree.candidates(namespace, tokens))
        assert {match.key: match.length for match in candidates} == {
            key: length for key, length in lengths.items() if length
        }
        assert [match.length for match in candidates] == sorted(
            (match.length for match in candidates), reverse=True
        )

    @rule(namespace=NAMESPACES, tokens=TOKENS)
    def look_for_contained(self, namespace: str, tokens: list[int]) -> None:
        contained = self.tree.contained(namespace, tokens)
        assert [match.length for match in contained] == sorted(match.length for match in contained)
        assert sorted(match.key for match in contained) == [
            key
            for key, (place, held) in self.lists.items()
            if place == namespace and held == tokens[: len(held)]
        ]

    @invariant()
    def it_holds_the_same(self) -> None:
        assert len(self.tree) == len(self.lists)
        for key, (_, held) in self.lists.items():
            assert key in self.tree
            assert self.tree.tokens_of(key) == held
            assert self.tree.length_of(key) == len(held)

    @invariant()
    def no_node_is_idle(self) -> None:
        for root in self.tree._roots.values():
            check_below(root)


def check_below(node: _Node[int]) -> None:
    for first, child in node.children.items():
        assert child.parent is node
        assert child.start == node.end
        assert child.edge[0] == first
        assert child.keys or len(child.children) > 1
        check_below(child)


TestTreeAgainstLists = TreeAgainstLists.TestCase
TestTreeAgainstLists.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_part_of_an_edge_matches() -> None:
    tree: PrefixTree[str] = PrefixTree()
    tree.insert("", [1, 2, 3, 4], "a")

    assert tree.find("", [1, 2, 9]) == Match(2, "a")
    assert tree.find("", [1, 2, 3, 4, 5]) == Match(4, "a")
    assert tree.find("", [2]) is None
    assert tree.find("adapter", [1, 2, 3, 4]) is None


def test_keys_may_hold_the_same_tokens() -> None:
    tree: PrefixTree[str] = PrefixTree()
    tree.insert("", [1, 2], "a")
    tree.insert("", [1, 2], "b")
    tree.insert("", [1, 2, 3], "c")

    assert tree.find_all("", [1, 2, 9]) == Matches(2, ["a", "b", "c"])
    assert tree.find_all("", [1, 2, 3]) == Matches(3, ["c"])


def test_a_mismatch_is_found_anywhere_in_a_long_edge() -> None:
    length = 1000
    tree: PrefixTree[str] = PrefixTree()
    tree.insert("", range(length), "a")

    for place in range(1, length):
        wanted = [*range(place), -1, *range(place + 1, length)]
        assert tree.find("", wanted) == Match(place, "a")


def test_two_keys_that_grow_alike_stay_in_step() -> None:
    tree: PrefixTree[str] = PrefixTree()
    tree.insert("", [7] * 100, "a")
    tree.insert("", [7] * 100, "b")

    for token in range(50):
        tree.extend("a", [token])
        tree.extend("b", [token])

    assert tree.tokens_of("a") == tree.tokens_of("b") == [7] * 100 + list(range(50))
    assert len(tree._roots[""].children) == 1
