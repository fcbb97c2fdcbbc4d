"""The query language: any text is a question, and none takes long."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.recall.lexical.query import LONGEST, Clause, parse, wanted
from runtime.recall.lexical.words import Analyzers, likely_language

ODD = st.text(st.characters(exclude_categories=()), max_size=60)
SIGNS = st.text(st.sampled_from('ab1 "+-~*:()[]{}\\/^&|!?.\u0301\udfff\0東ß😀'), max_size=80)


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("", []),
        ("red fox", [Clause("words", "red fox")]),
        ("red +fox -hound wine", [
            Clause("words", "red wine"), Clause("words", "fox", "must"), Clause("words", "hound", "not"),
        ]),
        ('"red fox"', [Clause("phrase", "red fox")]),
        ('+"red fox"~3', [Clause("phrase", "red fox", "must", distance=3)]),
        ("title:fox", [Clause("words", "fox", is_title=True)]),
        ('-title:"red fox"', [Clause("phrase", "red fox", "not", is_title=True)]),
        ("fox*", [Clause("prefix", "fox")]),
        ("f*", [Clause("words", "f*")]),
        ("fox~", [Clause("fuzzy", "fox", distance=1)]),
        ("foxhound~", [Clause("fuzzy", "foxhound", distance=2)]),
        ("fox~2", [Clause("fuzzy", "fox", distance=2)]),
        ("-40 +351", [Clause("words", "-40 +351")]),
        ("git commit -m", [Clause("words", "git commit -m")]),
        ("a - b", [Clause("words", "a - b")]),
        ("it's 50% off!", [Clause("words", "it's 50% off!")]),
        ("foo:bar (x", [Clause("words", "foo:bar (x")]),
        ('un"closed', [Clause("words", "un closed")]),
        ("well-known e-mail", [Clause("words", "well-known e-mail")]),
    ],
)  # fmt: skip
def test_signs_mean_something_only_where_they_can(text: str, clauses: list[Clause]) -> None:
    assert parse(text) == clauses


def test_a_question_without_what_it_leaves_out_is_for_models() -> None:
    assert wanted('red fox -hound +wine -"old dog" a - b git -m -40') == "red fox +wine a - b git -m -40"
    assert wanted("-hound") == ""
    assert wanted(" as it was\u00a0") == " as it was\u00a0"


@given(ODD | SIGNS)
@settings(max_examples=400, deadline=None)
def test_what_models_read_leaves_nothing_out(text: str) -> None:
    assert [each for each in parse(wanted(text)) if each.occur == "must"] == [
        each for each in parse(text) if each.occur == "must"
    ]


@given(ODD | SIGNS)
@settings(max_examples=400, deadline=None)
def test_no_text_raises(text: str) -> None:
    for clause in parse(text):
        clause.text.encode()


@pytest.mark.parametrize(
    "unit", ["a ", "+a ", '"', '"a" ', "a*", "~", "\ud800", "\0", "東", "-", "a_", ".", "title:"]
)
def test_a_very_long_text_is_read_in_a_moment(unit: str) -> None:
    text = (unit * 200_000)[:200_000]

    began = time.process_time()
    clauses = parse(text)

    assert time.process_time() - began < 5
    assert sum(len(each.text) for each in clauses) <= 2 * LONGEST


def test_the_language_of_a_question_is_told_by_its_little_words() -> None:
    analyzers = Analyzers()
    languages = ["en", "pt", "de"]

    assert likely_language(analyzers, ["what", "is", "the", "capital", "of", "France"], languages) == "en"
    assert likely_language(analyzers, ["qual", "é", "a", "capital", "da", "França"], languages) == "pt"
    assert likely_language(analyzers, ["die", "hard"], languages) == ""
    assert likely_language(analyzers, [], []) == ""
