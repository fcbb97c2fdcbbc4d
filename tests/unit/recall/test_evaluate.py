"""The evaluation over a searcher that is real and documents that are stored at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import msgspec
import pytest

from runtime.core.errors import ModelUnavailable, RequestInvalid
from runtime.core.ids import ModelId
from runtime.recall import evaluate as evaluation
from runtime.recall.evaluate import Evaluation, Trial, evaluate
from tests.kit.embedder import MODEL
from tests.kit.search_stage import TENANT, open_search_stage
from tests.kit.stage_recall import StageRecall

TEXTS = {
    "river": "the river runs to the sea",
    "mountain": "a mountain path above the clouds",
    "kitchen": "tea and bread are in the kitchen",
}


PLAIN = Trial()


@pytest.fixture
async def shelves(tmp_path: Path) -> AsyncIterator[StageRecall]:
    async with open_search_stage(tmp_path / "home") as stage:
        yield StageRecall(stage)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "waters"
    folder.mkdir()
    lines = [{"_id": name, "title": name, "text": text} for name, text in TEXTS.items()]
    queries = [
        {"_id": "q1", "text": "river sea"},
        {"_id": "q2", "text": "bread tea"},
        {"_id": "q3", "text": "unjudged"},
    ]
    (folder / "corpus.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    (folder / "queries.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, queries)))
    (folder / "qrels.tsv").write_text("q\td\ts\nq1\triver\t1\nq2\tmountain\t1\n", encoding="utf-8")
    return folder


async def run(shelves: StageRecall, folder: Path, trial: Trial = PLAIN) -> Evaluation:
    with anyio.fail_after(5):
        return await evaluate(folder, shelves.recall(), TENANT, trial)


async def test_every_arm_is_measured_and_the_collection_is_gone_afterwards(
    shelves: StageRecall, folder: Path
) -> None:
    result = await run(shelves, folder)

    assert (result.name, result.documents, result.queries, result.model) == ("waters", 3, 2, MODEL)
    assert set(result.arms) == {"text", "vector", "hybrid"}
    # q1 is found first by its words, q2 is judged to be answered by what shares no word with it.
    assert result.arms["text"].mrr_10 == 0.5
    assert result.arms["text"].recall_10 == 0.5
    assert result.arms["text"].ndcg_10 == 0.5
    assert result.arms["vector"].recall_100 == 1.0
    assert result.arms["hybrid"].recall_10 == 1.0
    assert 0.5 < result.arms["hybrid"].ndcg_10 < 1.0
    assert result.notes == ()
    assert shelves.removed == ["vs_evaluated1"]
    assert shelves.made[0].chunking is None


async def test_what_comes_out_can_be_written_as_json(shelves: StageRecall, folder: Path) -> None:
    result = await run(shelves, folder, Trial(limit=1, is_whole=True))

    assert result.queries == 1
    assert shelves.made[0].chunking is not None
    assert msgspec.json.decode(msgspec.json.encode(result), type=Evaluation) == result


async def test_a_cross_encoder_is_an_arm_of_its_own(shelves: StageRecall, folder: Path) -> None:
    shelves.stage.words.installed.add(ModelId("reader"))

    result = await run(shelves, folder, Trial(reranker=ModelId("reader")))

    assert result.arms["reranked"].recall_10 == 1.0


async def test_a_document_that_cannot_be_taken_in_is_told(shelves: StageRecall, folder: Path) -> None:
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"_id": "x", "text": "broken"}')

    result = await run(shelves, folder)

    assert result.notes == ("1 documents could not be taken in.",)


async def test_a_missing_embedder_shows_in_the_notes(shelves: StageRecall, folder: Path) -> None:
    shelves.stage.words.installed.clear()

    result = await run(shelves, folder)

    assert "'words' is not installed" in result.notes[0]
    assert result.arms["vector"].recall_100 == 0.0


async def test_reading_that_stands_still_ends_and_leaves_nothing(
    shelves: StageRecall, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_STALL_LIMIT_S", 0.01)
    shelves.stands_still = True

    with pytest.raises(ModelUnavailable, match="No document was taken in"):
        await run(shelves, folder)
    assert shelves.removed == ["vs_evaluated1"]


async def test_queries_that_nobody_judged_are_refused(shelves: StageRecall, folder: Path) -> None:
    (folder / "qrels.tsv").write_text("q9\triver\t1\n", encoding="utf-8")

    with pytest.raises(RequestInvalid, match="no query"):
        await run(shelves, folder)
    assert shelves.made == []
