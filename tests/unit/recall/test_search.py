"""The search over a real truth, with arms that read rows."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.core.errors import Fault, ModelUnavailable, NotFound
from runtime.core.ids import CollectionId, ModelId, TenantId
from runtime.core.knowledge import Found, Query
from runtime.core.memories import Scope
from runtime.recall import search, search_candidates, search_models
from runtime.recall.documents import ItemColumns, remove_documents
from runtime.recall.fuse import EVEN_WEIGHT, FOREIGN_WEIGHT
from tests.kit.embedder import MODEL
from tests.kit.search_stage import TENANT, SearchStage, open_search_stage

READER = ModelId("reader")
DAY = 86400.0


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[SearchStage]:
    async with open_search_stage(tmp_path, reranker=READER) as stage:
        yield stage


async def find(stage: SearchStage, text: str, *names: str, **told: object) -> Found:
    with anyio.fail_after(5):
        return await stage.searcher.search(TENANT, query(text, *names, **told))


def query(text: str, *names: str, **told: object) -> Query:
    collections = tuple(CollectionId(f"vs_{name}") for name in names or ("books",))
    return Query(text=text, collections=collections, **told)  # type: ignore[arg-type]  # any of its fields


def names(found: Found) -> list[str]:
    return [hit.document.name for hit in found.hits]


def texts(found: Found) -> list[str]:
    return [hit.chunk.text for hit in found.hits]


async def test_a_hit_says_where_it_comes_from(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(
        books, "tea", "how to boil water", "green tea wants cooler water", headings=["A", "B"]
    )
    await stage.document(books, "coffee", "coffee wants boiling water")

    found = await find(stage, "green tea")

    best = found.hits[0]
    assert (best.document.name, best.document.collection) == ("tea", "vs_books")
    assert (best.chunk.ordinal, best.chunk.start, best.chunk.end) == (1, 18, 46)
    assert best.chunk.heading == ("B",)
    assert [best.chunk.text[span.start : span.end] for span in best.highlights] == ["green", "tea"]
    assert best.score == 1.0
    assert best.scores is None
    assert not found.is_more
    assert found.notes == ()


async def test_both_arms_count_and_each_judges_what_the_other_found(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "both", "river boat")
    await stage.document(books, "other", "mountain path")

    found = await find(stage, "river boat", is_explained=True)

    first, second = found.hits
    assert first.scores is not None
    assert second.scores is not None
    assert (first.scores.text_rank, first.scores.vector_rank) == (1, 1)
    assert first.scores.vector == pytest.approx(1.0, abs=1e-3)
    assert first.scores.vector_weight == EVEN_WEIGHT
    assert (second.scores.text, second.scores.text_rank, second.scores.vector_rank) == (0.0, None, 2)
    assert second.score == 0.0


async def test_only_what_an_arm_has_not_scored_is_asked_for_again(stage: SearchStage) -> None:
    books = await stage.collection("books")
    for number in range(search.DEPTH + 20):
        await stage.document(books, f"n{number}", f"number {number} of many words")

    await find(stage, "number 7")

    assert stage.text.scored == [] or max(stage.text.scored) <= 20
    assert stage.vectors.scored == [] or max(stage.vectors.scored) <= 20
    assert stage.text.asked == stage.vectors.asked == 1


@pytest.mark.parametrize(
    ("arm", "by_words", "by_vectors"), [("text", 1, 0), ("vector", 0, 1), ("hybrid", 1, 1)]
)
async def test_an_arm_that_was_not_asked_for_has_no_part(
    stage: SearchStage, arm: str, by_words: int, by_vectors: int
) -> None:
    books = await stage.collection("books")
    await stage.document(books, "a", "river boat")

    found = await find(stage, "river", arm=arm, is_explained=True)

    assert (stage.text.asked, stage.vectors.asked) == (by_words, by_vectors)
    scores = found.hits[0].scores
    assert scores is not None
    assert (scores.text is None) == (not by_words)
    assert (scores.vector is None) == (not by_vectors)


@pytest.mark.parametrize("arm", ["text", "vector", "hybrid"])
async def test_what_a_sign_leaves_out_no_arm_brings_back(stage: SearchStage, arm: str) -> None:
    books = await stage.collection("books")
    await stage.document(books, "river", "a boat on the river")
    await stage.document(books, "sea", "a boat on the sea")

    without = await find(stage, "boat -sea", arm=arm)
    with_it = await find(stage, "boat +sea", arm=arm)

    assert names(without) == ["river"]
    assert names(with_it) == ["sea"]
    assert without.notes == with_it.notes == ()


async def test_a_page_is_full_although_the_nearest_were_left_out(stage: SearchStage) -> None:
    books = await stage.collection("books")
    for number in range(search.DEPTH + 20):
        await stage.document(books, f"near{number}", "river boat sea")
    await stage.document(books, "far", "river path")

    assert names(await find(stage, "river boat -sea")) == ["far"]


async def test_what_is_left_out_is_not_looked_for_by_meaning(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "a", "river boat")

    found = await find(stage, "river boat -sea", arm="vector", is_explained=True)

    assert found.hits[0].scores is not None
    assert found.hits[0].scores.vector == pytest.approx(1.0, abs=1e-3)


async def test_a_question_that_only_leaves_out_lists_the_rest(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "old", "river boat", created_at=1.0)
    await stage.document(books, "new", "mountain path", created_at=2.0)
    await stage.document(books, "sea", "river sea", created_at=3.0)

    assert names(await find(stage, "-sea")) == ["new", "old"]


async def test_signs_that_cannot_be_heeded_are_told(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "a", "river boat")
    stage.text.problem = OSError("no such file")

    found = await find(stage, "boat -sea")

    assert names(found) == ["a"]
    assert found.notes[0] == "The index of words failed: '+' and '-' before words were not heeded."
    assert stage.told.facts[0][1].is_degraded


async def test_without_the_embedder_words_alone_find_and_a_note_says_so(stage: SearchStage) -> None:
    books = await stage.collection("books", model=ModelId("absent"))
    await stage.document(books, "a", "river boat")
    await stage.document(books, "b", "mountain path")

    found = await find(stage, "river")

    assert names(found) == ["a"]
    assert found.hits[0].score == 1.0
    assert len(found.notes) == 1
    assert "'absent' is not installed" in found.notes[0]
    assert stage.told.facts[0][1].is_degraded


async def test_an_embedder_that_fails_costs_its_arm_and_no_more(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "a", "river boat")

    async def fail(texts: Sequence[str]) -> None:
        raise ModelUnavailable(Fault(code="worker_died", message="The worker died."))

    stage.words.before = fail
    found = await find(stage, "river")

    assert names(found) == ["a"]
    assert "The worker died." in found.notes[0]


async def test_an_embedder_that_hangs_is_waited_for_once(
    stage: SearchStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_models, "EMBED_LIMIT_S", 0.01)
    books = await stage.collection("books")
    await stage.document(books, "a", "river boat")

    async def hang(texts: Sequence[str]) -> None:
        await anyio.sleep_forever()

    stage.words.before = hang
    first, second = await find(stage, "river"), await find(stage, "river again")
    asked_while_it_rested = len(stage.words.batches)
    stage.words.before = None
    stage.clock.advance(search_models.REST_S + 1)
    third = await find(stage, "river")

    assert names(first) == names(second) == names(third) == ["a"]
    assert "did not answer" in first.notes[0]
    assert "left alone" in second.notes[0]
    assert asked_while_it_rested == 1
    assert third.notes == ()


async def test_an_arm_that_is_broken_is_replaced_by_the_other(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "a", "river boat")

    stage.text.problem = ValueError("a segment is gone")
    by_meaning = await find(stage, "river")
    stage.text.problem, stage.vectors.problem = None, ValueError("no room")
    by_words = await find(stage, "river")

    assert names(by_meaning) == names(by_words) == ["a"]
    assert by_meaning.notes == ("The index of words failed: found by meaning alone.",)
    assert by_words.notes == ("The index of vectors failed: found by words alone.",)


async def test_an_arm_that_does_not_answer_is_left_behind(
    stage: SearchStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_candidates, "ARM_LIMIT_S", 0.01)
    books = await stage.collection("books")
    await stage.document(books, "a", "river boat")

    async def hang(*told: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(stage.vectors, "search", hang)
    found = await find(stage, "river")

    assert names(found) == ["a"]
    assert found.notes


async def test_only_where_no_arm_is_left_the_search_fails(stage: SearchStage) -> None:
    books = await stage.collection("books", model=ModelId("absent"))
    await stage.document(books, "a", "river boat")
    stage.text.problem = ValueError("a segment is gone")

    with pytest.raises(ValueError, match="segment"):
        await find(stage, "river")


async def test_a_query_is_embedded_once_for_all_pages_and_collections_of_an_embedding(
    stage: SearchStage,
) -> None:
    for name in ("books", "letters"):
        await stage.document(await stage.collection(name), name, "river boat")

    await find(stage, "river", "books", "letters")
    await find(stage, "river", "books", limit=5)

    assert stage.words.batches == [["river"]]


async def test_collections_are_searched_together_each_once(stage: SearchStage) -> None:
    for name in ("books", "letters"):
        await stage.document(await stage.collection(name), f"of {name}", f"the river in {name}")

    found = await find(stage, "river letters", "books", "letters", "books")

    assert names(found) == ["of letters", "of books"]
    assert stage.told.facts[0][1].collections == ("vs_books", "vs_letters")


async def test_a_word_that_is_rare_in_a_large_collection_does_not_beat_the_whole_question(
    stage: SearchStage,
) -> None:
    small, large = await stage.collection("small"), await stage.collection("large")
    await stage.document(small, "whole", "river boat")
    await stage.document(small, "half", "boat")
    await stage.document(large, "part", "river")
    for number in range(20):
        await stage.document(large, f"n{number}", f"boat {number}")

    found = await find(stage, "river boat", "small", "large", arm="text", is_explained=True)

    assert names(found)[0] == "whole"
    bm25 = {hit.document.name: hit.scores.text for hit in found.hits if hit.scores and hit.scores.text}
    assert bm25["part"] > bm25["whole"]


async def test_collections_of_two_embeddings_stand_side_by_side(stage: SearchStage) -> None:
    other = ModelId("other-words")
    stage.words.installed.add(other)
    for name, model in (("books", MODEL), ("letters", other)):
        mark = await stage.collection(name, model=model)
        await stage.document(mark, f"{name} near", "river boat")
        await stage.document(mark, f"{name} far", "mountain path")

    found = await find(stage, "river boat", "books", "letters", is_deduplicated=False)

    assert stage.words.models == [MODEL, other]
    assert names(found)[:2] == ["books near", "letters near"]
    assert [hit.score for hit in found.hits] == [1.0, 1.0, 0.0, 0.0]


async def test_what_belongs_to_another_tenant_does_not_exist(stage: SearchStage) -> None:
    theirs = await stage.collection("books", tenant=TenantId("other"))
    await stage.document(theirs, "secret", "river boat")

    with pytest.raises(NotFound):
        await find(stage, "river")
    with pytest.raises(NotFound):
        await find(stage, "river", "nowhere")


async def test_a_memory_is_no_collection_to_search_but_found_in_its_scope(stage: SearchStage) -> None:
    mark = await stage.collection("memory", kind="memory")
    await stage.document(mark, "ada", "likes tea", item=ItemColumns(0.5, user="ada"))
    await stage.document(mark, "bob", "likes tea too", item=ItemColumns(0.5, user="bob"))
    await stage.document(mark, "all", "tea is in the kitchen", item=ItemColumns(0.5))

    with pytest.raises(NotFound):
        await find(stage, "tea", "memory")
    found = await stage.searcher.search_in(TENANT, [mark], query("tea"), Scope(user="ada"))

    assert sorted(names(found)) == ["ada", "all"]


async def test_pages_fit_together_and_say_whether_there_is_more(stage: SearchStage) -> None:
    books = await stage.collection("books")
    for number in range(23):
        await stage.document(books, f"n{number}", f"river number {number} " + "word " * number)

    whole = await find(stage, "river", limit=50)
    pages = [await find(stage, "river", limit=10, offset=offset) for offset in (0, 10, 20, 30)]

    assert [name for page in pages for name in names(page)] == names(whole)
    assert [len(page.hits) for page in pages] == [10, 10, 3, 0]
    assert [page.is_more for page in pages] == [True, True, False, False]


async def test_a_page_far_down_looks_deeper(stage: SearchStage) -> None:
    books = await stage.collection("books")
    count = search.DEPTH + 30
    for number in range(count):
        await stage.document(books, f"n{number}", f"river number {number}")

    found = await find(stage, "river", arm="text", limit=50, offset=search.DEPTH)

    assert len(found.hits) == 30
    assert not found.is_more


async def test_what_says_the_same_is_shown_once_and_the_page_is_still_full(stage: SearchStage) -> None:
    books = await stage.collection("books")
    for number in range(30):
        await stage.document(books, f"copy{number}", "the river runs to the sea")
    for number in range(4):
        await stage.document(books, f"other{number}", f"a river of kind {number}")

    once = await find(stage, "river sea", limit=4)
    again = await find(stage, "river sea", limit=4, offset=4)
    all_of_them = await find(stage, "river sea", limit=50, is_deduplicated=False)

    assert len(once.hits) == 4
    assert texts(once).count("the river runs to the sea") == 1
    assert once.is_more
    assert (len(again.hits), again.is_more) == (1, False)
    assert len(all_of_them.hits) == 34


async def test_below_the_threshold_nothing_is_shown(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "near", "river boat")
    await stage.document(books, "far", "mountain path")

    assert names(await find(stage, "river boat", threshold=0.5)) == ["near"]
    assert names(await find(stage, "river boat")) == ["near", "far"]


@pytest.mark.parametrize("text", ["", "   \n\t"])
async def test_without_words_the_newest_is_listed_first(stage: SearchStage, text: str) -> None:
    books = await stage.collection("books")
    await stage.document(books, "old", "one", "two", created_at=1.0)
    await stage.document(books, "new", "three", created_at=2.0, tags=("a",))

    everything = await find(stage, text, threshold=0.9)
    tagged = await find(stage, text, tags=("a",))

    assert texts(everything) == ["three", "one", "two"]
    assert {hit.score for hit in everything.hits} == {0.0}
    assert names(tagged) == ["new"]
    assert stage.words.batches == []


async def test_what_may_not_be_seen_is_not_found(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "gone", "river boat", expires_at=stage.clock.now() - 1)
    await stage.document(books, "seen", "river bank", tags=("a", "b"))
    await stage.document(books, "untagged", "river bed")

    assert sorted(names(await find(stage, "river"))) == ["seen", "untagged"]
    assert names(await find(stage, "river", tags=("a", "b"))) == ["seen"]
    assert names(await find(stage, "river", tags=("c",))) == []


async def test_neighbours_and_the_section_come_along(stage: SearchStage) -> None:
    books = await stage.collection("books")
    chunks = ["zero", "one river", "two", "three", "four"]
    await stage.document(books, "book", *chunks, headings=["A", "B", "B", "B", "C"])

    found = await find(stage, "river", limit=1, neighbours=2, is_parent_wanted=True)

    hit = found.hits[0]
    assert [each.text for each in hit.before] == ["zero"]
    assert [each.text for each in hit.after] == ["two", "three"]
    assert hit.parent == "one river\ntwo\nthree"


async def test_a_section_without_end_is_shortened_around_the_hit(
    stage: SearchStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.recall.search_rows.PARENT_CHARACTERS", 30)
    books = await stage.collection("books")
    await stage.document(books, "book", "a " * 40, "é river ü", "b " * 40)

    found = await find(stage, "river", limit=1, is_parent_wanted=True)

    parent = found.hits[0].parent
    assert parent is not None
    assert len(parent) <= 30
    assert "\né river ü\n" in parent
    assert any("shortened" in note for note in found.notes)


async def test_a_document_that_goes_between_finding_and_reading_is_left_out(
    stage: SearchStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = await stage.collection("books")
    going = await stage.document(books, "going", "river boat")
    await stage.document(books, "staying", "river bank")
    look = stage.vectors.search

    async def search_and_remove(*told: object) -> object:
        found = await look(*told)  # type: ignore[arg-type]  # as the search calls it
        await stage.truth.write(lambda pen: remove_documents(pen, books.ns, [going]))
        return found

    monkeypatch.setattr(stage.vectors, "search", search_and_remove)

    assert names(await find(stage, "river")) == ["staying"]


async def test_new_and_important_things_go_first_where_that_is_wanted(stage: SearchStage) -> None:
    books = await stage.collection("books")
    now = stage.clock.now()
    await stage.document(books, "old", "river boat one", created_at=now - 60 * DAY, item=ItemColumns(1.0))
    await stage.document(books, "new", "river boat two", created_at=now, item=ItemColumns(0.1))
    await stage.document(books, "unlike", "mountain path", created_at=now, item=ItemColumns(1.0))

    by_recency = await find(stage, "river boat", recency_weight=0.5, is_explained=True)
    by_importance = await find(stage, "river boat", importance_weight=0.5, is_explained=True)

    assert names(by_recency) == ["new", "old", "unlike"]
    assert names(by_importance) == ["old", "new", "unlike"]
    assert [hit.scores.recency for hit in by_recency.hits if hit.scores] == [1.0, 0.25, 1.0]
    assert [hit.scores.importance for hit in by_importance.hits if hit.scores] == [1.0, 0.1, 1.0]


async def test_an_installed_cross_encoder_reads_the_best_again(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "a", "river")
    await stage.document(books, "b", "river and boat and other words")

    without = await find(stage, "river boat", vector_weight=1.0, rerank="none", is_explained=True)
    silent = await find(stage, "river boat", vector_weight=1.0)
    stage.words.installed.add(READER)
    reread = await find(stage, "river boat", vector_weight=1.0, is_explained=True)

    assert names(without) == names(silent) == ["a", "b"]
    assert silent.notes == ()
    assert names(reread) == ["b", "a"]
    assert [hit.scores.rerank for hit in reread.hits if hit.scores] == [1.0, 0.5]


async def test_a_long_question_leaves_a_cross_encoder_room_for_passages(
    stage: SearchStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = await stage.collection("books")
    await stage.document(books, "a", "river")
    stage.words.installed.add(READER)
    asked: list[str] = []

    async def _rerank(model: ModelId, query: str, texts: Sequence[str]) -> list[float]:
        asked.append(query)
        return [1.0 for _ in texts]

    monkeypatch.setattr(stage.words, "rerank", _rerank)
    await find(stage, "river " * 1000)

    assert [len(each) for each in asked] == [800]


async def test_a_cross_encoder_that_was_named_and_is_not_there_is_told(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "a", "river")

    found = await find(stage, "river", rerank=ModelId("nobody"))

    assert names(found) == ["a"]
    assert "'nobody' is not installed" in found.notes[0]
    assert not stage.told.facts[0][1].is_degraded


@pytest.mark.parametrize(
    ("collection_language", "document_language", "weight"),
    [
        ("auto", "pt", FOREIGN_WEIGHT),
        ("pt", "", FOREIGN_WEIGHT),
        ("auto", "en", EVEN_WEIGHT),
        ("auto", "", EVEN_WEIGHT),
        ("en", "pt", EVEN_WEIGHT),
    ],
)
async def test_an_embedder_counts_little_on_texts_in_a_language_that_it_does_not_know(
    stage: SearchStage, collection_language: str, document_language: str, weight: float
) -> None:
    english = ModelId("all-minilm-l6-v2")
    stage.words.installed.add(english)
    books = await stage.collection("books", model=english, language=collection_language)
    await stage.document(books, "a", "o rio corre para o mar", language=document_language)

    found = await find(stage, "rio mar", is_explained=True)

    assert found.hits[0].scores is not None
    assert found.hits[0].scores.vector_weight == pytest.approx(weight)


async def test_in_a_mixed_collection_the_texts_that_words_find_speak_for_the_question(
    stage: SearchStage,
) -> None:
    english = ModelId("all-minilm-l6-v2")
    stage.words.installed.add(english)
    books = await stage.collection("books", model=english)
    await stage.document(books, "pt", "o rio corre para o mar", language="pt")
    await stage.document(books, "en", "the river runs to the sea", language="en")

    in_portuguese = await find(stage, "rio mar", is_explained=True)
    in_english = await find(stage, "river sea", is_explained=True)

    assert in_portuguese.hits[0].scores is not None
    assert in_english.hits[0].scores is not None
    assert in_portuguese.hits[0].scores.vector_weight == pytest.approx(FOREIGN_WEIGHT)
    assert in_english.hits[0].scores.vector_weight == EVEN_WEIGHT


async def test_a_document_without_vectors_yet_is_found_by_its_words(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "fresh", "river boat", is_embedded=False)
    await stage.document(books, "embedded", "mountain path")

    found = await find(stage, "river boat")

    assert names(found) == ["fresh", "embedded"]
    assert found.notes == ()


async def test_a_search_is_told_without_its_words(stage: SearchStage) -> None:
    books = await stage.collection("books")
    await stage.document(books, "a", "river boat")

    await find(stage, "river")

    (tenant, fact) = stage.told.facts[0]
    assert (tenant, fact.collections, fact.hits, fact.is_degraded) == (TENANT, ("vs_books",), 1, False)
    assert "river" not in repr(fact)


async def test_an_empty_collection_and_none_at_all_give_nothing(stage: SearchStage) -> None:
    await stage.collection("books")

    assert (await find(stage, "river")).hits == ()
    nowhere = await stage.searcher.search(TENANT, Query(text="river", collections=()))
    assert nowhere.hits == ()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60, database=None
)
@given(
    text=st.text() | st.just("\ud800 half a pair") | st.just("\x00") | st.just("(\"'OR AND NOT *:~^[]{}\\")
)
async def test_no_text_is_an_error(stage: SearchStage, text: str) -> None:
    if stage.marks.all_marks() == []:
        await stage.document(await stage.collection("books"), "a", "river boat")

    for arm in ("hybrid", "text", "vector"):
        await find(stage, text, arm=arm)
