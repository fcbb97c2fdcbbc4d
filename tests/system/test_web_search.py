"""The tool web_search of responses, against an engine that answers as SearXNG does."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from openai import OpenAI

from tests.kit.search_engine import SearchEngine, open_search_engine
from tests.kit.server import running_server

ASKED = f"[[call: web_search {json.dumps({'query': 'what is a samovar?'})}]]"


class Stage(NamedTuple):
    client: OpenAI
    engine: SearchEngine

    def ask(self, **tool: Any) -> Any:
        tools: Any = [{"type": "web_search", **tool}]
        return self.client.responses.create(
            model="scripted",
            input=ASKED,
            tools=tools,
            include=["web_search_call.action.sources"],
        )


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("home")
    with open_search_engine() as engine:
        settings = (
            f'[agents]\nsearch_url = "{engine.address}/"\n[recall]\nprivate_addresses = ["127.0.0.1"]\n'
        )
        (home / "lar.toml").write_text(settings)
        with running_server(home) as server:
            yield Stage(server.openai(), engine)


@pytest.fixture
def stage(opened: Stage) -> Stage:
    opened.engine.status, opened.engine.is_html = 200, False
    opened.engine.queries.clear()
    return opened


def test_what_is_found_is_told_with_its_sources_and_cited(stage: Stage) -> None:
    response = stage.ask()

    call, message = response.output
    assert stage.engine.queries == ["what is a samovar?"]
    assert (call.type, call.status, call.action.type) == ("web_search_call", "completed", "search")
    assert [each.url for each in call.action.sources] == [
        "https://en.example.org/wiki/Samovar",
        "https://shop.example.com/samovar",
    ]
    part = message.content[0]
    assert "A samovar heats water for tea." in part.text
    assert [each.type for each in part.annotations] == ["url_citation"] * len(part.annotations)
    assert {each.url for each in part.annotations} == {each.url for each in call.action.sources}
    assert {each.title for each in part.annotations} == {
        "Samovar, Ünïcode",
        "https://shop.example.com/samovar",
    }
    for each in part.annotations:
        assert each.url in part.text[each.start_index : each.end_index]


def test_only_pages_of_allowed_domains_are_told(stage: Stage) -> None:
    response = stage.ask(filters={"allowed_domains": ["example.org"]}, search_context_size="low")

    call, message = response.output
    assert [each.url for each in call.action.sources] == ["https://en.example.org/wiki/Samovar"]
    assert "shop.example.com" not in message.content[0].text


@pytest.mark.parametrize(
    ("status", "is_html", "told"),
    [
        (403, False, "search.formats"),
        (429, False, "does not answer"),
        (500, False, "does not answer"),
        (404, False, "no search engine"),
        (200, True, "search.formats"),
    ],
)
def test_an_engine_that_fails_is_told_to_the_model(
    stage: Stage, status: int, is_html: bool, told: str
) -> None:
    stage.engine.status, stage.engine.is_html = status, is_html

    response = stage.ask()
    assert response.status == "completed"
    call, message = response.output
    assert (call.type, call.status) == ("web_search_call", "failed")
    assert told in message.content[0].text
    assert stage.engine.address in message.content[0].text
