"""The words of policies: rules, what is wrong with a file, what is explained, tested and replayed. Pure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from runtime.core.gate.words import Approvals, Gate, Outcome, Question

Layer = Literal["shipped", "own"]
"""shipped: comes with Lar · own: lies in `$LAR_HOME/policies`, and speaks first."""
Effect = Literal["permit", "forbid"]


class PolicyFile(NamedTuple):
    """One file of policies as it was read."""

    name: str
    """How a person finds it: a path."""
    layer: Layer
    text: str


class PolicyFault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a file of policies."""

    file: str
    line: int
    """From 1; 0: the file as a whole."""
    message: str
    policy: str = ""
    """The id of the policy, where it has one."""

    def __str__(self) -> str:
        """Say it in one line, as compilers do."""
        who = f"policy '{self.policy}': " if self.policy else ""
        return (
            f"{self.file}:{self.line}: {who}{self.message}" if self.line else f"{self.file}: {self.message}"
        )


class PoliciesRefused(Exception):
    """A set of policies is broken; nothing of it is used."""

    def __init__(self, faults: Sequence[PolicyFault]) -> None:
        super().__init__("\n".join(str(each) for each in faults))
        self.faults = tuple(faults)


class PolicyRule(msgspec.Struct, frozen=True, kw_only=True):
    """One policy of the set that decides."""

    id: str
    effect: Effect
    is_ask: bool = False
    """A permit with `@outcome("ask")`: yes, once a person has said so."""
    layer: Layer
    file: str
    line: int
    reason: str = ""
    """`@reason(…)`: what whoever asked is told."""
    replaces: bool = False
    """An own policy with the id of a shipped one, which it stands in for."""

    @property
    def place(self) -> str:
        """Where it is written."""
        return f"{self.file}:{self.line}"


class PolicyState(msgspec.Struct, frozen=True, kw_only=True):
    """The set that decides now."""

    rules: tuple[PolicyRule, ...]
    digest: str
    """Of all files; another text is another digest."""
    loaded_at: float
    folder: str
    """Where own policies lie."""
    faults: tuple[PolicyFault, ...] = ()
    """Why the newest files are not used; empty: they are."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a policy, and whether it holds for a question."""

    text: str
    holds: bool | None
    """None: it cannot be evaluated for this question, and so the policy does not apply."""


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """One policy and a question."""

    rule: PolicyRule
    applies: bool
    decides: bool
    conditions: tuple[Condition, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What is decided, by which policies, and why the others do not speak."""

    outcome: Outcome
    policies: tuple[str, ...]
    reason: str
    considered: tuple[Considered, ...]
    """Those that decide first, then those that apply, then the rest in the order of their files."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a table of cases."""

    name: str
    question: Question
    outcome: Outcome
    policy: str | None = None
    """The policy that must decide; None: any."""
    at: float | None = None
    """When it is asked, in seconds since the epoch; None: now."""


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a case."""

    name: str
    is_met: bool
    expected: str
    got: str


class PastDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision of the gate that is to be looked at under other policies. Its arguments were not kept."""

    seq: int
    at: float
    question: Question
    outcome: Outcome
    """What the policies said, before any person answered."""
    policies: tuple[str, ...] = ()


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A past decision that would be another one."""

    past: PastDecision
    outcome: Outcome
    policies: tuple[str, ...]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The past under other policies."""

    same: int
    changed: tuple[Changed, ...]
    undetermined: tuple[PastDecision, ...]
    """Those that hang on arguments, which facts do not carry."""


class Policies(Protocol):
    """The policies of a running server."""

    def state(self) -> PolicyState:
        """Return the set that decides now, and what is wrong with newer files."""

    def explain(self, question: Question, at: float | None = None) -> Explanation:
        """Say what would be decided, and why. Asks and tells nobody."""

    async def reload(self) -> PolicyState:
        """Read the files again now. A broken set is told in `faults`, the last good one stays."""


class GateParts(NamedTuple):
    """The gate of a running server, and what people use beside it."""

    gate: Gate
    policies: Policies
    approvals: Approvals
