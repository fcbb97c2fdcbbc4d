"""What a sync does with what a look finds."""

from pathlib import Path

import anyio
import pytest

from runtime.core.errors import RequestInvalid
from runtime.core.fetching import FetchFault
from runtime.core.ids import LOCAL_TENANT
from runtime.core.knowledge import NewDocument, NewSource
from runtime.core.recall_facts import RecallForgotten
from runtime.recall.sources.origin import OriginFailed
from tests.kit.scripted_origin import GONE_WRONG, ScriptedOrigin
from tests.kit.sources_stage import SITE, open_sources

ONE, TWO = f"{SITE}one", f"{SITE}two"


def _origin(**pages: str) -> ScriptedOrigin:
    origin = ScriptedOrigin()
    origin.pages = {f"{SITE}{name}": text for name, text in pages.items()}
    return origin


async def test_what_is_found_is_taken_in_with_the_words_of_the_source(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        source = await stage.follow(tags=("field",), attributes={"team": "ops"})
        documents = await stage.stage.ingestion.documents.list_all(LOCAL_TENANT, source.collection)

        assert await stage.texts() == ["Bees fly", "Owls see"]
        assert {(each.uri, each.source, each.tags) for each in documents} == {
            (ONE, source.id, ("field",)),
            (TWO, source.id, ("field",)),
        }
        assert {each.name for each in documents} == {"one", "two"}
        assert all(each.attributes == {"team": "ops"} for each in documents)
        assert (source.documents, source.fault, source.job) == (2, None, None)
        assert source.synced_at == stage.clock.now()
        assert source.next_at == stage.clock.now() + 3600
        assert [(each.added, each.changed, each.removed) for each in stage.synced()] == [(2, 0, 0)]
        await stage.stage.check()


async def test_only_what_changed_is_read_again_and_takes_the_place_of_the_former(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        source = await stage.follow()
        stage.origin.pages[ONE] = "Bees sleep"
        job = await stage.sync(source.id)

        assert await stage.texts() == ["Bees sleep", "Owls see"]
        assert (await stage.find(source.id)).documents == 2
        assert (job.total, job.done, job.failed, job.status) == (2, 2, 0, "completed")
        assert [(each.added, each.changed) for each in stage.synced()] == [(2, 0), (0, 1)]
        assert stage.origin.looks[1].state == "look 1"
        await stage.stage.check()


async def test_the_same_bytes_are_not_read_again_even_if_a_place_cannot_tell(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        source = await stage.follow()
        stage.origin.is_blind = True
        await stage.sync(source.id)

        assert stage.stage.reader.read_names == ["one"]
        assert [(each.added, each.changed) for each in stage.synced()] == [(1, 0), (0, 0)]


async def test_what_is_certainly_gone_goes_at_once(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        stage.origin.is_certain = True
        source = await stage.follow()
        del stage.origin.pages[ONE]
        await stage.sync(source.id)

        assert await stage.texts() == ["Owls see"]
        assert (await stage.find(source.id)).documents == 1
        assert stage.synced()[-1].removed == 1
        await stage.stage.check()


async def test_what_is_only_missing_goes_after_the_second_look_in_a_row(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        source = await stage.follow()
        page = stage.origin.pages.pop(ONE)
        await stage.sync(source.id)
        assert len(await stage.texts()) == 2
        stage.origin.pages[ONE] = page
        await stage.sync(source.id)
        del stage.origin.pages[ONE]
        await stage.sync(source.id)
        assert len(await stage.texts()) == 2
        await stage.sync(source.id)

        assert await stage.texts() == ["Owls see"]


async def test_a_failed_look_keeps_what_it_found_removes_nothing_and_says_why(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        stage.origin.is_certain = True
        source = await stage.follow()
        stage.origin.pages = {f"{SITE}three": "Ants dig"}
        stage.origin.failure = OriginFailed(GONE_WRONG, retry_after_s=7200)
        job = await stage.sync(source.id)
        failed = await stage.find(source.id)

        assert await stage.texts() == ["Ants dig", "Bees fly", "Owls see"]
        assert (job.status, job.fault, failed.fault) == ("failed", GONE_WRONG, GONE_WRONG)
        assert failed.synced_at == source.synced_at
        assert failed.next_at == stage.clock.now() + 7200
        assert stage.synced()[-1].fault == GONE_WRONG.message

        stage.origin.failure = None
        await stage.sync(source.id)
        assert (await stage.find(source.id)).fault is None
        assert await stage.texts() == ["Ants dig"]


async def test_a_defect_of_a_place_is_its_fault_alone(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        stage.origin.defect = ValueError("no such page number")
        source = await stage.follow()
        assert source.fault is not None
        assert source.fault.code == "internal_error"
        stage.origin.defect = None
        await stage.sync(source.id)

        assert (await stage.find(source.id)).fault is None


async def test_an_entry_that_cannot_be_had_now_stays_and_is_told(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        source = await stage.follow()
        del stage.origin.pages[ONE]
        stage.origin.refused = {ONE}
        job = await stage.sync(source.id)
        found = await stage.find(source.id)

        assert len(await stage.texts()) == 2
        assert [(each.name, each.fault) for each in job.failures] == [(ONE, GONE_WRONG)]
        assert (job.total, job.done, job.failed) == (2, 1, 1)
        assert found.fault is None
        assert GONE_WRONG.message in found.notes[0]


async def test_a_document_that_a_person_removed_comes_back_only_once_it_changes(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        source = await stage.follow()
        documents = stage.stage.ingestion.documents
        listed = await documents.list_all(LOCAL_TENANT, source.collection)
        await documents.remove(LOCAL_TENANT, next(each.id for each in listed if each.uri == ONE))
        assert (await stage.find(source.id)).documents == 1
        await stage.sync(source.id)
        assert await stage.texts() == ["Owls see"]
        stage.origin.pages[ONE] = "Bees dance"
        await stage.sync(source.id)

        assert await stage.texts() == ["Bees dance", "Owls see"]
        assert (await stage.find(source.id)).documents == 2


async def test_a_document_that_moved_to_another_address_is_there_once(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        source = await stage.follow()
        stage.origin.pages[ONE] = "Bees dance"
        stage.origin.addresses[ONE] = f"{SITE}moved"
        await stage.sync(source.id)

        assert await stage.texts() == ["Bees dance"]
        assert (await stage.find(source.id)).documents == 1
        assert sum(fact.documents for fact, _ in stage.stage.facts if isinstance(fact, RecallForgotten)) == 1
        await stage.stage.check()


async def test_a_version_at_another_address_that_cannot_be_read_leaves_the_former_one(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        stage.origin.is_certain = True
        source = await stage.follow()
        stage.origin.pages[ONE] = "broken"
        stage.origin.addresses[ONE] = f"{SITE}moved"
        await stage.sync(source.id)
        assert await stage.texts() == ["Bees fly"]
        stage.origin.pages[ONE] = "Bees dance"
        stage.origin.addresses[ONE] = f"{SITE}moved/again"
        await stage.sync(source.id)
        assert await stage.texts() == ["Bees dance"]
        del stage.origin.pages[ONE]
        await stage.sync(source.id)

        assert await stage.stage.count("document") == 0


async def test_a_version_that_cannot_be_read_leaves_the_former_one_which_goes_with_its_entry(
    tmp_path: Path,
) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        stage.origin.is_certain = True
        source = await stage.follow()
        stage.origin.pages[ONE] = "broken"
        job = await stage.sync(source.id)
        assert (await stage.texts(), job.failed) == (["Bees fly"], 1)
        del stage.origin.pages[ONE]
        await stage.sync(source.id)

        assert await stage.stage.count("document") == 0
        assert await stage.stage.count("source_entry") == 0


async def test_bytes_that_a_person_had_added_already_belong_to_the_place_from_then_on(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        await stage.stage.taken_in(
            NewDocument(name="one", text="Bees fly", uri=ONE), NewDocument(name="own", text="Cats purr")
        )
        source = await stage.follow()
        assert source.documents == 1
        await stage.sources.remove(LOCAL_TENANT, source.id, is_keeping_documents=False)

        assert await stage.texts() == ["Cats purr"]


async def test_a_cancelled_job_ends_the_look_at_once_and_the_place_is_looked_at_later(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        stage.origin.gate = anyio.Event()
        new = NewSource(uri=SITE)
        source = await stage.sources.add(LOCAL_TENANT, await stage.collection(), new)
        with anyio.fail_after(5):
            await stage.origin.at_work.wait()
        assert source.job is not None
        assert (await stage.sources.sync(LOCAL_TENANT, source.id)).id == source.job
        job = await stage.stage.ingestion.jobs.cancel(LOCAL_TENANT, source.job)
        with anyio.fail_after(5):
            while stage.origin.at_once:
                await anyio.lowlevel.checkpoint()
        await stage.sources.pause(LOCAL_TENANT, source.id, is_paused=True)  # waits until it is settled

        assert job.status == "cancelled"
        assert stage.synced() == []
        assert not [*(tmp_path / "looks").iterdir()]


async def test_a_token_comes_from_the_environment_and_its_absence_is_told(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        stage.environment["DOCS_TOKEN"] = "t0ken"
        source = await stage.follow(secret="DOCS_TOKEN")
        assert stage.origin.looks[0].token == "t0ken"
        del stage.environment["DOCS_TOKEN"]
        job = await stage.sync(source.id)

        assert job.status == "failed"
        assert "'DOCS_TOKEN'" in ((await stage.find(source.id)).fault or GONE_WRONG).message


@pytest.mark.parametrize("kind", ["page", "git"])
async def test_a_token_never_crosses_the_internet_by_plain_http(tmp_path: Path, kind: str) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        stage.environment["DOCS_TOKEN"] = "t0ken"
        stage.hosts.hosts["docs.example"] = ("93.184.215.14",)
        with pytest.raises(RequestInvalid) as refused:
            await stage.follow("http://docs.example/guide", kind=kind, secret="DOCS_TOKEN")

        assert refused.value.fault.param == "uri"
        assert "Give the https address" in refused.value.fault.message
        assert stage.origin.looks == []
        await stage.follow("http://docs.example/guide", kind=kind)
        await stage.follow("https://docs.example/other", kind=kind, secret="DOCS_TOKEN")
        assert [look.token for look in stage.origin.looks] == [None, "t0ken"]


@pytest.mark.parametrize(
    ("addresses", "token"),
    [
        (("127.0.0.1", "::1"), "t0ken"),
        (("192.168.1.7",), "t0ken"),
        (("100.64.0.9",), "t0ken"),
        (("fd00::7", "fe80::1%eth0"), "t0ken"),
        (("192.168.1.7", "93.184.215.14"), None),
        (("2606:2800:21f:cb07::1",), None),
        (("::ffff:93.184.215.14",), None),
        (FetchFault(code="unreachable", message="nobody knows it"), None),
    ],
)
async def test_each_look_asks_anew_where_its_token_would_go(
    tmp_path: Path, addresses: tuple[str, ...] | FetchFault, token: str | None
) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        stage.environment["DOCS_TOKEN"] = "t0ken"
        source = await stage.follow("http://docs.lan/guide", secret="DOCS_TOKEN")
        stage.hosts.hosts["docs.lan"] = addresses
        job = await stage.sync(source.id)

        assert [look.token for look in stage.origin.looks[1:]] == ([token] if token else [])
        assert job.status == ("completed" if token else "failed")
        fault = (await stage.find(source.id)).fault
        assert (fault is None) == bool(token)
        if fault is not None:
            assert "by http" in fault.message or fault.message == "nobody knows it"
            assert "t0ken" not in fault.message
