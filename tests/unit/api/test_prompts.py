"""Prompt templates: as files, over /api/prompts, and in responses."""

from pathlib import Path
from typing import Any

import openai
import pytest

from runtime.api.prompt_book import PromptBook, PromptVersion, read_prompt
from runtime.core.agents.items import Said
from runtime.core.errors import Conflict, NotFound, RequestInvalid
from runtime.core.ids import LOCAL_TENANT, TenantId
from tests.kit.response_stage import answering
from tests.kit.services_stage import services_stage

ADA = TenantId("ada")


async def test_a_prompt_is_made_changed_and_forgotten_and_its_versions_stay(tmp_path: Path) -> None:
    async with services_stage(tmp_path) as stage:
        status, made = await stage.ask("POST", "/api/prompts", json={"id": "hello", "text": "Greet {{who}}."})
        assert (status, made["version"]) == (201, "1")
        status, changed = await stage.ask("PUT", "/api/prompts/hello", json={"text": "Hail {{who}}!"})
        assert (changed["version"], list(changed["versions"])) == ("2", ["1", "2"])
        _, chosen = await stage.ask("POST", "/api/prompts/hello/version", json={"version": "1"})
        assert chosen["version"] == "1"
        assert (await stage.ask("POST", "/api/prompts/hello/version", json={"version": "9"}))[0] == 404
        assert (await stage.ask("POST", "/api/prompts", json={"id": "hello", "text": "x"}))[0] == 409
        assert (await stage.ask("POST", "/api/prompts", json={"id": "empty"}))[0] == 400
        assert (await stage.ask("POST", "/api/prompts", json={"id": "../up", "text": "x"}))[0] == 400
        _, found = await stage.ask("GET", "/api/prompts")
        assert [each["id"] for each in found["prompts"]] == ["hello"]
        assert (await stage.ask("DELETE", "/api/prompts/hello"))[0] == 204
        assert (await stage.ask("GET", "/api/prompts/hello"))[0] == 404


async def test_a_response_is_made_from_a_prompt(tmp_path: Path) -> None:
    async with services_stage(tmp_path, answering()) as stage:
        message = {"role": "user", "content": "Where is {{city}}?"}
        body = {"id": "where", "text": "You know {{country}}.", "model": "m", "messages": [message]}
        assert (await stage.ask("POST", "/api/prompts", json=body))[0] == 201
        variables: dict[str, Any] = {"city": "Lisbon", "country": "Portugal"}
        prompt: Any = {"id": "where", "variables": variables}
        await stage.client.responses.create(prompt=prompt)
        new = stage.responses.runs.last.new
        assert new.plan.instructions == "You know Portugal."
        assert [each.text for each in new.input if isinstance(each, Said)] == ["Where is Lisbon?"]

        wrong: list[Any] = [{"id": "nowhere"}, {"id": "where", "version": "7"}]
        for each in wrong:
            with pytest.raises(openai.NotFoundError):
                await stage.client.responses.create(prompt=each)


async def test_a_person_writes_one_version_or_several(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "one.yaml").write_text("id: one\ntext: Say {{it}}.\ndefaults: {it: yes it is}\n")
    (folder / "many.yaml").write_text("id: many\nversions: {1: {text: a}, 10: {text: c}, 9: {text: b}}\n")
    (folder / "broken.yaml").write_text("id: broken\ntxt: oops\n")
    book = PromptBook(tmp_path)
    assert (await book.find(LOCAL_TENANT, "one", None)).instructions == "Say {{it}}."
    assert (await book.find(LOCAL_TENANT, "many", None)).instructions == "c"
    assert (await book.find(LOCAL_TENANT, "many", "9")).instructions == "b"
    listed = {each.id: each.fault for each in await book.list_prompts(LOCAL_TENANT)}
    assert (listed["one"], listed["many"]) == ("", "")
    assert "txt" in listed["broken"]
    changed = await book.add_version(LOCAL_TENANT, "one", PromptVersion(text="new"))
    assert changed.versions["1"].defaults == {"it": "yes it is"}


@pytest.mark.parametrize(
    "text",
    ["id: [", "just text", "id: other\ntext: x", "id: p\nversion: 3\nversions: {1: {text: a}}", "text: x"],
)
def test_a_file_that_is_wrong_says_why(text: str) -> None:
    with pytest.raises(RequestInvalid, match=r"p\.yaml"):
        read_prompt(text, "p.yaml")


async def test_prompts_of_other_tenants_do_not_exist(tmp_path: Path) -> None:
    book = PromptBook(tmp_path)
    await book.create(ADA, "mine", PromptVersion(text="x"))
    with pytest.raises(NotFound):
        await book.show(LOCAL_TENANT, "mine")
    assert await book.list_prompts(LOCAL_TENANT) == []
    with pytest.raises(Conflict):
        await book.create(ADA, "mine", PromptVersion(text="y"))
