"""An agent's file: what is read, what is refused and how that is told."""

import pytest

from runtime.core.agents.definition import Agent, ToolFilter, Trigger
from runtime.core.agents.instructions import check_templates, fill
from runtime.core.agents.reading import read_agent, schema, version_of, write_agent
from runtime.core.errors import RequestInvalid

CLERK = """
# a comment that people keep
name: clerk
description: Keeps the folder in order.
model: [qwen3-4b, smollm2-135m-instruct]
instructions: |
  You keep the folder.
  Today is {{ date }}.
tools:
  - recall
  - {server: files, only: ["read_*"], approval: never}
triggers:
  - cron: 0 7 * * 1-5
    timezone: Europe/Lisbon
    message: Sort the inbox.
limits: {turns: 5}
"""


def test_a_file_is_read_as_it_is_meant() -> None:
    agent = read_agent(CLERK)

    assert agent.model == ("qwen3-4b", "smollm2-135m-instruct")
    assert agent.tools == ("recall", ToolFilter(server="files", only=("read_*",), approval="never"))
    assert agent.triggers[0].cron == "0 7 * * 1-5"
    assert agent.limits.turns == 5


def test_what_is_written_reads_as_the_same_agent() -> None:
    agent = read_agent(CLERK)

    written = write_agent(agent)

    assert read_agent(written) == agent
    assert "instructions: |" in written


def test_the_version_tells_what_is_said_and_not_how_it_is_written() -> None:
    agent = read_agent(CLERK)

    assert version_of(agent) == version_of(read_agent(write_agent(agent)))
    assert version_of(agent) != version_of(Agent(name="clerk"))


@pytest.mark.parametrize(
    ("text", "param", "told"),
    [
        ("name: x\ninstrctions: a", "instrctions", "Did you mean 'instructions'?"),
        ("name: x\nlimits: {turn: 3}", "limits.turn", "Did you mean 'turns'?"),
        ("name: x\nmemory: {recal: 3}", "memory.recal", "Did you mean 'recall'?"),
        ("name: x\ntriggers: [{crn: a}]", "triggers[0].crn", "Did you mean 'cron'?"),
        ("name: x\ntriggers: [{message: a}]", "triggers[0]", "exactly one of: cron, every"),
        ("name: x\ntriggers: [{cron: a, every: 2m}]", "triggers[0]", "exactly one of"),
        ("name: x\nmodel: 3", "model", "Expected `str | array`"),
        ("name: X Y", "name", "regex"),
        ("name: x\nhelpers: [{agent: x}]", "helpers", "its own helper"),
        ("name: x\ntemperature: 3", "temperature", "<= 2"),
    ],
)
def test_a_wrong_field_is_named_with_a_way_out(text: str, param: str, told: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        read_agent(text, "clerk.yaml")

    assert caught.value.fault.param == param
    assert told in caught.value.fault.message
    assert caught.value.fault.message.startswith("clerk.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: x\nname: y", "line 2: the key 'name' is written twice"),
        ("name: [", "line 1"),
        ("- a", "must be a mapping"),
        ("name: x\ndescription: &a b\ninstructions: *a", "aliases"),
        ("name: !!python/object/apply:os.system ['true']", "constructor"),
        ("x" * 1_000_001, "1,000,000 characters"),
    ],
)
def test_what_is_no_definition_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(RequestInvalid, match=told):
        read_agent(text)


def test_days_stay_texts() -> None:
    assert read_agent("name: x\nvariables: {since: 2026-01-01}").variables == {"since": "2026-01-01"}


def test_the_published_schema_names_every_field() -> None:
    told = schema()

    fields = told["$defs"]["Agent"]["properties"]
    assert set(fields) == set(Agent.__struct_fields__)
    assert told["$defs"]["Agent"]["additionalProperties"] is False


def test_a_template_that_names_what_is_not_there_is_refused_with_what_there_is() -> None:
    with pytest.raises(RequestInvalid, match=r"'instructions' cannot be filled.*date"):
        check_templates(Agent(name="x", instructions="{{ dat }}"))


@pytest.mark.parametrize("text", ["{{ ''.__class__ }}", "{% for x in range(9) %}{% endfor %}", "{{ name"])
def test_a_template_reaches_nothing_but_its_values(text: str) -> None:
    with pytest.raises(RequestInvalid, match="'message'"):
        fill(text, {"name": "x"}, "message")


def test_a_trigger_has_its_default_for_missed_starts() -> None:
    assert Trigger(every="10m").missed == "once"
