"""The text index of one namespace: opened when it is needed, brought up to date, built anew, given up.

One lock per namespace: changes are taken in one after the other. Searches need it only while they wait for
what was committed before they came. While an index is built anew beside it, the old one serves.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from runtime.core.ids import ChunkId
from runtime.recall.lexical import check, generation, reading, taking
from runtime.recall.lexical.fields import Entry
from runtime.recall.lexical.generation import Generation, Unusable
from runtime.recall.lexical.words import Analyzers
from runtime.recall.truth import Truth

T = TypeVar("T")
_SAMPLE = 1000
_TRIES = 5
"""Comparisons with the truth before writers that never rest make it a matter for the next time."""
_BUILD_THREADS = 2


class Volume:
    """One namespace's index."""

    def __init__(
        self,
        ns: int,
        home: Path,
        truth: Truth,
        analyzers: Analyzers,
        threads: anyio.CapacityLimiter,
        report: Callable[[str], None],
    ) -> None:
        self.ns = ns
        self._home = home
        self._truth = truth
        self._analyzers = analyzers
        self._threads = threads
        self._report = report
        self._lock = anyio.Lock()
        self._building = anyio.Lock()
        self._generation: Generation | None = None
        self._followed = 0
        self.held: int | None = None
        """From which change an index that is being built has yet to follow; None: none is being built."""

    @property
    def followed(self) -> int:
        """Up to which change the index has followed."""
        return self._followed

    @property
    def is_open(self) -> bool:
        """Whether it holds files."""
        return self._generation is not None

    @property
    def is_busy(self) -> bool:
        """Whether somebody works on it."""
        return self._lock.locked() or self._building.locked()

    @property
    def is_writing(self) -> bool:
        """Whether it holds a writer with its threads."""
        return self._generation is not None and self._generation.is_writing

    async def ready(self) -> Generation:
        """Return the index once it has all that was committed before the call."""
        wanted = self._truth.reached(self.ns)
        kept = self._generation
        if kept is not None and self._followed >= wanted:
            return kept

        async with self._lock:
            opened = await self._opened()
            if self._followed < wanted:
                opened = await self._follow(opened)
            return opened or await self._build()

    async def follow(self) -> None:
        """Take in all that is committed."""
        async with self._lock:
            await self._follow(await self._opened())

    async def rebuild(self) -> None:
        """Build the index anew from the truth; the old one, if there is one, serves until then."""
        async with self._building:
            async with self._lock:
                old = await self._opened()
                if old is None:
                    await self._build()
                    return

            self.held = self._followed
            try:
                await self._build_beside(old)
            finally:
                self.held = None

    async def verify(self) -> list[str]:
        """Compare files with their checksums and the index with the truth; return what is wrong."""
        async with self._lock:
            opened = await self._opened()
            if opened is None:
                return ["there was no index that could be used"] if await self._has_chunks() else []

            found = await self._in_thread(lambda: check.damage(opened.folder))
            return found or await self._differences(opened)

    async def count(self) -> int:
        """Return how many chunks are in it, as of now."""
        opened = await self.ready()
        return await self._in_thread(opened.count)

    async def quarantined(self) -> list[int]:
        """Return the chunks that it could not take in."""
        opened = await self.ready()
        return [*await self._in_thread(opened.quarantined)]

    async def is_clean(self) -> bool:
        """Whether its files hold no words of chunks that were removed."""
        return not await self._in_thread(lambda: generation.is_unclean(self._home))

    async def release(self, *, is_closing: bool) -> None:
        """End the writer; with `is_closing` give up the files, too. The next use opens them again."""
        async with self._lock:
            opened = self._generation
            if opened is not None:
                await self._in_thread(opened.release)
            if is_closing:
                self._generation = None

    async def discard(self) -> None:
        """Give up an index that cannot be read any more; the next use builds it anew."""
        async with self._lock:
            await self._give_up()
            await self._in_thread(lambda: generation.remove(self._home))

    async def _opened(self) -> Generation | None:
        """Return the index; None where there is none, or none that can be trusted. Under the lock."""
        if self._generation is None:
            try:
                opened = await self._in_thread(lambda: generation.open_current(self._home, self._analyzers))
                if opened.mark > await reading.newest(self._truth):
                    raise Unusable("it has followed changes that the database does not know")
            except Unusable as problem:
                if await self._in_thread(lambda: generation.was_made(self._home)):
                    self._report(f"The text index of namespace {self.ns} is built anew: {problem}.")
                return None
            self._generation, self._followed = opened, opened.mark
        return self._generation

    async def _follow(self, opened: Generation | None) -> Generation | None:
        """Take in what is committed; None where nothing of the namespace is left. Under the lock."""
        if opened is not None and not await self._catch_up(opened, self._followed):
            return opened

        reached = self._truth.reached(self.ns)
        await self._give_up()
        if await self._has_chunks():
            return await self._build()

        await self._in_thread(lambda: generation.remove(self._home))
        self._followed = max(reached, self._followed)
        return None

    async def _catch_up(self, target: Generation, after: int) -> bool:
        """Take in page after page; return whether the namespace was dropped on the way."""
        while True:
            page = await reading.changes(self._truth, self.ns, after)
            if page.is_drop:
                return True

            if not page.is_empty:
                await self._take_in(target, page.entries, page.gone, page.upto)
            after = page.upto
            if target is self._generation:
                self._followed = after
            if page.is_last:
                return False

    async def _take_in(
        self, target: Generation, entries: list[Entry], gone: list[ChunkId], mark: int
    ) -> None:
        refused = await self._in_thread(lambda: taking.take_in(target, entries, gone, mark))
        for chunk, why in refused:
            self._report(f"Chunk {chunk} of namespace {self.ns} cannot be found by its words: {why}")

    async def _build(self) -> Generation:
        """Build where none serves. Under the lock."""
        await self._give_up()
        fresh = await self._fresh()
        await self._replace(fresh)
        await self._catch_up(fresh, fresh.mark)
        return fresh

    async def _build_beside(self, old: Generation) -> None:
        try:
            fresh = await self._fresh()
        except (ValueError, OSError):
            if self._generation is old:
                raise
            return  # the namespace was dropped or given up, and the folder with it

        async with self._lock:
            if self._generation is old and not await self._catch_up(fresh, fresh.mark):
                await self._replace(fresh)

    async def _fresh(self) -> Generation:
        """Return a new generation that has every chunk, and the mark from which it has to follow."""
        start = await reading.start(self._truth, self.ns)

        def _make() -> Generation:
            folder = generation.next_folder(self._home, start.language)
            return Generation(folder, self._analyzers, is_new=True, threads=_BUILD_THREADS)

        fresh = await self._in_thread(_make)
        after = 0
        while entries := await reading.rows(self._truth, self.ns, after):
            await self._take_in(fresh, entries, [], 0)
            after = entries[-1].chunk
        await self._in_thread(lambda: fresh.commit(start.mark))
        await self._in_thread(fresh.release)
        return fresh

    async def _replace(self, fresh: Generation) -> None:
        """Let a generation serve from now on. Under the lock."""
        await self._give_up()
        await self._in_thread(lambda: generation.make_current(self._home, fresh.folder))
        self._generation, self._followed = fresh, fresh.mark

    async def _give_up(self) -> None:
        former, self._generation = self._generation, None
        if former is not None:
            await self._in_thread(former.release)

    async def _differences(self, opened: Generation) -> list[str]:
        for _ in range(_TRIES):
            sample = await reading.sample(self._truth, self.ns, _SAMPLE)
            if sample.reached > self._followed:
                if await self._catch_up(opened, self._followed):
                    return []  # dropped meanwhile; the next round removes it
                continue

            count = await self._in_thread(opened.count)
            if count != sample.total:
                return [f"it has {count} chunks, the database {sample.total}"]

            missing = len(sample.chunks) - await self._in_thread(partial(opened.having, sample.chunks))
            return [f"{missing} of {len(sample.chunks)} chunks are missing"] if missing else []
        return []

    async def _has_chunks(self) -> bool:
        return bool(await reading.rows(self._truth, self.ns, 0, 1))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._threads)
