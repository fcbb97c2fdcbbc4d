"""The last check of a result, against the schema that came with the request."""

from typing import Any

import pytest

from runtime.backends.engines.llama.grammar.validity import Validity

PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def test_a_valid_text_has_no_problem() -> None:
    assert Validity(PERSON).problem('{"age": 3}') is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"age": "x"}', "age: "),
        ("{}", "age"),
        ('{"age": 3', "it is no JSON"),
        ('{"age": NaN}', "NaN is no JSON value"),
        ("", "it is no JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_problem_says_where_and_what(text: str, said: str) -> None:
    problem = Validity(PERSON).problem(text)

    assert problem is not None
    assert said in problem
    assert len(problem) <= 300


def test_formats_are_checked() -> None:
    assert Validity({"format": "date"}).problem('"2023-02-30"') is not None
    assert Validity({"format": "no-such-format"}).problem('"x"') is None


def test_whole_numbers_are_exact() -> None:
    assert Validity({"const": 9007199254740993}).problem("9007199254740992") is not None
    assert Validity({"multipleOf": 0.01}).problem("123456789.12") is None


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/x.json"},
        {"$ref": "file:///etc/hostname"},
        {"type": "no"},
        {"pattern": "("},
    ],
)
def test_nothing_is_valid_by_a_schema_that_refers_to_elsewhere_or_is_none(schema: dict[str, Any]) -> None:
    validity = Validity(schema)

    assert validity.refusal is not None
    assert validity.problem("1") == validity.refusal
    assert Validity({}).refusal is None


def test_older_drafts_are_read_where_the_newest_does_not_fit() -> None:
    assert Validity({"items": [{"type": "string"}]}).problem("[1]") is not None
    assert Validity({"minimum": 1, "exclusiveMinimum": True}).problem("1") is not None
    assert Validity({"$schema": "http://example.com/unknown", "type": "string"}).problem("1") is not None
