"""The agents of a home as files: found, changed, paused, and never lost to a broken file."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.core.agents.book import FileBook
from runtime.core.agents.definition import Agent
from runtime.core.errors import Conflict, NotFound, RequestInvalid
from runtime.core.ids import LOCAL_TENANT, TenantId

OTHER = TenantId("other")


def nothing_against(tenant: TenantId, agent: Agent) -> Sequence[str]:
    return [f"no model for {agent.name} of {tenant}"] if agent.model == "gone" else []


@pytest.fixture
def book(tmp_path: Path) -> FileBook:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "guide.yaml").write_text("name: guide\n")
    return FileBook(tmp_path, nothing_against, shipped)


async def test_agents_are_kept_by_name_and_tenant(book: FileBook) -> None:
    await book.create(LOCAL_TENANT, Agent(name="clerk"))
    await book.create(OTHER, Agent(name="cook"))

    assert [each.agent.name for each in await book.list_agents(LOCAL_TENANT)] == ["clerk", "guide"]
    assert [each.agent.name for each in await book.list_agents(OTHER)] == ["cook", "guide"]
    with pytest.raises(NotFound, match="lar agents list"):
        await book.find(LOCAL_TENANT, "cook")


async def test_a_name_is_given_once(book: FileBook) -> None:
    for name in ("clerk", "guide"):
        if name == "clerk":
            await book.create(LOCAL_TENANT, Agent(name=name))
        with pytest.raises(Conflict, match="already"):
            await book.create(LOCAL_TENANT, Agent(name=name))


async def test_a_change_over_another_change_is_refused(book: FileBook) -> None:
    first = await book.create(LOCAL_TENANT, Agent(name="clerk"))
    second = await book.change(LOCAL_TENANT, Agent(name="clerk", description="b"), first.version)

    with pytest.raises(Conflict, match="changed meanwhile"):
        await book.change(LOCAL_TENANT, Agent(name="clerk", description="c"), first.version)
    assert (await book.find(LOCAL_TENANT, "clerk")).version == second.version


async def test_what_comes_with_lar_can_be_changed_and_put_back(book: FileBook) -> None:
    await book.change(LOCAL_TENANT, Agent(name="guide", description="mine"))
    assert not (await book.find(LOCAL_TENANT, "guide")).is_shipped

    await book.remove(LOCAL_TENANT, "guide")
    assert (await book.find(LOCAL_TENANT, "guide")).is_shipped
    with pytest.raises(Conflict, match="comes with Lar"):
        await book.remove(LOCAL_TENANT, "guide")
    with pytest.raises(NotFound):
        await book.remove(LOCAL_TENANT, "nobody")


async def test_pausing_is_kept_and_ends_with_the_agent(book: FileBook, tmp_path: Path) -> None:
    await book.create(LOCAL_TENANT, Agent(name="clerk"))
    assert (await book.pause(LOCAL_TENANT, "clerk", is_paused=True)).is_paused

    anew = FileBook(tmp_path, nothing_against, tmp_path / "shipped")
    assert (await anew.find(LOCAL_TENANT, "clerk")).is_paused
    await anew.remove(LOCAL_TENANT, "clerk")
    await anew.create(LOCAL_TENANT, Agent(name="clerk"))
    assert not (await anew.find(LOCAL_TENANT, "clerk")).is_paused


async def test_a_person_may_edit_the_file_and_keep_comments(book: FileBook, tmp_path: Path) -> None:
    await book.create(LOCAL_TENANT, Agent(name="clerk"))
    path = tmp_path / "agents" / "clerk.yaml"
    path.write_text("# mine\nname: clerk\ndescription: by hand\n")

    assert (await book.find(LOCAL_TENANT, "clerk")).agent.description == "by hand"
    await book.write_text(LOCAL_TENANT, "clerk", "# yours\nname: clerk\n")
    assert await book.text(LOCAL_TENANT, "clerk") == "# yours\nname: clerk\n"
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(RequestInvalid, match="not of 'clerk'"):
        await book.write_text(LOCAL_TENANT, "clerk", "name: cook\n")


async def test_a_broken_file_is_listed_with_its_fault_and_hides_no_other(
    book: FileBook, tmp_path: Path
) -> None:
    await book.create(LOCAL_TENANT, Agent(name="clerk"))
    folder = tmp_path / "agents"
    (folder / "broken.yaml").write_text("name: broken\nmodle: x\n")
    (folder / "other-name.yaml").write_text("name: somebody\n")
    (folder / "latin.yaml").write_bytes(b"name: \xff\n")

    found = {each.agent.name: each.faults for each in await book.list_agents(LOCAL_TENANT)}

    assert found["clerk"] == ()
    assert "Did you mean 'model'?" in found["broken"][0]
    assert "Call the file somebody.yaml" in found["other-name"][0]
    assert "cannot be read" in found["latin"][0]


async def test_what_stands_against_a_run_is_told(book: FileBook) -> None:
    state = await book.create(LOCAL_TENANT, Agent(name="clerk", model="gone"))

    assert state.faults == ("no model for clerk of local",)


@pytest.mark.parametrize("name", ["../secret", "@other/cook", "a/b", "."])
async def test_a_name_is_never_a_way_out_of_the_folder(book: FileBook, name: str) -> None:
    await book.create(OTHER, Agent(name="cook"))

    with pytest.raises(NotFound):
        await book.text(LOCAL_TENANT, name)
    with pytest.raises(NotFound):
        await book.remove(LOCAL_TENANT, name)
