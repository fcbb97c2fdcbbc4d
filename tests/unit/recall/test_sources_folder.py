"""Tests of runtime/recall/sources/folder.py: real folders, looked at again and again."""

import os
from pathlib import Path

import anyio
import pytest

from runtime.recall.sources.folder import FolderOrigin, watch_folder
from runtime.recall.sources.origin import Gone, Look, OriginFailed
from tests.kit.source_stage import remember, take


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "one.md").write_text("# One")
    (root / "sub" / "two.txt").write_text("two")
    return root


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    (tmp_path / "bodies").mkdir()
    return tmp_path / "bodies"


async def test_a_second_look_finds_what_changed_and_what_went(root: Path, bodies: Path) -> None:
    asked = Look(uri=root.as_uri())
    first = await take(FolderOrigin(), asked, {}, bodies)
    assert first.bodies == {"one.md": b"# One", "sub/two.txt": b"two"}
    known = remember({}, first)
    assert set((await take(FolderOrigin(), asked, known, bodies)).words().values()) == {"same"}

    (root / "one.md").write_text("# One, changed")
    (root / "sub" / "two.txt").unlink()
    again = await take(FolderOrigin(), asked, known, bodies)
    assert again.bodies == {"one.md": b"# One, changed"}
    assert Gone(key="sub/two.txt", is_certain=True) in again.seen


async def test_when_all_vanished_at_once_nothing_is_certain(root: Path, bodies: Path) -> None:
    known = remember({}, await take(FolderOrigin(), Look(uri=str(root)), {}, bodies))
    (root / "one.md").unlink()
    (root / "sub" / "two.txt").unlink()
    again = await take(FolderOrigin(), Look(uri=str(root)), known, bodies)
    assert [seen.is_certain for seen in again.seen if isinstance(seen, Gone)] == [False, False]


@pytest.mark.parametrize("name", ["missing", "one.md"])
async def test_what_is_no_folder_fails_as_a_whole(root: Path, bodies: Path, name: str) -> None:
    with pytest.raises(OriginFailed) as failed:
        await take(FolderOrigin(), Look(uri=str(root / name)), {}, bodies)
    assert failed.value.fault.code == "not_found"


async def test_hidden_linked_special_and_unknown_files_are_left_out(root: Path, bodies: Path) -> None:
    outside = root.parent / "secret.md"
    outside.write_text("secret")
    for name in (".git/a.md", "node_modules/b.md", ".github/c.md", "photo.xyz"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    (root / "link.md").symlink_to(outside)
    (root / "away").symlink_to(root.parent)
    os.mkfifo(root / "pipe.md")
    taken = await take(FolderOrigin(), Look(uri=str(root)), {}, bodies)
    assert set(taken.bodies) == {"one.md", "sub/two.txt"}
    assert "links were skipped" in taken.finished.notes[0]
    named = await take(FolderOrigin(), Look(uri=str(root), include=(".github/**",)), {}, bodies)
    assert set(named.bodies) == {".github/c.md"}


async def test_large_files_are_refused_and_odd_names_are_read(root: Path, bodies: Path) -> None:
    (root / "large.md").write_bytes(b"x" * 101)
    await anyio.Path(os.fsdecode(os.fsencode(root) + b"/\xff.md")).write_text("odd")
    taken = await take(FolderOrigin(), Look(uri=str(root), most_bytes=100), {}, bodies)
    assert taken.refused("large.md").fault.code == "too_large"
    assert taken.bodies["\\xff.md"] == b"odd"


async def test_files_beyond_the_cap_are_left_out_but_not_gone(root: Path, bodies: Path) -> None:
    known = remember({}, await take(FolderOrigin(), Look(uri=str(root)), {}, bodies))
    taken = await take(FolderOrigin(), Look(uri=str(root), most_entries=1), known, bodies)
    assert taken.words() == {"one.md": "same"}
    assert "more than 1 files" in taken.finished.notes[0]


async def test_a_change_is_told_by_the_watch(root: Path) -> None:
    stopped = anyio.Event()
    told: list[None] = []

    async def watch() -> None:
        async for each in watch_folder(root, stopped):
            told.append(each)
            stopped.set()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            await anyio.Path(root / "new.md").write_text("new")
    assert told
