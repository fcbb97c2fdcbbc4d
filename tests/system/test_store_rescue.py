"""A store that cannot be opened, and the way back that Lar names; what was put back is what is found."""

import json
import os
import stat
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import pytest

from runtime.core.ids import LOCAL_TENANT
from runtime.core.knowledge import NewCollection, NewDocument, Query
from runtime.core.recall import Care, Recall
from runtime.core.settings import RecallSettings
from runtime.recall import restoring
from runtime.recall.opening import Given, open_recall
from runtime.rescue import list_copies, restore_store
from tests.kit.clock import FakeClock
from tests.kit.embedder import MODEL, WordEmbedder
from tests.kit.fake_fetcher import FakeFetcher
from tests.kit.real_recall import real_recall
from tests.kit.server import lar, running_server

LIMIT_S = 100.0


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for position in range(20, len(content), 997):
        content[position] ^= 0xFF
    file.write_bytes(bytes(content))


def test_the_way_out_of_a_damaged_store_leads_out(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_server(home) as server:
        assert lar(home, "recall", "remember", "Ana takes no sugar", "--user", "ana").returncode == 0
        assert lar(home, "recall", "doctor", "--snapshot").returncode == 0
        assert lar(home, "recall", "remember", "Ana moved to Graz", "--user", "ana").returncode == 0
        assert server.stop() == 0
    database = home / "recall" / "recall.duckdb"
    damage(database)
    damaged = database.read_bytes()

    refused = lar(home, "serve", "--scripted")

    assert refused.returncode == 3
    assert "Traceback" not in refused.stderr
    for command in ("lar recall doctor --restore latest", "lar recall doctor --snapshots"):
        assert f"'{command}'" in refused.stderr
    listed = lar(home, "recall", "doctor", "--snapshots", "--json")
    assert listed.returncode == 0
    newest = json.loads(listed.stdout)[0]
    restored = lar(home, "recall", "doctor", "--restore", "latest", "--yes", "--json")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["restored"] == newest
    assert Path(json.loads(restored.stdout)["aside"]).read_bytes() == damaged

    with running_server(home):
        assert lar(home, "recall", "remember", "Ana moved to Linz", "--user", "ana").returncode == 0
        known = json.loads(lar(home, "recall", "list", "--memory", "--json").stdout)
        assert {each["text"] for each in known} == {"Ana takes no sugar", "Ana moved to Linz"}
        checked = lar(home, "recall", "doctor")
        assert checked.returncode == 0, checked.stdout


def care_of(recall: Recall) -> Care:
    assert recall.care is not None, "the server's own has it"
    return recall.care


async def add(recall: Recall, *texts: str) -> None:
    (collection,) = await recall.collections.list_all(LOCAL_TENANT)
    new = [NewDocument(name=text.split()[0], text=text) for text in texts]
    job, _ = await recall.documents.add(LOCAL_TENANT, collection.id, new)
    assert (await recall.jobs.wait(LOCAL_TENANT, job.id, LIMIT_S)).done == len(texts)


async def found(recall: Recall, words: str, since: float | None = None) -> set[str]:
    (collection,) = await recall.collections.list_all(LOCAL_TENANT)
    arm: Literal["hybrid", "text"] = "text" if since is None else "hybrid"
    query = Query(text=words, collections=(collection.id,), arm=arm, since=since)
    answer = await recall.searcher.search(LOCAL_TENANT, query)
    return {each.document.name for each in answer.hits}


@pytest.mark.parametrize("is_cut_off", [False, True])
async def test_after_a_restore_words_find_what_the_truth_has_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_cut_off: bool
) -> None:
    folder = tmp_path / "recall"
    with anyio.fail_after(LIMIT_S):
        async with real_recall(folder, FakeClock()) as recall:
            await recall.collections.create(LOCAL_TENANT, NewCollection(name="notes"))
            await add(recall, "apples grow", "pears grow")
            await care_of(recall).take_snapshot()
            await add(recall, "quinces grow", "plums grow")
            assert await found(recall, "grow") == {"apples", "pears", "quinces", "plums"}

        (copy,) = await anyio.to_thread.run_sync(list_copies, tmp_path)
        if is_cut_off:
            with monkeypatch.context() as patched:
                patched.setattr(restoring, "finish_restore", _end_here)
                with pytest.raises(InterruptedError):
                    await anyio.to_thread.run_sync(restore_store, tmp_path, copy.name)
        else:
            await anyio.to_thread.run_sync(restore_store, tmp_path, copy.name)

        async with real_recall(folder, FakeClock()) as recall:
            assert await found(recall, "grow") == {"apples", "pears"}
            await add(recall, "medlars grow")
            assert await found(recall, "grow") == {"apples", "pears", "medlars"}
            assert await found(recall, "quinces") == set()
            assert await care_of(recall).check(is_repairing=False) == []


async def test_a_removed_collection_takes_no_memory_any_more(tmp_path: Path) -> None:
    given = Given(
        embedder=WordEmbedder(),
        publish=lambda fact, tenant: None,
        clock=FakeClock(),
        embedding_model=MODEL,
        fetcher=FakeFetcher(),
    )
    with anyio.fail_after(LIMIT_S):
        async with open_recall(tmp_path / "recall", RecallSettings(readers=1), given) as opened:
            recall = opened.recall
            made = await recall.collections.create(LOCAL_TENANT, NewCollection(name="notes"))
            await add(recall, "apples grow")
            assert await found(recall, "grow", since=0.0) == {"apples"}
            assert opened.vectors.memory_bytes > 0
            assert opened.columns.memory_bytes > 0

            await recall.collections.remove(LOCAL_TENANT, made.id)

            while opened.vectors.memory_bytes or opened.columns.memory_bytes:  # noqa: ASYNC110 - told to nobody
                await anyio.sleep(0.005)


async def test_what_is_stored_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "recall"
    former = os.umask(0o022)
    try:
        folder.mkdir(mode=0o755)
        async with real_recall(folder, FakeClock()) as recall:
            await recall.collections.create(LOCAL_TENANT, NewCollection(name="notes"))
            await add(recall, "apples grow")
            await care_of(recall).take_snapshot()
        (copy,) = await anyio.to_thread.run_sync(list_copies, tmp_path)
        await anyio.to_thread.run_sync(restore_store, tmp_path, copy.name)
        modes = await anyio.to_thread.run_sync(_modes, folder)
        async with real_recall(folder, FakeClock()):
            opened = await anyio.to_thread.run_sync(_modes, folder)
    finally:
        os.umask(former)

    assert modes.pop("recall") == 0o700
    assert modes["recall.duckdb"] == opened["recall.duckdb"] == 0o600
    kept = {name: mode for name, mode in modes.items() if name.endswith(".duckdb") or len(name) == 64}
    assert len(kept) >= 3, "the database, its snapshot, a content"
    assert set(kept.values()) == {0o600}


def _end_here(path: Path) -> Path | None:
    raise InterruptedError(f"{path} stays as it is")


def _modes(folder: Path) -> dict[str, int]:
    """Return the permissions of a folder and of all files in it."""
    files = [folder, *(path for path in folder.rglob("*") if path.is_file())]
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
