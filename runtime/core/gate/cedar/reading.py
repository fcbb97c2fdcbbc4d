"""Reads files of policies into one set, or says for each policy that is wrong where and why.

Cedar numbers policies by itself and tells no lines; so each is parsed apart, and named by its `@id`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import cedarpy
import msgspec
from cedarpy import pst

from runtime.core.gate.cedar.evaluating import Evaluator
from runtime.core.gate.policy_words import PoliciesRefused, PolicyFault, PolicyFile, PolicyRule
from runtime.core.gate.splitting import Piece, find_line, split_policies

_ANNOTATIONS = frozenset({"id", "outcome", "reason", "note"})
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,80}\Z")
_RESERVED = frozenset({"fault", "quota"})
"""What stands in decisions that no policy made."""
_WHO = re.compile(r"^for policy `[^`]*`, ")
_VAGUE = "unable to find an applicable action"


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """One policy: what Lar says of it, and what Cedar does."""

    rule: PolicyRule
    node: pst.Template


def read_schema(file: str, text: str) -> cedarpy.Schema:
    """Parse a schema. Raises PoliciesRefused."""
    try:
        return cedarpy.Schema.from_str(text)
    except ValueError as problem:
        raise PoliciesRefused([PolicyFault(file=file, line=0, message=str(problem))]) from problem


def read_policies(files: Iterable[PolicyFile], schema: cedarpy.Schema) -> dict[str, ReadPolicy]:
    """Return the policies of all files by id; an own one stands in for a shipped one of the same id.

    Raises PoliciesRefused with everything that is wrong.
    """
    faults: list[PolicyFault] = []
    found: dict[str, ReadPolicy] = {}
    for file in sorted(files, key=lambda each: each.layer != "shipped"):
        for piece in split_policies(file.text):
            try:
                policy = _read(file, piece, schema)
                found[policy.rule.id] = _placed(policy, found.get(policy.rule.id))
            except PoliciesRefused as refused:
                faults += refused.faults
    if faults:
        raise PoliciesRefused(faults)

    return found


def compile_set(policies: Iterable[ReadPolicy]) -> Evaluator:
    """Return the set ready to answer; each policy has its own id in it."""
    nodes = {each.rule.id: each.node for each in policies}
    whole = pst.PolicySet(templates={}, static_policies=nodes, template_links=())
    return Evaluator(cedarpy.PolicySet.from_pst(whole))


def _read(file: PolicyFile, piece: Piece, schema: cedarpy.Schema) -> ReadPolicy:
    try:
        parsed = cedarpy.policies_to_pst(piece.text)
    except ValueError as problem:
        raise _refusal(file, piece, str(problem)) from problem
    if not parsed.static_policies:
        raise _refusal(
            file, piece, "?principal and ?resource are not used here; name the entity, or use `is`"
        )

    (node,) = parsed.static_policies.values()
    name = node.annotations.get("id", "")
    _check_annotations(file, piece, node)
    checked = cedarpy.validate_policies(piece.text, schema)
    if not checked.validation_passed:
        told = sorted({_WHO.sub("", each.error) for each in checked.errors})
        clear = [each for each in told if not each.startswith(_VAGUE)] or told
        raise _refusal(file, piece, clear[0], name)

    rule = PolicyRule(
        id=name,
        effect=node.effect,
        is_ask="outcome" in node.annotations,
        layer=file.layer,
        file=file.name,
        line=piece.line,
        reason=node.annotations.get("reason", ""),
    )
    return ReadPolicy(rule, replace(node, id=name))


def _check_annotations(file: PolicyFile, piece: Piece, node: pst.Template) -> None:
    """Refuse what would not mean what it seems to mean, such as `@outcom("ask")`."""
    name = node.annotations.get("id")
    if not name:
        raise _refusal(file, piece, 'it has no @id("…"), by which decisions name it')
    if not _ID.match(name) or name in _RESERVED:
        rule = "an @id has 1 to 80 letters, digits and _ . : -, and is none of 'quota' and 'fault'"
        raise _refusal(file, piece, rule, name[:80])

    unknown = sorted(set(node.annotations) - _ANNOTATIONS)
    if unknown:
        known = ", ".join(f"@{each}" for each in sorted(_ANNOTATIONS))
        raise _refusal(file, piece, f"unknown annotation `{unknown[0]}`; known: {known}", name)

    outcome = node.annotations.get("outcome")
    if outcome is not None and (outcome != "ask" or node.effect != "permit"):
        raise _refusal(file, piece, 'an `outcome` is "ask", on a permit', name)


def _placed(policy: ReadPolicy, before: ReadPolicy | None) -> ReadPolicy:
    """Let an own policy stand in for a shipped one. Raises PoliciesRefused for two of one layer."""
    if before is None:
        return policy

    rule = policy.rule
    if before.rule.layer == rule.layer:
        message = f"the id is taken by {before.rule.place}"
        raise PoliciesRefused([PolicyFault(file=rule.file, line=rule.line, message=message, policy=rule.id)])
    return replace(policy, rule=msgspec.structs.replace(rule, replaces=True))


def _refusal(file: PolicyFile, piece: Piece, message: str, policy: str = "") -> PoliciesRefused:
    fault = PolicyFault(file=file.name, line=find_line(piece, message), message=message, policy=policy)
    return PoliciesRefused([fault])
