"""A gate over policies that a test writes, with a clock that the test moves."""

from typing import Any

from runtime.core.fact import Fact
from runtime.core.gate.approval_store import ApprovalRecord
from runtime.core.gate.approvals import ApprovalDesk
from runtime.core.gate.gate import NoQuota, PolicyGate, Standing
from runtime.core.gate.policy_files import PolicyTexts, read_texts
from runtime.core.gate.policy_set import Judgement, PolicySet
from runtime.core.gate.policy_words import PolicyFile
from runtime.core.gate.principals import OWNER, Principal
from runtime.core.gate.words import Approval, GateResource, Outcome, Question, Quota
from runtime.core.ids import PrincipalId, TenantId
from tests.kit.clock import FakeClock

SHIPPED = read_texts(None)
USER = Principal(id=PrincipalId("key_ann"), role="user")
OPERATOR = Principal(id=PrincipalId("key_oli"), role="operator")


def own_set(text: str, *, with_shipped: bool = True) -> PolicySet:
    """Return the shipped policies, if wanted, with own ones."""
    files = SHIPPED.files if with_shipped else ()
    return PolicyTexts((*files, PolicyFile("own.cedar", "own", text)), SHIPPED.schema).compiled()


def ask_tool(
    name: str = "write",
    arguments: dict[str, Any] | None = None,
    principal: Principal = OWNER,
    **more: Any,
) -> Question:
    """Return a question about a tool of the server `files`; `attributes` and more of Question may follow."""
    attributes = {"server": "files", "name": name, "trust": "approved", **more.pop("attributes", {})}
    return Question(
        principal=principal,
        action="call_tool",
        resource=GateResource(kind="Tool", id=f"mcp__files__{name}", attributes=attributes),
        arguments=arguments or {},
        **more,
    )


def model_question(principal: Principal = USER, **more: Any) -> Question:
    resource = GateResource(kind="Model", id="smollm2", attributes=more.pop("attributes", {}))
    return Question(principal=principal, action="generate", resource=resource, **more)


def collection_question(tenant: str, principal: Principal = USER) -> Question:
    resource = GateResource(kind="Collection", id="notes", attributes={"tenant": tenant})
    return Question(principal=principal, action="recall_read", resource=resource)


class MemoryStore:
    """Fulfils ApprovalStore without a disk; another desk over it is a restart."""

    def __init__(self) -> None:
        self.records: dict[str, ApprovalRecord] = {}
        self.fault: OSError | None = None

    async def load(self) -> list[ApprovalRecord]:
        return list(self.records.values())

    async def put(self, record: ApprovalRecord) -> None:
        if self.fault is not None:
            raise self.fault
        self.records[record.approval.id] = record


class SetJudge:
    """Policies that a test can exchange."""

    def __init__(self, policies: PolicySet, clock: FakeClock) -> None:
        self.policies = policies
        self._clock = clock

    def judge(self, question: Question) -> Judgement:
        return self.policies.judge(question, self._clock.now())

    def outlook(self, question: Question) -> Outcome:
        return self.policies.outlook(question, self._clock.now())


class GateStage:
    """A gate, its parts, and the facts that it told."""

    def __init__(
        self,
        own: str = "",
        *,
        store: MemoryStore | None = None,
        quota: Quota | None = None,
        clock: FakeClock | None = None,
        standing: Standing | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.store = store or MemoryStore()
        self.judge = SetJudge(own_set(own), self.clock)
        self.facts: list[Fact] = []
        self.written: list[str] = []
        self.desk = ApprovalDesk(
            store=self.store,
            clock=self.clock,
            tell=lambda fact, approval: self.facts.append(fact),
            write_forever=self._write_forever,
            deadline_s=600.0,
        )
        self.gate = PolicyGate(
            policies=self.judge,
            approvals=self.desk,
            quota=quota or NoQuota(),
            clock=self.clock,
            tell=lambda fact, question: self.facts.append(fact),
            standing=standing,
        )

    async def _write_forever(self, approval: Approval) -> None:
        self.written.append(approval.policy_line)
        self.judge.policies = own_set("\n".join(self.written))

    def pending(self, tenant: TenantId = OWNER.tenant) -> Approval:
        """Return the one question that waits."""
        (approval,) = self.desk.list_approvals(tenant, "pending")
        return approval

    def kinds(self) -> list[str]:
        return [str(type(each).__struct_config__.tag) for each in self.facts]
