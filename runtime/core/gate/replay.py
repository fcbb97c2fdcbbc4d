"""The past under other policies: which decisions would have been others. Pure."""

from collections.abc import Iterable

import msgspec

from runtime.core.events import Envelope
from runtime.core.gate.gate import FAULT, QUOTA
from runtime.core.gate.policy_set import PolicySet
from runtime.core.gate.policy_words import Changed, PastDecision, Replayed
from runtime.core.gate.principals import Principal
from runtime.core.gate.words import Action, GateResource, Question
from runtime.core.tool_facts import GateDecided


def read_decision(envelope: Envelope) -> PastDecision | None:
    """Return the decision that a fact tells; None for one that no policy made, or of another version's words.

    The arguments of the call are in no fact.
    """
    fact = envelope.event
    if not isinstance(fact, GateDecided) or not {QUOTA, FAULT}.isdisjoint(fact.policies):
        return None

    try:
        question = Question(
            principal=msgspec.convert(
                {"id": fact.principal, "role": fact.role, "tenant": envelope.tenant}, Principal
            ),
            action=_action_of(fact),
            resource=msgspec.convert(
                {"kind": fact.resource_kind, "id": fact.resource, "attributes": fact.attributes}, GateResource
            ),
            door=fact.door,
            session=fact.session,
            agent=fact.agent,
        )
    except msgspec.ValidationError:
        return None

    # Where there is an approval, policies said that a person must be asked, whatever came of it.
    outcome = fact.outcome if fact.approval is None else "ask"
    return PastDecision(
        seq=envelope.seq, at=envelope.at, question=question, outcome=outcome, policies=fact.policies
    )


def replay(policies: PolicySet, past: Iterable[PastDecision]) -> Replayed:
    """Decide everything again. Raises ValueError."""
    same = 0
    changed: list[Changed] = []
    undetermined: list[PastDecision] = []
    for each in past:
        possible = policies.possible(each.question, each.at)
        if len(possible) > 1:
            undetermined.append(each)
        elif possible == {each.outcome}:
            same += 1
        else:
            judged = policies.judge(each.question, each.at)
            changed.append(Changed(past=each, outcome=next(iter(possible)), policies=judged.policies))
    return Replayed(same=same, changed=tuple(changed), undetermined=tuple(undetermined))


def _action_of(fact: GateDecided) -> Action:
    """Return the action as a word of today. Raises ValidationError."""
    action: Action = msgspec.convert(fact.action, Action)
    return action
