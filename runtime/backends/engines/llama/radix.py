"""Which sequence shares the longest beginning with a list of tokens: a radix tree over token ids. Pure.

Each key (a sequence of the context, an entry of the vault) stands at the node where its tokens end. Edges
are arrays that are compared slice by slice, so that a lookup costs memory bandwidth and not a loop. Roots
are kept apart by namespace, since what one adapter computed is of no use to another.

    root ──[system prompt]──┬──[question]── key 3
                            ├──[other question, answer …]── key 9      grows in place by `extend`
                            └── key 1, key 4                           (several keys may end at one node)
"""

from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


class Match(NamedTuple, Generic[K]):
    """A key that shares its first `length` tokens with those that were looked for."""

    length: int
    key: K


class Matches(NamedTuple, Generic[K]):
    """All the keys that share exactly the first `length` tokens with those that were looked for."""

    length: int
    keys: list[K]


class _Node(Generic[K]):
    """An edge and what hangs at its end. No node but a root has neither keys nor two children."""

    __slots__ = ("children", "edge", "keys", "parent", "start")

    def __init__(self, parent: "_Node[K] | None", start: int, edge: "array[int]") -> None:
        self.parent = parent
        self.start = start
        self.edge = edge
        self.children: dict[int, _Node[K]] = {}
        self.keys: dict[K, None] = {}

    @property
    def end(self) -> int:
        return self.start + len(self.edge)


class PrefixTree(Generic[K]):
    """The tokens of many keys. Lookups change nothing; lists of tokens may be empty, and match nothing."""

    def __init__(self) -> None:
        self._roots: dict[str, _Node[K]] = {}
        self._nodes: dict[K, _Node[K]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def insert(self, namespace: str, tokens: Sequence[int], key: K) -> None:
        """Add a key that holds these tokens."""
        assert key not in self._nodes, "a key is inserted once"
        self._place(self._root(namespace), _as_array(tokens), key)

    def extend(self, key: K, tokens: Sequence[int]) -> None:
        """Append to what the key holds. Costs as much as an append to a list, while no key shares its end."""
        node = self._nodes[key]
        if len(node.keys) == 1 and not node.children and node.parent is not None:
            node.edge.extend(tokens)
        elif tokens:
            del node.keys[key]
            self._place(node, _as_array(tokens), key)
            self._settle(node)

    def truncate(self, key: K, length: int) -> None:
        """Let the key hold no more than its first `length` tokens."""
        node = self._nodes[key]
        if length >= node.end:
            return

        if len(node.keys) == 1 and not node.children and length > node.start:
            del node.edge[length - node.start :]
            return

        above = node
        while above.parent is not None and above.start >= length:
            above = above.parent
        if above.end > length:
            self._split(above, length)
        emptied = self._nodes[key]
        del emptied.keys[key]
        self._put(above, key)
        self._settle(emptied)

    def remove(self, key: K) -> None:
        """Forget the key."""
        node = self._nodes.pop(key)
        del node.keys[key]
        self._settle(node)

    def length_of(self, key: K) -> int:
        """Return how many tokens the key holds."""
        return self._nodes[key].end

    def tokens_of(self, key: K) -> list[int]:
        """Return the tokens that the key holds."""
        edges = []
        node: _Node[K] | None = self._nodes[key]
        while node is not None:
            edges.append(node.edge)
            node = node.parent
        return [token for edge in reversed(edges) for token in edge]

    def find(
        self, namespace: str, tokens: Sequence[int], *, is_valid: Callable[[K], bool] | None = None
    ) -> Match[K] | None:
        """Return a key that shares the longest prefix with `tokens`, of those that are valid.

        None: nobody shares even the first token. Where several share as much, any of them is returned.
        """
        for length, keys in self._groups(namespace, tokens):
            for key in keys:
                if is_valid is None or is_valid(key):
                    return Match(length, key)

        return None

    def find_all(
        self, namespace: str, tokens: Sequence[int], *, is_valid: Callable[[K], bool] | None = None
    ) -> Matches[K] | None:
        """Return all the valid keys that share the longest prefix with `tokens`; None as in `find`."""
        for length, keys in self._groups(namespace, tokens):
            chosen = [key for key in keys if is_valid is None or is_valid(key)]
            if chosen:
                return Matches(length, chosen)

        return None

    def candidates(self, namespace: str, tokens: Sequence[int]) -> Iterator[Match[K]]:
        """Yield every key that shares a token, longest prefix first: for who judges key and length together.

        The tree must not change before the last was taken.
        """
        for length, keys in self._groups(namespace, tokens):
            for key in keys:
                yield Match(length, key)

    def contained(self, namespace: str, tokens: Sequence[int]) -> list[Match[K]]:
        """Return the keys all of whose tokens are a prefix of `tokens`, shortest first."""
        path, shared = self._path(namespace, _as_array(tokens))
        return [Match(node.end, key) for node in path if node.end <= shared for key in node.keys]

    def _root(self, namespace: str) -> _Node[K]:
        root = self._roots.get(namespace)
        if root is None:
            root = self._roots[namespace] = _Node(None, 0, array("i"))
        return root

    def _path(self, namespace: str, wanted: "array[int]") -> tuple[list[_Node[K]], int]:
        root = self._roots.get(namespace)
        return ([], 0) if root is None else _descend(root, wanted)

    def _groups(self, namespace: str, tokens: Sequence[int]) -> Iterator[tuple[int, Iterator[K]]]:
        """Yield the keys by how much they share, longest first, without those that share nothing."""
        path, shared = self._path(namespace, _as_array(tokens))
        below = None
        for node in reversed(path[1:]):
            yield min(node.end, shared), _keys_under(node, below)
            below = node

    def _place(self, node: _Node[K], wanted: "array[int]", key: K) -> None:
        """Put the key where `wanted` leads to from the end of this node."""
        path, shared = _descend(node, wanted)
        node = path[-1]
        place = path[0].end + shared
        if place < node.end:
            self._split(node, place)
        if shared < len(wanted):
            leaf = _Node(node, place, wanted[shared:])
            node.children[wanted[shared]] = leaf
            node = leaf
        self._put(node, key)

    def _put(self, node: _Node[K], key: K) -> None:
        node.keys[key] = None
        self._nodes[key] = node

    def _split(self, node: _Node[K], place: int) -> None:
        """Let the node end at `place`; a new one below it takes the rest. Costs the length of the rest."""
        cut = place - node.start
        lower = _Node(node, place, node.edge[cut:])
        del node.edge[cut:]
        self._hand_over(node, lower)
        node.children, node.keys = {lower.edge[0]: lower}, {}

    def _settle(self, node: _Node[K]) -> None:
        """Restore the rule of the nodes after a key left this one."""
        if node.parent is None or node.keys:
            return

        if not node.children:
            above = node.parent
            del above.children[node.edge[0]]
            self._settle_one_child(above)
        else:
            self._settle_one_child(node)

    def _settle_one_child(self, node: _Node[K]) -> None:
        """Join the node with its only child, where it has no other reason to be."""
        if node.parent is None or node.keys or len(node.children) != 1:
            return

        (child,) = node.children.values()
        node.edge.extend(child.edge)
        self._hand_over(child, node)

    def _hand_over(self, giver: _Node[K], taker: _Node[K]) -> None:
        taker.children, taker.keys = giver.children, giver.keys
        for child in taker.children.values():
            child.parent = taker
        for key in taker.keys:
            self._nodes[key] = taker


def _as_array(tokens: Sequence[int]) -> "array[int]":
    return tokens if isinstance(tokens, array) and tokens.typecode == "i" else array("i", tokens)


def _descend(start: _Node[K], wanted: "array[int]") -> tuple[list[_Node[K]], int]:
    """Return the nodes that `wanted` leads through, and how many of its tokens they share.

    The first node is `start`, at whose end the search begins; the last may be shared in part.
    """
    path, shared = [start], 0
    node = start
    while shared < len(wanted):
        child = node.children.get(wanted[shared])
        if child is None:
            break

        count = _count_shared(child.edge, wanted, shared)
        path.append(child)
        shared += count
        if count < len(child.edge):
            break

        node = child

    return path, shared


def _count_shared(edge: "array[int]", wanted: "array[int]", at: int) -> int:
    """Return how much of the edge equals the tokens from `at` on; the first one is known to be equal."""
    most = min(len(edge), len(wanted) - at)
    if edge[:most] == wanted[at : at + most]:
        return most

    equal, unequal = 1, most
    while unequal - equal > 1:
        middle = (equal + unequal) // 2
        if edge[equal:middle] == wanted[at + equal : at + middle]:
            equal = middle
        else:
            unequal = middle

    return equal


def _keys_under(node: _Node[K], left_out: _Node[K] | None) -> Iterator[K]:
    stack = [node]
    while stack:
        node = stack.pop()
        if node is not left_out:
            yield from node.keys
            stack.extend(node.children.values())
