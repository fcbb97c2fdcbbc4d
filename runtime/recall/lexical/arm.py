"""The text arm of Recall: finds chunks by their words, one Tantivy index per namespace.

Why not one index for all: how rare a word is (idf) and how long texts are would then be counted over all
tenants, so scores would tell one tenant what another one holds; a search would wait for what was just
written elsewhere; one damaged file would take everything along; and a dropped namespace would leave its
words behind. Scores are comparable within a namespace; across namespaces compare `score * coverage /
best score`, the share of what the question could have scored there.
"""

import logging
import shutil
from collections import deque
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import duckdb

from runtime.core.errors import Fault, LarError, StoreDamaged, StoreUnavailable
from runtime.core.ids import ChunkId
from runtime.core.knowledge import Span
from runtime.recall.lexical import asking, check, fields, generation, heeding, highlight, reading
from runtime.recall.lexical.asking import Question
from runtime.recall.lexical.compose import Asked, View
from runtime.recall.lexical.generation import Generation, is_of_library
from runtime.recall.lexical.query import demands
from runtime.recall.lexical.volume import Volume
from runtime.recall.lexical.words import Analyzers
from runtime.recall.parts import Allowed, TextFound
from runtime.recall.truth import Truth

logger = logging.getLogger(__name__)
T = TypeVar("T")

_OPEN = 64
"""Namespaces whose files stay open; each takes some dozens of file handles."""
_WRITERS = 4
"""Namespaces whose writers stay, each with its threads."""
_SEARCHES = 2
_WORKERS = 2
_PULSE_S = 0.1
"""How often the follower looks; a look is a comparison of two numbers."""
_PULSES = 10
"""Looks after which any change is taken in."""
_CHANGES = 200
"""Changes that are taken in at once."""
_FINDINGS = 100


class TextIndex:
    """Finds by words. Implements `parts.TextArm`; made by `open_text_index`."""

    def __init__(self, folder: Path, truth: Truth) -> None:
        self._folder = folder / fields.schema_hash()
        self._truth = truth
        self._analyzers = Analyzers()
        self._volumes: dict[int, Volume] = {}
        """The longest unused first."""
        self._questions = asking.Questions()
        self._searches = anyio.CapacityLimiter(_SEARCHES)
        self._workers = anyio.CapacityLimiter(_WORKERS)
        self._followed = 0
        self.findings: deque[str] = deque(maxlen=_FINDINGS)
        """What went wrong lately and was mended, or was put aside; the newest last."""

    @property
    def watermark(self) -> int:
        """The change up to which all of the log may go, as far as the text index is concerned."""
        held = [each.held for each in self._volumes.values() if each.held is not None]
        return min([self._followed, *held])

    async def search(
        self, ns: int, text: str, language: str, limit: int, allowed: Allowed | None
    ) -> TextFound:
        """Return the best chunks of a namespace, all that was committed before the call looked at."""
        return await self._answer(
            ns, text, language, lambda view, asked: asking.find(view, asked, limit, allowed)
        )

    async def scores(self, ns: int, text: str, language: str, chunks: Sequence[ChunkId]) -> list[float]:
        """Return BM25 of the given chunks, 0 where nothing matches; the same numbers as `search` gives."""
        return await self._answer(ns, text, language, lambda view, asked: asking.score(view, asked, chunks))

    async def heed(self, ns: int, text: str, language: str, allowed: Allowed) -> Allowed:
        """Return those of the allowed chunks that a question's signs (`+must`, `-not`) let through."""
        demanded = demands(text)
        if not demanded or not allowed.count:
            return allowed

        return await self._ask(
            ns, lambda opened: heeding.heed(self._view(opened), demanded, language, allowed)
        )

    def highlights(self, query: str, text: str, language: str) -> tuple[Span, ...]:
        """Return where words of a query stand in a text of that language, inflected forms included."""
        return highlight.highlights(query, text, language, self._analyzers)

    async def catch_up(self, ns: int) -> None:
        """Return once everything of a namespace that was committed before the call can be found."""
        await self._volume(ns).ready()

    async def follow(self) -> None:
        """Take in all that is committed, namespace by namespace; one that fails does not stop the others."""
        lagging = await self._truth.read(
            "SELECT ns, max(seq) FROM change WHERE seq > $1 GROUP BY ns ORDER BY ns", [self._followed]
        )
        failed = False
        for ns, _ in lagging:
            try:
                await self._volume(int(ns)).follow()
            except (LarError, StoreUnavailable, ValueError, OSError, duckdb.Error) as problem:
                logger.exception("following into the text index of namespace %d", ns)
                self._report(f"The text index of namespace {ns} does not follow: {problem}")
                failed = True
            await self._settle()
        if not failed:
            self._followed = max((int(seq) for _, seq in lagging), default=self._followed)

    async def follow_forever(self) -> None:
        """Follow in the background: every 200 changes, and every second while there are any."""
        pulses = 0
        while True:
            await anyio.sleep(_PULSE_S)
            behind = self._truth.newest - self._followed
            pulses = pulses + 1 if behind > 0 else 0
            if behind >= _CHANGES or pulses >= _PULSES:
                pulses = 0
                await self.follow()

    async def count(self, ns: int | None = None) -> int:
        """Return how many chunks are indexed, in a namespace or in all."""
        wanted = await self._all() if ns is None else [ns]
        return sum([await self._volume(each).count() for each in wanted])

    async def verify(self) -> list[str]:
        """Read every file, compare with the truth, build anew what is wrong; return what was found."""
        found: list[str] = []
        for ns in await self._all():
            volume = self._volume(ns)
            wrong = await volume.verify()
            if wrong:
                found += [
                    f"The text index of namespace {ns} was wrong and is built anew: {each}." for each in wrong
                ]
                await volume.rebuild()
            found += [
                f"Chunk {each} of namespace {ns} cannot be found by its words."
                for each in await volume.quarantined()
            ]
            await self._settle()
        for each in found:
            self._report(each)
        return found

    async def compact(self) -> int:
        """Build anew what still holds words of removed chunks in its files; return how many that were."""
        unclean = [ns for ns in await self._all() if not await self._volume(ns).is_clean()]
        for ns in unclean:
            await self._volume(ns).rebuild()
            await self._settle()
        return len(unclean)

    async def rebuild(self, ns: int | None = None) -> None:
        """Build the index of a namespace, or all of them, anew; the old ones serve until then."""
        for each in await self._all() if ns is None else [ns]:
            await self._volume(each).rebuild()
            await self._settle()

    async def aclose(self) -> None:
        """End writers and their merges, and close all files."""
        for volume in [*self._volumes.values()]:
            await volume.release(is_closing=True)
        self._volumes.clear()

    async def sweep(self) -> None:
        """Remove indexes of former schemas and of namespaces that are gone."""
        kept = await reading.known_namespaces(self._truth)
        await anyio.to_thread.run_sync(_sweep, self._folder, kept, limiter=self._workers)

    async def _answer(self, ns: int, text: str, language: str, answer: Callable[[View, Asked], T]) -> T:
        def _asked(opened: Generation) -> T:
            # The mark first: it is never newer than the view, so nothing composed is of an older commit.
            question = Question((opened.folder, opened.mark), text, language)
            view = self._view(opened)
            return answer(view, self._questions.asked(question, view))

        return await self._ask(ns, _asked)

    def _view(self, opened: Generation) -> View:
        searcher = opened.searcher()
        return View(searcher, opened.schema, opened.languages(searcher), self._analyzers)

    async def _ask(self, ns: int, ask: Callable[[Generation], T]) -> T:
        volume = self._volume(ns)
        opened = await volume.ready()
        if len(self._volumes) > _OPEN:
            await self._settle()
        try:
            return await self._search(ask, opened)
        except BaseException as problem:  # a panic of the library over a damaged file is no Exception
            if not is_of_library(problem):
                raise
            if not (
                wrong := await anyio.to_thread.run_sync(check.damage, opened.folder, limiter=self._workers)
            ):
                raise StoreDamaged(_unreadable(ns, problem)) from problem

        self._report(f"The text index of namespace {ns} is built anew: {'; '.join(wrong)}.")
        await volume.discard()
        return await self._search(ask, await volume.ready())

    async def _search(self, question: Callable[[Generation], T], opened: Generation) -> T:
        return await anyio.to_thread.run_sync(question, opened, limiter=self._searches)

    def _volume(self, ns: int) -> Volume:
        volume = self._volumes.pop(ns, None)
        if volume is None:
            home = self._folder / str(ns)
            volume = Volume(ns, home, self._truth, self._analyzers, self._workers, self._report)
        self._volumes[ns] = volume
        return volume

    async def _settle(self) -> None:
        """Give up the writers and files of namespaces that were not used for the longest time."""
        idle = [each for each in self._volumes.values() if not each.is_busy]
        for volume in [each for each in idle if each.is_open][:-_OPEN]:
            await volume.release(is_closing=True)
            self._volumes.pop(volume.ns, None)
        for volume in [each for each in idle if each.is_writing][:-_WRITERS]:
            await volume.release(is_closing=False)

    async def _all(self) -> list[int]:
        return sorted(
            await reading.namespaces(self._truth) | await anyio.to_thread.run_sync(_present, self._folder)
        )

    def _report(self, finding: str) -> None:
        logger.warning("%s", finding)
        self.findings.append(finding)


def _present(folder: Path) -> set[int]:
    """Return the namespaces that have an index on disk."""
    if not folder.is_dir():
        return set()

    return {int(each.name) for each in folder.iterdir() if each.name.isascii() and each.name.isdecimal()}


def _sweep(folder: Path, kept: Set[int]) -> None:
    if folder.parent.is_dir():
        for each in folder.parent.iterdir():
            if each != folder and each.is_dir():
                shutil.rmtree(each)
    for ns in _present(folder) - kept:
        generation.remove(folder / str(ns))


def _unreadable(ns: int, problem: BaseException) -> Fault:
    return Fault(
        code="store_damaged",
        message=f"The text index of namespace {ns} cannot be asked: {problem}. Its files are as they were "
        "written; 'lar recall doctor' builds it anew.",
    )


async def open_text_index(folder: Path, truth: Truth) -> TextIndex:
    """Return the text index in a folder. Indexes are opened, or made, when their namespaces are asked for."""
    index = TextIndex(folder, truth)
    await index.sweep()
    return index
