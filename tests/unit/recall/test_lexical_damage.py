"""What is wrong with the files of a text index is noticed and mended from the truth; a bad chunk is named."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from anyio.to_thread import run_sync

from runtime.core.errors import StoreDamaged
from runtime.core.ids import ChunkId
from runtime.recall.database import open_database
from runtime.recall.lexical import check, fields, generation, taking
from runtime.recall.lexical.arm import TextIndex, open_text_index
from runtime.recall.lexical.fields import Entry
from runtime.recall.lexical.generation import Generation
from runtime.recall.lexical.words import Analyzers
from runtime.recall.schema import MIGRATIONS
from runtime.recall.truth import Truth, load_truth
from tests.kit.texts import put, remove

FOUND = 30


def tampered(home: Path, entries: list[Entry], gone: list[int], ahead: int) -> None:
    """Change an index behind its owner's back, with its mark so far ahead."""
    opened = generation.open_current(home, Analyzers())
    opened.write(entries, gone, [])
    opened.commit(opened.mark + ahead)
    opened.release()


@pytest.fixture
async def truth(tmp_path: Path) -> AsyncIterator[Truth]:
    async with open_database(tmp_path / "recall.duckdb", MIGRATIONS) as database:
        yield await load_truth(database)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "text" / fields.schema_hash() / "1"


async def written(truth: Truth, tmp_path: Path) -> Path:
    """Make an index of a few commits, close it, return where it lies."""
    index = await open_text_index(tmp_path / "text", truth)
    await put(truth, 1, "first", *[f"fox number{each} 東京" for each in range(FOUND - 1)], title="A title")
    await put(truth, 1, "gone", "fox that goes")
    await index.follow()
    await remove(truth, 1, "gone")
    await put(truth, 1, "second", "another fox")
    await index.follow()
    await truth.trim(index.watermark)
    await index.aclose()
    (folder,) = (tmp_path / "text" / fields.schema_hash() / "1").glob("gen-*")
    return folder


async def found(index: TextIndex, text: str = "fox") -> int:
    return len((await index.search(1, text, "en", 1000, None)).hits)


async def test_a_flipped_byte_in_any_file_is_noticed_and_mended(
    truth: Truth, tmp_path: Path, home: Path
) -> None:
    folder = await written(truth, tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(folder.parent, copy)
    names = [path.name for path in sorted(folder.iterdir()) if path.suffix and not path.name.startswith(".")]
    assert len(names) > 8
    for name in names:
        shutil.rmtree(home)
        shutil.copytree(copy, home)
        path = home / folder.name / name
        content = bytearray(path.read_bytes())
        place = content.index(b"max_doc") if name == "meta.json" else len(content) // 3
        content[place] ^= 0x20
        path.write_bytes(content)

        index = await open_text_index(tmp_path / "text", truth)
        assert await found(index) == FOUND, name
        assert await index.verify() == [], name
        assert index.findings, name
        await index.aclose()


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: (folder / "meta.json").write_text("{}"),
        lambda folder: (folder / "meta.json").write_bytes(b"\xff\x00"),
        lambda folder: (folder.parent / "current").unlink(),
        lambda folder: (folder.parent / "current").write_bytes(b"\xff"),
        lambda folder: (folder.parent / "current").write_text("gen-77-en"),
        lambda folder: (folder.parent / "current").write_text("../../etc"),
        lambda folder: next(folder.glob("*.term")).unlink(),
        lambda folder: next(folder.glob("*.idx")).write_bytes(b""),
        lambda folder: [path.unlink() for path in folder.glob("*.*")],
        lambda folder: shutil.rmtree(folder),
        lambda folder: (folder.parent / "gen-9-en").mkdir(),
    ],
)
async def test_what_cannot_be_opened_is_made_anew(
    truth: Truth, tmp_path: Path, home: Path, harm: Callable[[Path], object]
) -> None:
    harm(await written(truth, tmp_path))

    index = await open_text_index(tmp_path / "text", truth)

    assert await found(index) == FOUND
    await put(truth, 1, "third", "a third fox")
    assert await found(index) == FOUND + 1
    assert await index.verify() == []
    await index.aclose()
    assert await run_sync(generation.current, home) in await run_sync(lambda: [*home.glob("gen-*")])


async def test_a_first_index_that_was_left_unfinished_is_no_damage(
    truth: Truth, tmp_path: Path, home: Path
) -> None:
    folder = await written(truth, tmp_path)
    (folder.parent / "current").unlink()  # as a kill leaves it: it becomes current once it is whole

    index = await open_text_index(tmp_path / "text", truth)

    assert await found(index) == FOUND
    assert not index.findings
    await index.aclose()


async def test_damage_that_comes_while_it_is_open_is_found_by_the_check(
    truth: Truth, tmp_path: Path, home: Path
) -> None:
    folder = await written(truth, tmp_path)
    index = await open_text_index(tmp_path / "text", truth)
    assert await found(index) == FOUND
    path = max(folder.glob("*.idx"), key=lambda each: each.stat().st_size)
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)

    problems = await index.verify()

    assert len(problems) == 1
    assert "checksum" in problems[0]
    assert await index.verify() == []
    assert await found(index) == FOUND
    assert await run_sync(generation.current, home) != folder
    assert not await run_sync(folder.exists)
    await index.aclose()


async def test_an_index_that_lacks_or_has_what_the_truth_does_not_is_made_anew(
    truth: Truth, tmp_path: Path, home: Path
) -> None:
    folder = await written(truth, tmp_path)
    await run_sync(tampered, folder.parent, [], [1, 2], 0)

    index = await open_text_index(tmp_path / "text", truth)
    assert await found(index) == FOUND - 2
    assert "28 chunks, the database 30" in (await index.verify())[0]
    assert await found(index) == FOUND

    assert not await run_sync(folder.exists)
    await index.aclose()


async def test_an_index_that_has_the_right_number_of_wrong_chunks_is_found_out(
    truth: Truth, tmp_path: Path
) -> None:
    folder = await written(truth, tmp_path)
    await run_sync(tampered, folder.parent, [Entry(ChunkId(9999), "fox", (), "en")], [1], 0)

    index = await open_text_index(tmp_path / "text", truth)
    assert "1 of 30 chunks are missing" in (await index.verify())[0]
    assert await index.verify() == []
    await index.aclose()


async def test_an_index_of_a_later_truth_than_the_one_at_hand_is_made_anew(
    truth: Truth, tmp_path: Path
) -> None:
    folder = await written(truth, tmp_path)
    await run_sync(tampered, folder.parent, [Entry(ChunkId(9999), "fox", (), "en")], [], 5)

    index = await open_text_index(tmp_path / "text", truth)
    assert await found(index) == FOUND
    assert "does not know" in index.findings[0]
    await index.aclose()


async def test_another_schema_means_another_index_and_the_former_goes(
    truth: Truth, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(truth, tmp_path)
    monkeypatch.setattr(fields, "FORMAT", 99)

    index = await open_text_index(tmp_path / "text", truth)

    assert not await run_sync(home.exists)
    assert await found(index) == FOUND
    await index.aclose()


async def test_leftovers_of_namespaces_that_are_gone_are_swept(
    truth: Truth, tmp_path: Path, home: Path
) -> None:
    folder = await written(truth, tmp_path)
    shutil.copytree(folder.parent, home.parent / "55")

    index = await open_text_index(tmp_path / "text", truth)

    assert not await run_sync((home.parent / "55").exists)
    assert await run_sync(home.exists)
    assert await index.count() == FOUND
    await index.aclose()


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = fields.document_of

    def _document_of(entry: Entry, *rest: object) -> object:
        if "poison" in entry.text:
            raise ValueError("the library will not have it")
        return plain(entry, *rest)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(fields, "document_of", _document_of)


async def test_a_chunk_that_cannot_be_taken_in_is_named_and_holds_nobody_up(
    truth: Truth, tmp_path: Path, poison: None
) -> None:
    index = await open_text_index(tmp_path / "text", truth)
    await put(truth, 1, "before", "fox")
    await index.follow()
    chunks = await put(truth, 1, "a", *["fox", "fox", "fox poison", *["fox"] * 20, "poison", "fox"])
    await put(truth, 2, "b", "fox")

    await index.follow()

    assert index.watermark == truth.newest
    assert await found(index) == 24
    assert await index.count(1) == 26
    assert [chunks[2], chunks[23]] == await index._volume(1).quarantined()
    assert f"Chunk {chunks[2]} of namespace 1" in index.findings[0]
    assert "will not have it" in index.findings[0]
    assert [str(chunks[2]) in each or str(chunks[23]) in each for each in await index.verify()] == [
        True,
        True,
    ]
    await index.rebuild()
    assert await found(index) == 24
    assert len(await index._volume(1).quarantined()) == 2
    await remove(truth, 1, "a")
    assert await found(index) == 1
    assert await index.verify() == []
    await index.aclose()


async def test_a_disk_that_fails_is_not_blamed_on_chunks(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await open_text_index(tmp_path / "text", truth)
    await put(truth, 1, "a", "fox")
    await index.follow()
    await put(truth, 1, "b", "fox")
    mended = Generation.commit

    def _full(self: Generation, mark: int) -> None:
        raise ValueError("An IO error occurred: 'No space left on device'")

    monkeypatch.setattr(Generation, "commit", _full)
    with pytest.raises(StoreDamaged, match="No space left"):
        await index.catch_up(1)
    await index.follow()
    assert index.watermark < truth.newest
    assert "does not follow" in index.findings[-1]

    monkeypatch.setattr(Generation, "commit", mended)
    assert await found(index) == 2
    await index.follow()
    assert index.watermark == truth.newest
    assert await index._volume(1).quarantined() == []
    await index.aclose()


async def test_a_namespace_that_fails_does_not_hold_up_the_others(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await open_text_index(tmp_path / "text", truth)
    plain = taking.take_in

    def _take_in(opened: Generation, *rest: object) -> object:
        if opened.folder.parent.name == "1":
            raise OSError("no")
        return plain(opened, *rest)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(taking, "take_in", _take_in)
    await put(truth, 1, "a", "fox")
    await put(truth, 2, "b", "fox")
    await index.follow()

    assert index.watermark == 0
    assert await index.count(2) == 1
    monkeypatch.setattr(taking, "take_in", plain)
    await index.follow()
    assert index.watermark == truth.newest
    await index.aclose()


def test_a_file_is_checked_to_its_last_byte(tmp_path: Path) -> None:
    assert "cannot be read" in check.damage(tmp_path)[0]
    (tmp_path / "meta.json").write_text('{"segments": [{"segment_id": "a-b", "max_doc": 3}]}')
    assert check.damage(tmp_path) == ["segment ab is missing"]
    for content in (
        b"",
        b"x",
        b"\0" * 8,
        b'{"crc": 1}' + (10).to_bytes(4, "little") + (1337).to_bytes(4, "little"),
    ):
        (tmp_path / "ab.idx").write_bytes(content)
        assert len(check.damage(tmp_path)) == 1
