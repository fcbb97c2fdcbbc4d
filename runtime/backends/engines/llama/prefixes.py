"""What is known of which prefix: what sequences hold, what live seqs are about to compute, what was seen.

No prefix that it names ends inside of a picture: part of one cannot be computed on.

Pure. Three radix trees over token ids, each inside the namespace of an adapter.
"""

from collections import OrderedDict
from collections.abc import Callable, Container
from typing import NamedTuple

from runtime.backends.engines.llama.plan import Job, Store
from runtime.backends.engines.llama.radix import PrefixTree

WORTH_WAITING_TOKENS = 32
"""Fewer tokens than this are computed rather than waited for: they take about one step either way."""

REMEMBERED = 64
"""Histories of models whose state cannot be cut, that are compared with to see where prompts part."""


class Source(NamedTuple):
    """Where the first tokens of a job are: in a sequence, in the vault, or nowhere."""

    length: int = 0
    holder: int | None = None
    key: int | None = None
    total: int = 0


class Promise(NamedTuple):
    """A live seq that is about to compute the first `length` tokens of somebody else."""

    seq: int
    length: int


class Prefixes:
    """The three trees. Sequences are known by their id, promises by the number of the seq."""

    def __init__(self, store: Store | None, *, is_exact: bool) -> None:
        self._store = store
        self._is_exact = is_exact
        self._held: PrefixTree[int] = PrefixTree()
        self._promised: PrefixTree[int] = PrefixTree()
        self._promises: set[int] = set()
        self._holders: set[int] = set()
        self._seen: PrefixTree[int] = PrefixTree()
        self._histories: OrderedDict[int, None] = OrderedDict()
        self._count = 0

    # ---- what sequences hold

    def hold(self, holder: int, namespace: str, tokens: list[int]) -> None:
        """Note what a sequence that held nothing holds now."""
        self._drop(holder)
        self._held.insert(namespace, tokens, holder)
        self._holders.add(holder)

    def grow(self, holder: int, namespace: str, tokens: list[int]) -> None:
        """Note that more was computed."""
        if holder in self._holders:
            self._held.extend(holder, tokens)
        else:
            self.hold(holder, namespace, tokens)

    def trim(self, holder: int, length: int) -> None:
        """Note that all but the first `length` tokens are gone."""
        self._held.truncate(holder, length)

    def drop(self, holder: int) -> None:
        """Note that the sequence holds nothing."""
        self._drop(holder)

    def knows(self, holder: int) -> bool:
        """Whether the sequence holds anything."""
        return holder in self._holders

    def tokens_of(self, holder: int) -> list[int]:
        """Return what the sequence holds."""
        return self._held.tokens_of(holder)

    def find(self, job: Job) -> Source:
        """Return where the most of the job's tokens are. The last one is always computed, for its logits."""
        wanted = job.tokens[:-1]
        best = Source()
        if job.is_scored and not job.has_begun:
            return best

        if not self._is_exact:
            held = self._held.find(job.namespace, wanted)
            if held is not None and job.whole(held.length):
                best = Source(length=job.whole(held.length), holder=held.key)

        stored = None if self._store is None else self._store.find(job.namespace, wanted)
        if stored is None:
            return best

        length = job.whole(stored.length)
        is_of_use = length == stored.length or not self._is_exact
        if is_of_use and length > best.length:
            return Source(length=length, key=stored.key, total=stored.total)

        return best

    def holder_of_all(self, namespace: str, tokens: list[int], among: Container[int]) -> int | None:
        """Return one of these sequences that holds all of the tokens."""
        found = self._held.find(namespace, tokens, is_valid=lambda key: key in among)
        return found.key if found is not None and found.length == len(tokens) else None

    def covered_by(self, namespace: str, tokens: list[int], among: Container[int]) -> list[int]:
        """Return those of these sequences that hold nothing but a beginning of the tokens."""
        return [found.key for found in self._held.contained(namespace, tokens) if found.key in among]

    # ---- what is about to be computed

    def promise(self, job: Job) -> None:
        """Note that the job, which is live, will compute its prompt."""
        if job.computed < job.prompt and job.seq not in self._promises:
            self._promised.insert(job.namespace, job.tokens[: job.prompt], job.seq)
            self._promises.add(job.seq)

    def fulfil(self, job: Job) -> None:
        """Note that it is computed, or will not be."""
        if job.seq in self._promises:
            self._promises.remove(job.seq)
            self._promised.remove(job.seq)

    def promised(self, job: Job, known: int, is_moving: Callable[[int], bool]) -> Promise | None:
        """Return who will compute so much of the job's prompt, beyond what is known, that waiting pays."""
        if not self._promises or job.is_scored:
            return None

        found = self._promised.find(job.namespace, job.tokens[:-1], is_valid=is_moving)
        length = 0 if found is None else job.whole(found.length)
        if found is None or length - known < WORTH_WAITING_TOKENS:
            return None

        return Promise(found.key, length)

    # ---- what was seen

    def remember(self, namespace: str, tokens: list[int]) -> None:
        """Keep a history to compare with."""
        self._count += 1
        self._seen.insert(namespace, tokens, self._count)
        self._histories[self._count] = None
        if len(self._histories) > REMEMBERED:
            oldest, _ = self._histories.popitem(last=False)
            self._seen.remove(oldest)

    def partings(self, job: Job) -> list[int]:
        """Return where the job's prompt parts from what was seen, beyond what it starts with."""
        if not self._is_exact:
            return []

        found = self._seen.find(job.namespace, job.tokens[: job.prompt - 1])
        length = 0 if found is None else job.whole(found.length)
        return [length] if length - job.computed >= WORTH_WAITING_TOKENS else []

    def _drop(self, holder: int) -> None:
        if holder in self._holders:
            self._holders.remove(holder)
            self._held.remove(holder)
