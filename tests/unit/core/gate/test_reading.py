"""Files of policies become a set, or every fault is named with its file and line."""

import pytest

from runtime.core.gate.policy_files import read_texts
from runtime.core.gate.policy_set import PolicySet
from runtime.core.gate.policy_words import PoliciesRefused, PolicyFile
from tests.kit.gate import own_set


def _faults(text: str) -> list[str]:
    with pytest.raises(PoliciesRefused) as refused:
        own_set(text)
    return [str(each) for each in refused.value.faults]


def test_the_shipped_policies_are_a_good_set() -> None:
    rules = own_set("").rules

    assert {each.layer for each in rules.values()} == {"shipped"}
    assert rules["tools-asking"].is_ask
    assert rules["tools-changed"].effect == "forbid"


def test_every_fault_of_all_files_is_told_with_its_line() -> None:
    faults = _faults(
        '@id("a")\npermit (principal, action, resource)\nwhen { principal.rol == "x" };\n'
        "\npermit (principal, action, resource);\n"
        '@id("b") permit (principal, action == Action::"cal", resource);\n'
        '@id("c")\npermit (principal, action, resource) when {\n  principal.role = "x" };\n'
    )

    assert faults[0].startswith("own.cedar:3: policy 'a': attribute `rol` on entity type")
    assert faults[1] == 'own.cedar:5: it has no @id("…"), by which decisions name it'
    assert faults[2] == "own.cedar:6: policy 'b': unrecognized action `Action::\"cal\"`"
    assert faults[3] == "own.cedar:7: '=' is not a valid operator in Cedar"


@pytest.mark.parametrize(
    ("annotations", "cause"),
    [
        ('@id("a b")', "an @id has 1 to 80"),
        ('@id("quota")', "an @id has 1 to 80"),
        ('@id("a") @outcom("ask")', "unknown annotation `outcom`; known: @id, @note, @outcome, @reason"),
        ('@id("a") @outcome("perhaps")', 'an `outcome` is "ask", on a permit'),
    ],
)
def test_annotations_that_would_not_mean_what_they_seem_to_are_refused(annotations: str, cause: str) -> None:
    (fault,) = _faults(f"{annotations} permit (principal, action, resource);")

    assert cause in fault


def test_a_forbid_cannot_ask() -> None:
    (fault,) = _faults('@id("a") @outcome("ask") forbid (principal, action, resource);')

    assert 'an `outcome` is "ask", on a permit' in fault


def test_templates_are_refused() -> None:
    (fault,) = _faults('@id("a") permit (principal == ?principal, action, resource);')

    assert "?principal and ?resource are not used here" in fault


def test_optional_context_and_tags_must_be_looked_for_first() -> None:
    unsafe = 'context.session == "s"', 'context.arguments.getTag("path") == "x"'
    for each in unsafe:
        (fault,) = _faults(f'@id("a") permit (principal, action, resource) when {{ {each} }};')
        assert "unable to guarantee safety of access" in fault


def test_two_own_policies_of_one_id_are_refused() -> None:
    policy = '@id("a") permit (principal, action, resource);\n'

    assert _faults(policy + policy) == ["own.cedar:2: policy 'a': the id is taken by own.cedar:1"]


def test_an_own_policy_stands_in_for_the_shipped_one_of_its_id() -> None:
    rules = own_set('@id("tools-asking") permit (principal, action, resource) when { false };').rules

    assert rules["tools-asking"].layer == "own"
    assert rules["tools-asking"].replaces
    assert not rules["tools-asking"].is_ask


def test_a_broken_schema_is_told() -> None:
    schema = PolicyFile("lar.cedarschema", "shipped", "entity Key { role: Strng };")

    with pytest.raises(PoliciesRefused, match=r"lar\.cedarschema: failed to resolve type: Strng"):
        PolicySet([], schema)


def test_the_digest_tells_texts_apart() -> None:
    assert own_set("").digest != own_set("// a").digest
    assert read_texts(None).digest == read_texts(None).digest
