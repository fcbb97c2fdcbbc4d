"""The text arm: what is committed is found, scored within its namespace, and what is gone is not."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.to_thread import run_sync

from runtime.core.errors import StoreUnavailable
from runtime.core.ids import ChunkId
from runtime.recall.database import open_database
from runtime.recall.lexical import fields
from runtime.recall.lexical.arm import TextIndex, open_text_index
from runtime.recall.schema import MIGRATIONS
from runtime.recall.truth import Pen, Truth, load_truth
from tests.kit.texts import AllowedIds, put, remove


@pytest.fixture
async def truth(tmp_path: Path) -> AsyncIterator[Truth]:
    async with open_database(tmp_path / "recall.duckdb", MIGRATIONS) as database:
        yield await load_truth(database)


@pytest.fixture
async def index(truth: Truth, tmp_path: Path) -> AsyncIterator[TextIndex]:
    opened = await open_text_index(tmp_path / "text", truth)
    yield opened
    await opened.aclose()


async def ids(index: TextIndex, text: str, ns: int = 1, limit: int = 100) -> list[int]:
    found = await index.search(ns, text, "auto", limit, None)
    return [int(hit.chunk) for hit in found.hits]


async def test_what_is_committed_before_a_search_is_found(truth: Truth, index: TextIndex) -> None:
    first = await put(truth, 1, "a", "the quick brown fox")
    assert await ids(index, "foxes") == first

    second = await put(truth, 1, "b", "foxes and hounds, foxes and foxes")
    assert await ids(index, "fox") == [*second, *first]

    await remove(truth, 1, "a")
    assert await ids(index, "fox") == second


async def test_namespaces_do_not_see_each_other_in_hits_or_scores(truth: Truth, index: TextIndex) -> None:
    await put(truth, 1, "a", "a fox in the wood", "a hound")
    alone = await index.search(1, "fox", "en", 10, None)
    for number in range(20):
        await put(truth, 2, f"b{number}", "fox " * (number + 1))

    assert await index.search(1, "fox", "en", 10, None) == alone
    assert await ids(index, "wood", ns=2) == []
    assert await ids(index, "fox", ns=3) == []


async def test_a_title_and_headings_count_less_than_the_text(truth: Truth, index: TextIndex) -> None:
    (titled,) = await put(truth, 1, "a", "nothing to see", title="Foxes")
    (headed,) = await put(truth, 1, "b", "nothing to hear", heading=["Animals", "The fox"])
    (written,) = await put(truth, 1, "c", "a fox to see")

    assert (await ids(index, "fox"))[0] == written
    assert set(await ids(index, "fox")) == {titled, headed, written}
    assert set(await ids(index, "title:fox")) == {titled, headed}


async def test_no_text_is_an_error(truth: Truth, index: TextIndex) -> None:
    await put(truth, 1, "a", "it's 50% off!")

    for text in (
        "",
        " ",
        '"',
        "(",
        "a:b:c",
        "AND OR",
        "[x TO",
        "\ud800",
        "\0",
        "~",
        "*",
        "+",
        "--",
        "title:",
    ):
        await index.search(1, text, "", 10, None)
    assert await ids(index, "it's 50% off!")


async def test_a_filter_changes_no_score_and_finds_all_that_exist(truth: Truth, index: TextIndex) -> None:
    everything = await put(truth, 1, "a", *["fox " * (1 + number % 7) for number in range(3000)])
    every = await index.search(1, "fox", "en", 3000, None)
    scores = {hit.chunk: hit.score for hit in every.hits}
    assert len(scores) == 3000

    for wanted in (everything[::7], everything[:1500], everything[:1501], [*everything[2990:], 999_999]):
        found = await index.search(1, "fox", "en", 2000, AllowedIds(wanted))
        assert {hit.chunk for hit in found.hits} == set(wanted) & set(everything)
        assert all(hit.score == pytest.approx(scores[hit.chunk], abs=1e-5) for hit in found.hits)

    assert (await index.search(1, "fox", "en", 10, AllowedIds([]))).hits == []
    few = await index.search(1, "fox", "en", 10, AllowedIds(everything[::2]))
    assert [hit.score for hit in few.hits] == sorted((hit.score for hit in few.hits), reverse=True)
    assert len(few.hits) == 10


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("fox", "abcd"),
        ("fox -hounds", "acd"),
        ('fox -"red fox"', "bcd"),
        ("-fo*", "d"),
        ("-houd~", "acd"),
        ("-title:tale", "abd"),
        ("+fox", "abc"),
        ("+fox -red +hound", "b"),
        ("+unheard", ""),
        ("-unheard", "abcd"),
        ("-old-style", "abc"),
        ("-hound-red", "abcd"),
        ('-"', "abcd"),
    ],
)
@pytest.mark.parametrize("is_many", [False, True])
async def test_signs_are_heeded_in_what_any_arm_may_see(
    truth: Truth, index: TextIndex, monkeypatch: pytest.MonkeyPatch, text: str, left: str, is_many: bool
) -> None:
    monkeypatch.setattr("runtime.recall.lexical.heeding.FEW", 0 if is_many else 4000)
    await put(truth, 1, "a", "the red fox")
    await put(truth, 1, "b", "a fox and a hound")
    await put(truth, 1, "c", "one old fox", title="A tale")
    await put(truth, 1, "d", "a glass of old-style wine")
    allowed = AllowedIds([1, 2, 3, 4])

    heeded = await index.heed(1, text, "en", allowed)

    assert "".join("abcd"[int(each) - 1] for each in heeded.ids) == left
    assert heeded.count == len(left)
    assert heeded.contains(allowed.ids).tolist() == [each in left for each in "abcd"]


async def test_scores_of_given_chunks_are_those_of_the_search(truth: Truth, index: TextIndex) -> None:
    chunks = await put(truth, 1, "a", "a red fox", "a fox, a red fox, a red hound", "nothing", title="Red")
    found = await index.search(1, "red fox", "en", 10, None)

    scores = await index.scores(1, "red fox", "en", [*chunks, ChunkId(777)])

    expected = {hit.chunk: hit.score for hit in found.hits}
    assert scores == pytest.approx([expected.get(each, 0.0) for each in chunks] + [0.0])
    assert await index.scores(1, "", "en", chunks) == [0.0] * 3
    assert await index.scores(1, "fox", "en", []) == []


async def test_a_question_asked_again_finds_what_has_come_since(truth: Truth, index: TextIndex) -> None:
    (hound,) = await put(truth, 1, "a", "a hound")
    assert (await index.search(1, "fox", "en", 10, None)).hits == []
    assert await index.scores(1, "fox", "en", [hound]) == [0.0]

    (fox,) = await put(truth, 1, "b", "a fox")

    assert [hit.chunk for hit in (await index.search(1, "fox", "en", 10, None)).hits] == [fox]
    assert [score > 0 for score in await index.scores(1, "fox", "en", [hound, fox])] == [False, True]


async def test_bm25_is_what_it_is_in_books(truth: Truth, index: TextIndex) -> None:
    texts = ["fox", "fox hound", "hound wolf bear lynx", "wolf bear"]
    chunks = await put(truth, 1, "x", *texts, language="")
    lengths = [len(each.split()) for each in texts]
    # The entry that carries the mark counts among the documents, without words of its own.
    total, average = len(texts) + 1, sum(lengths) / (len(texts) + 1)
    idf = math.log(1 + (total - 2 + 0.5) / (2 + 0.5))
    expected = [idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * length / average)) for length in lengths[:2]]

    assert await index.scores(1, "fox", "", chunks[:2]) == pytest.approx(expected, rel=1e-4)


async def test_coverage_tells_how_much_of_the_question_was_there(truth: Truth, index: TextIndex) -> None:
    await put(truth, 1, "a", *[f"word{number} filler" for number in range(50)], "red fox")

    whole = (await index.search(1, "red fox", "en", 10, None)).coverage
    part = (await index.search(1, "red wolves devour everything unknown", "en", 10, None)).coverage
    nothing = (await index.search(1, "zebra", "en", 10, None)).coverage

    assert 0.3 < whole <= 1
    assert 0 < part < whole / 2
    assert nothing == 0


async def test_a_dropped_namespace_leaves_no_file_behind(
    truth: Truth, index: TextIndex, tmp_path: Path
) -> None:
    await put(truth, 1, "a", "fox")
    assert await ids(index, "fox")
    home = tmp_path / "text" / fields.schema_hash() / "1"
    assert await run_sync(home.exists)

    await truth.write(lambda pen: pen.drop_namespace(1))
    await index.follow()

    assert not await run_sync(home.exists)
    assert index.watermark == truth.newest
    assert await ids(index, "fox") == []


async def test_the_log_may_be_trimmed_up_to_the_watermark(truth: Truth, tmp_path: Path) -> None:
    index = await open_text_index(tmp_path / "text", truth)
    chunks = await put(truth, 1, "a", "fox")
    await put(truth, 2, "b", "hound")
    await index.follow()
    assert index.watermark == truth.newest
    await truth.trim(index.watermark)
    await index.aclose()

    again = await open_text_index(tmp_path / "text", truth)
    more = await put(truth, 1, "c", "fox and fox")

    assert set(await ids(again, "fox")) == {*chunks, *more}
    assert await ids(again, "hound", ns=2)
    assert await again.count() == 3
    assert not again.findings
    await again.aclose()


async def test_vectors_and_a_changed_title_are_followed(truth: Truth, index: TextIndex) -> None:
    (chunk,) = await put(truth, 1, "a", "text", title="Old")
    assert await ids(index, "title:old")
    await truth.write(lambda pen: pen.put_vectors(1, 1, [(chunk, b"\0\0")]))
    await index.follow()
    assert index.watermark == truth.newest

    def _rename(pen: Pen) -> None:
        pen.execute("UPDATE document SET title = 'New' WHERE id = 'a'")
        pen.log(1, [chunk], "meta")

    await truth.write(_rename)

    assert await ids(index, "title:old") == []
    assert await ids(index, "title:new") == [chunk]
    assert await index.count(1) == 1


async def test_the_background_takes_in_what_nobody_asks_for(truth: Truth, index: TextIndex) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(index.follow_forever)
        await put(truth, 1, "a", "fox")
        with anyio.fail_after(10):
            while index.watermark < truth.newest:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert await index.count(1) == 1


async def test_a_second_writer_is_told_who_holds_the_index(
    truth: Truth, index: TextIndex, tmp_path: Path
) -> None:
    await put(truth, 1, "a", "fox")
    await index.catch_up(1)
    await put(truth, 1, "b", "fox")
    await index.catch_up(1)
    second = TextIndex(tmp_path / "text", truth)
    await second.catch_up(1)
    await put(truth, 1, "c", "fox")

    with pytest.raises(StoreUnavailable, match="written by another process"):
        await second.catch_up(1)
    assert len(await ids(index, "fox")) == 3
    await second.aclose()


async def test_many_namespaces_keep_few_files_open(
    truth: Truth, index: TextIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.recall.lexical.arm._OPEN", 3)
    monkeypatch.setattr("runtime.recall.lexical.arm._WRITERS", 1)
    for ns in range(1, 8):
        await put(truth, ns, f"d{ns}", f"fox number{ns}")
    await index.follow()

    assert sum(each.is_open for each in index._volumes.values()) <= 3
    assert sum(each.is_writing for each in index._volumes.values()) <= 1
    for ns in range(1, 8):
        assert len(await ids(index, f"number{ns}", ns=ns)) == 1
    assert await index.count() == 7


async def test_words_of_what_was_removed_go_from_the_files(
    truth: Truth, index: TextIndex, tmp_path: Path
) -> None:
    async def kept() -> int:
        return int((await index._volume(1).ready()).searcher().doc_freq("text", "verysecretword"))

    await put(truth, 1, "first", "it makes the index")
    await index.follow()
    await put(truth, 1, "a", "verysecretword stays here", *["other text"] * 20)
    await put(truth, 1, "b", "something that stays")
    await index.follow()
    await remove(truth, 1, "a")
    await index.follow()
    assert await kept() == 1

    assert await index.compact() == 1
    assert await index.compact() == 0
    assert await kept() == 0
    assert len(await ids(index, "stays")) == 1


async def test_a_rebuild_beside_loses_nothing_that_is_written_meanwhile(
    truth: Truth, index: TextIndex
) -> None:
    await put(truth, 1, "a", *["fox"] * 500)
    await index.follow()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(index.rebuild)
        for number in range(10):
            await put(truth, 1, f"b{number}", "fox again")
            assert len(await ids(index, "again", limit=1000)) == number + 1
            await index.follow()
            await truth.trim(index.watermark)

    assert len(await ids(index, "fox", limit=1000)) == 510
    assert await index.verify() == []
