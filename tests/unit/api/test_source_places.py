"""Which places a key may let the server follow: files of the machine and its secrets are for operators."""

from pathlib import Path

import pytest

from tests.kit.knowledge_stage import open_knowledge_stage

FACES = ("/api/recall/collections/notes/sources", "/api/collections/notes/sources")
PLACES = ("/etc", "file:///etc", "FILE:/etc", "etc", "//etc", "file://localhost/etc", " /etc", "ftp://a/b")


@pytest.mark.parametrize("path", FACES)
@pytest.mark.parametrize("place", PLACES)
async def test_a_tenants_key_may_not_let_the_server_read_its_own_files(
    tmp_path: Path, path: str, place: str
) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        key = await stage.key("ada", "ada")
        await stage.ask("POST", "/api/collections", json={"name": "notes"}, headers=key)
        body = {"url": place} if path == FACES[1] else {"uri": place}
        status, answer = await stage.ask("POST", path, json=body, headers=key)
        _, listed = await stage.ask("GET", FACES[0], headers=key)

        assert status == 403
        assert "operator" in str(answer["error"])
        assert listed == {"sources": []}


async def test_a_tenants_key_may_not_name_a_secret_of_the_server(tmp_path: Path) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        key = await stage.key("ada", "ada")
        await stage.ask("POST", "/api/collections", json={"name": "notes"}, headers=key)
        body = {"uri": "https://collect.example/", "secret": "PATH"}
        status, answer = await stage.ask("POST", FACES[0], json=body, headers=key)

        assert (status, answer["error"]["type"]) == (403, "permission_error")
        assert "secret" in answer["error"]["message"]


@pytest.mark.parametrize("path", FACES)
async def test_an_operator_may_follow_a_folder_and_everybody_a_page(tmp_path: Path, path: str) -> None:
    async with open_knowledge_stage(tmp_path) as stage:
        user, operator = await stage.key("ada", "ada"), await stage.key("root", "ada", "operator")
        await stage.ask("POST", "/api/collections", json={"name": "notes"}, headers=user)
        field = "url" if path == FACES[1] else "uri"
        folder, _ = await stage.ask("POST", path, json={field: "/etc"}, headers=operator)
        page, _ = await stage.ask("POST", path, json={field: "https://example.org/"}, headers=user)

        assert {folder, page} <= {200, 201}
