"""The signs of a question do what the guide's table says: the same questions, over a handful of texts."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.core.ids import CollectionId
from runtime.core.knowledge import Query
from runtime.recall.columns import Columns
from runtime.recall.database import open_database
from runtime.recall.lexical.arm import TextIndex, open_text_index
from runtime.recall.schema import MIGRATIONS
from runtime.recall.search_candidates import Arms
from runtime.recall.truth import load_truth
from runtime.recall.vectors.index import VectorIndex
from tests.kit.embedder import WordEmbedder, vector_of
from tests.kit.search_stage import TENANT, SearchStage, make_stage

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "recall.md"
TEXTS = {
    "hunt": "A red fox ran from the hound.",
    "den": "Two foxes sleep; one is red.",
    "cellar": "Red and white wine from the vineyard.",
    "story": "Long ago there was a fox.",
}
TITLES = {"story": "An old tale"}
FOUND = {
    "red fox": "hunt den cellar story",
    '"red fox"': "hunt",
    '"red wine"~2': "cellar",
    "tale +fox": "hunt den story",
    "fox -hound": "den story",
    'fox -"red fox"': "den story",
    "title:tale": "story",
    'title:"old tale"': "story",
    "vine*": "cellar",
    "hond~": "hunt",
    "-hound": "den cellar story",
}
"""By words alone; the last one lists."""
LEFT = {
    "tale +fox": "hunt den story",
    "fox -hound": "den cellar story",
    'fox -"red fox"': "den cellar story",
    "-hound": "den cellar story",
}
"""What meaning is left to look at; all of it is near enough."""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[SearchStage]:
    async def embed(texts: object) -> list[bytes]:
        assert isinstance(texts, tuple)
        return [vector_of(text) for text in texts]

    async with open_database(tmp_path / "recall.duckdb", MIGRATIONS) as database:
        truth = await load_truth(database)
        text = await open_text_index(tmp_path / "text", truth)
        vectors = VectorIndex(truth)
        made = await make_stage(truth, Arms(text, vectors, Columns(truth)), WordEmbedder(), embed)
        books = await made.collection("books", language="en")
        for name, told in TEXTS.items():
            await made.document(books, name, told, title=TITLES.get(name, ""))
        yield made
        await vectors.aclose()
        await text.aclose()


async def found(stage: SearchStage, text: str, arm: str) -> set[str]:
    query = Query(text=text, collections=(CollectionId("vs_books"),), arm=arm)  # type: ignore[arg-type]  # one of three
    hits = (await stage.searcher.search(TENANT, query)).hits
    return {hit.document.name for hit in hits}


def table() -> list[str]:
    """Return the questions of the guide's table."""
    section = GUIDE.read_text().partition("### Signs in a question")[2].partition("\n### ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_each_line_of_the_guide_is_tried_here() -> None:
    assert table() == [*FOUND]


@pytest.mark.parametrize("question", FOUND)
async def test_words_are_found_as_the_guide_says(stage: SearchStage, question: str) -> None:
    assert isinstance(stage.arms.text, TextIndex)
    assert await found(stage, question, "text") == {*FOUND[question].split()}


@pytest.mark.parametrize("question", FOUND)
@pytest.mark.parametrize("arm", ["vector", "hybrid"])
async def test_what_a_sign_leaves_out_meaning_does_not_bring_back(
    stage: SearchStage, question: str, arm: str
) -> None:
    assert await found(stage, question, arm) == {*LEFT.get(question, " ".join(TEXTS)).split()}


@pytest.mark.parametrize("question", ["fox AND -40", "(fox OR vine)", "text:fox", "fox - hound -m"])
async def test_what_is_no_sign_is_words(stage: SearchStage, question: str) -> None:
    assert {"hunt", "den", "story"} <= await found(stage, question, "text")
