"""Whatever is written, removed, dropped and trimmed: a search finds what a look at all texts finds."""

import string
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.core.ids import ChunkId
from runtime.recall.database import open_database
from runtime.recall.lexical.arm import TextIndex, open_text_index
from runtime.recall.lexical.highlight import highlights, is_near
from runtime.recall.lexical.words import Analyzers
from runtime.recall.schema import MIGRATIONS
from runtime.recall.truth import Truth, load_truth
from tests.kit.texts import AllowedIds, put, remove

WORDS = ["fox", "wolf", "bear", "lynx", "東京", "user_id", "ação"]
PLAIN_WORDS = [
    "The",
    "houses",
    "house",
    "running",
    "is",
    "nations",
    "naciones",
    "voces",
    "homens",
    "x1f",
    "12",
    "a",
    "parseHeader",
    "Boote",
    "kota",
]
SPACES = (1, 2, 3)
Action = Literal["put", "remove", "drop", "follow", "trim", "reopen", "rebuild", "search", "compact"]


class Step(NamedTuple):
    """One thing that happens."""

    action: Action
    ns: int
    texts: list[list[str]]
    choice: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(
            [
                "put",
                "put",
                "put",
                "remove",
                "remove",
                "drop",
                "follow",
                "trim",
                "reopen",
                "rebuild",
                "search",
                "compact",
            ]
        ),
        st.sampled_from(SPACES),
        st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4), min_size=1, max_size=4),
        st.integers(0, 1000),
    ),
    max_size=25,
)
Model = dict[int, dict[str, dict[ChunkId, str]]]


class _Stage:
    """A truth, its index and what ought to be in both."""

    def __init__(self, truth: Truth, index: TextIndex, folder: Path) -> None:
        self.truth = truth
        self.index = index
        self.folder = folder
        self.model: Model = {ns: {} for ns in SPACES}
        self._documents = 0

    async def step(self, step: Step) -> None:
        match step.action:
            case "put":
                await self._put(step)
            case "remove":
                await self._remove(step)
            case "drop":
                await self.truth.write(lambda pen: pen.drop_namespace(step.ns))
                self.model[step.ns].clear()
            case "trim":
                await self.truth.trim(self.index.watermark)
            case "search":
                await self.compare(step.ns, WORDS[step.choice % len(WORDS)])
            case "follow" | "rebuild" | "compact" | "reopen":
                await self._upkeep(step)

    async def _put(self, step: Step) -> None:
        self._documents += 1
        name = f"d{self._documents}"
        texts = [" ".join(words) for words in step.texts]
        language = ("en", "pt", "")[step.choice % 3]
        chunks = await put(self.truth, step.ns, name, *texts, language=language)
        self.model[step.ns][name] = dict(zip(chunks, texts, strict=True))

    async def _remove(self, step: Step) -> None:
        documents = self.model[step.ns]
        if documents:
            name = sorted(documents)[step.choice % len(documents)]
            await remove(self.truth, step.ns, name)
            del documents[name]

    async def _upkeep(self, step: Step) -> None:
        if step.action == "follow":
            await self.index.follow()
        elif step.action == "rebuild":
            await self.index.rebuild(step.ns)
        elif step.action == "compact":
            await self.index.compact()
        else:
            await self.index.aclose()
            self.index = await open_text_index(self.folder / "text", self.truth)

    async def compare(self, ns: int, word: str) -> None:
        chunks: Mapping[ChunkId, str] = {
            chunk: text for texts in self.model[ns].values() for chunk, text in texts.items()
        }
        expected = {chunk for chunk, text in chunks.items() if word in text.split()}
        found = await self.index.search(ns, word, "", 1000, None)
        assert {hit.chunk for hit in found.hits} == expected
        assert 0 <= found.coverage <= 1
        half = sorted(chunks)[::2]
        narrowed = await self.index.search(ns, word, "", 1000, AllowedIds(half))
        assert {hit.chunk for hit in narrowed.hits} == expected & set(half)
        assert await self.index.count(ns) == len(chunks)


@given(STEPS)
@settings(max_examples=15, deadline=None)
def test_a_search_finds_what_a_plain_look_finds(steps: list[Step]) -> None:
    async def _play() -> None:
        with TemporaryDirectory() as folder, anyio.fail_after(100):
            path = Path(folder)
            async with open_database(path / "recall.duckdb", MIGRATIONS) as database:
                truth = await load_truth(database)
                stage = _Stage(truth, await open_text_index(path / "text", truth), path)
                for step in steps:
                    await stage.step(step)
                for ns in SPACES:
                    for word in WORDS:
                        await stage.compare(ns, word)
                assert await stage.index.verify() == []
                await stage.index.aclose()

    anyio.run(_play)


@given(st.text(max_size=200), st.text(st.characters(exclude_categories=()), max_size=60))
@settings(max_examples=200, deadline=None)
def test_highlights_lie_in_the_text_in_order_and_apart(text: str, question: str) -> None:
    analyzers = Analyzers()
    for language in ("en", ""):
        spans = highlights(f"{question} {text[:20]}", text, language, analyzers)
        places = [place for span in spans for place in (span.start, span.end)]
        assert places == sorted(set(places))
        assert all(0 <= place <= len(text) for place in places)


@given(
    st.lists(st.sampled_from(PLAIN_WORDS), max_size=20),
    st.lists(st.sampled_from(PLAIN_WORDS), min_size=1, max_size=4).map(" ".join),
    st.sampled_from([" ", ", ", "-", "_", "'"]),
    st.sampled_from(["", "en", "pt", "es", "de", "pl"]),
)
@settings(max_examples=300, deadline=None)
def test_words_light_up_alike_cut_all_at_once_or_one_by_one(
    words: list[str], question: str, between: str, language: str
) -> None:
    analyzers = Analyzers()
    text = between.join(words)

    # A letter beyond ASCII makes it look at each word.
    one_by_one = highlights(question, f"{text} ☃", language, analyzers)

    assert highlights(question, text, language, analyzers) == one_by_one


@given(st.text(string.ascii_lowercase, min_size=1, max_size=12), st.data())
@settings(max_examples=200, deadline=None)
def test_a_word_is_near_to_what_one_slip_makes_of_it(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(word) - 1))
    slips = [
        word[:place] + word[place + 1 :],
        word[:place] + "x" + word[place:],
        word[:place] + "x" + word[place + 1 :],
    ]
    if place:
        slips.append(word[: place - 1] + word[place] + word[place - 1] + word[place + 1 :])

    assert all(is_near(slip, word, 1) and is_near(word, slip, 1) for slip in slips)
    assert not is_near(word, word + "xxx", 2)
    assert not is_near("abcd", "dcba", 1)
