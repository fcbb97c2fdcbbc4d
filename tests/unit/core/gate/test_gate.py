"""Policy, approval, quota, audit: what comes of questions, and what is told of them."""

import anyio
import pytest

from runtime.core.bus import Bus
from runtime.core.driver import Runs
from runtime.core.embedding import RunEmbedder
from runtime.core.errors import Conflict, ModelUnavailable, NotFound
from runtime.core.gate.approvals import MOST_PENDING
from runtime.core.gate.connecting import host_check
from runtime.core.gate.gate import PolicyGate
from runtime.core.gate.policy_set import Judgement
from runtime.core.gate.principals import OWNER, Principal
from runtime.core.gate.words import Answer, Approval, Outcome, Question, Ruling
from runtime.core.ids import ApprovalId, CallId, ModelId, RunId, TenantId
from runtime.core.settings import AdmissionSettings
from runtime.core.states import Feature
from runtime.core.tool_facts import ApprovalAnswered, ApprovalAsked, GateDecided
from tests.kit.fake_models import FakeModels, known_model
from tests.kit.fake_pool import FakePool
from tests.kit.gate import USER, GateStage, MemoryStore, SetJudge, ask_tool, model_question, own_set

EMBEDS: frozenset[Feature] = frozenset({"embeddings"})
YES = Answer(is_approved=True)
NO = Answer(is_approved=False, note="not on a Sunday")


async def _answer(stage: GateStage, answer: Answer, by: str = "owner") -> Approval:
    return await stage.desk.answer(OWNER.tenant, stage.pending().id, answer, by)


async def _ask_and_answer(stage: GateStage, question: Question, answer: Answer) -> Ruling:
    """Ask with a wait, and let a person answer in the middle of it."""
    rulings: list[Ruling] = []

    async def ask() -> None:
        rulings.append(await stage.gate.rule(question, wait_s=30))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await _answer(stage, answer)
    return rulings[0]


async def test_an_allowed_question_is_told_with_the_policy_that_allowed_it() -> None:
    stage = GateStage()

    ruling = await stage.gate.rule(model_question(session="s", run=RunId("run_1"), call=CallId("call_1")))

    assert (ruling.outcome, ruling.policies) == ("allow", ("models-here",))
    (fact,) = stage.facts
    assert isinstance(fact, GateDecided)
    assert (fact.outcome, fact.policies, fact.resource, fact.call) == (
        "allow",
        ("models-here",),
        "smollm2",
        "call_1",
    )


async def test_a_denied_question_tells_a_model_why() -> None:
    stage = GateStage()

    ruling = await stage.gate.rule(ask_tool(attributes={"trust": "changed"}))

    assert ruling.outcome == "deny"
    assert "not as it was when it was approved" in ruling.reason
    assert stage.kinds() == ["gate.decided"]


async def test_no_argument_of_a_call_is_in_any_fact() -> None:
    stage = GateStage()

    await stage.gate.rule(ask_tool(arguments={"token": "hush-hush"}))

    assert stage.kinds() == ["approval.asked", "gate.decided"]
    assert "hush-hush" not in repr(stage.facts)
    assert stage.pending().arguments == {"token": "hush-hush"}


async def test_who_does_not_wait_is_told_whom_to_wait_for() -> None:
    stage = GateStage()

    ruling = await stage.gate.rule(ask_tool())

    assert (ruling.outcome, ruling.approval) == ("ask", stage.pending().id)
    assert str(ruling.approval) in ruling.reason


@pytest.mark.parametrize(("answer", "outcome"), [(YES, "allow"), (NO, "deny")])
async def test_who_waits_gets_the_answer(answer: Answer, outcome: str) -> None:
    stage = GateStage()

    ruling = await _ask_and_answer(stage, ask_tool(), answer)

    assert ruling.outcome == outcome
    assert ruling.approval is not None
    assert answer.note in ruling.reason
    assert stage.kinds() == ["approval.asked", "approval.answered", "gate.decided"]


async def test_an_answer_for_one_call_serves_once() -> None:
    stage = GateStage()
    await stage.gate.rule(ask_tool())
    await _answer(stage, YES)

    outcomes = [(await stage.gate.rule(ask_tool())).outcome for _ in range(2)]

    assert outcomes == ["allow", "ask"]


async def test_an_answer_that_its_waiter_took_serves_nobody_else() -> None:
    stage = GateStage()

    assert (await _ask_and_answer(stage, ask_tool(), YES)).outcome == "allow"
    assert (await stage.gate.rule(ask_tool())).outcome == "ask"


async def test_the_same_question_again_is_the_one_that_waits() -> None:
    stage = GateStage()

    first = await stage.gate.rule(ask_tool())
    again = await stage.gate.rule(ask_tool())
    other = await stage.gate.rule(ask_tool(arguments={"path": "/b"}))

    assert first.approval == again.approval
    assert other.approval != first.approval
    assert len(stage.desk.list_approvals(OWNER.tenant, "pending")) == 2


async def test_two_who_wait_for_the_same_are_two_questions() -> None:
    stage = GateStage()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(lambda: stage.gate.rule(ask_tool(), wait_s=30))
            await anyio.wait_all_tasks_blocked()
            pending = stage.desk.list_approvals(OWNER.tenant, "pending")
            for each in pending:
                await stage.desk.answer(OWNER.tenant, each.id, YES, "owner")

    assert len(pending) == 2


async def test_an_answer_for_the_tool_lets_other_arguments_pass_until_the_server_stops() -> None:
    stage = GateStage()
    await stage.gate.rule(ask_tool())
    await _answer(stage, Answer(is_approved=True, scope="tool"))

    assert (await stage.gate.rule(ask_tool(arguments={"path": "/b"}))).outcome == "allow"
    restarted = GateStage(store=stage.store)
    await restarted.desk.load()
    assert (await restarted.gate.rule(ask_tool())).outcome == "ask"


async def test_questions_and_answers_survive_a_restart() -> None:
    stage = GateStage()
    await stage.gate.rule(ask_tool())
    stage.clock.advance(1)
    await stage.gate.rule(ask_tool(arguments={"path": "/b"}))
    waiting, answered = stage.desk.list_approvals(OWNER.tenant)
    await stage.desk.answer(OWNER.tenant, answered.id, Answer(is_approved=True, scope="arguments"), "ann")

    restarted = GateStage(store=stage.store, clock=stage.clock)
    await restarted.desk.load()

    assert restarted.pending().id == waiting.id
    assert restarted.desk.find(OWNER.tenant, answered.id).answered_by == "ann"
    assert (await restarted.gate.rule(ask_tool())).outcome == "allow"


async def test_for_ever_writes_the_policy_that_it_showed_and_is_asked_no_more() -> None:
    stage = GateStage()
    await stage.gate.rule(ask_tool())
    shown = stage.pending().policy_line

    await _answer(stage, Answer(is_approved=True, scope="forever"))

    assert stage.written == [shown]
    ruling = await stage.gate.rule(ask_tool(arguments={"path": "/other"}))
    assert ruling.outcome == "allow"
    assert ruling.policies[0].startswith("approved-apr_")


async def test_a_policy_for_ever_holds_for_the_one_that_asked() -> None:
    stage = GateStage()
    await stage.gate.rule(ask_tool(agent='co"der'))
    await _answer(stage, Answer(is_approved=True, scope="forever"))

    assert (await stage.gate.rule(ask_tool(agent='co"der'))).outcome == "allow"
    assert (await stage.gate.rule(ask_tool(agent="other"))).outcome == "ask"
    assert (await stage.gate.rule(ask_tool("delete", agent='co"der'))).outcome == "ask"


async def test_what_policies_forbid_meanwhile_stays_forbidden_whatever_the_answer() -> None:
    stage = GateStage()
    rulings: list[Ruling] = []

    async def ask() -> None:
        rulings.append(await stage.gate.rule(ask_tool(), wait_s=30))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            stage.judge.policies = own_set('@id("stop") forbid (principal, action, resource);')
            await _answer(stage, YES)

    assert (rulings[0].outcome, rulings[0].policies) == ("deny", ("stop",))


async def test_nobody_answers_in_time() -> None:
    stage = GateStage()
    await stage.gate.rule(ask_tool())
    late = stage.pending().id
    stage.clock.advance(601)

    with pytest.raises(Conflict, match="is expired"):
        await stage.desk.answer(OWNER.tenant, late, YES, "owner")
    assert stage.desk.find(OWNER.tenant, late).status == "expired"
    await stage.desk.expire_due()
    assert stage.store.records[late].approval.status == "expired"
    assert isinstance(stage.facts[-1], ApprovalAnswered)
    assert (await stage.gate.rule(ask_tool())).approval != late


async def test_a_wait_is_bounded() -> None:
    stage = GateStage()

    with anyio.fail_after(5):
        ruling = await stage.gate.rule(ask_tool(), wait_s=0.01)

    assert ruling.outcome == "ask"


async def test_a_wait_ends_at_the_deadline_of_the_question() -> None:
    stage = GateStage()
    await stage.gate.rule(ask_tool())
    stage.clock.advance(599.99)

    async def turn_the_clock() -> None:
        await anyio.wait_all_tasks_blocked()
        stage.clock.advance(1)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn_the_clock)
            ruling = await stage.gate.rule(ask_tool(), wait_s=30)

    assert ruling.outcome == "deny"
    assert "Nobody answered in time" in ruling.reason


async def test_what_a_run_asked_is_taken_back_when_it_ends() -> None:
    stage = GateStage()
    await stage.gate.rule(ask_tool(run=RunId("run_1")))
    stage.clock.advance(1)
    await stage.gate.rule(ask_tool("delete", run=RunId("run_2")))

    await stage.desk.cancel_run(RunId("run_1"))

    assert [each.status for each in stage.desk.list_approvals(OWNER.tenant)] == ["pending", "cancelled"]


async def test_tenants_do_not_see_each_others_questions() -> None:
    stage = GateStage()
    await stage.gate.rule(ask_tool())
    other = TenantId("other")

    assert stage.desk.list_approvals(other) == []
    with pytest.raises(NotFound):
        await stage.desk.answer(other, stage.pending().id, YES, "eve")
    with pytest.raises(NotFound):
        stage.desk.find(OWNER.tenant, ApprovalId("apr_none"))


async def test_more_questions_than_a_person_reads_are_refused() -> None:
    stage = GateStage()
    for index in range(MOST_PENDING):
        await stage.gate.rule(ask_tool(arguments={"n": index}))

    ruling = await stage.gate.rule(ask_tool(arguments={"n": MOST_PENDING}))

    assert ruling.outcome == "deny"
    assert "So many questions wait" in ruling.reason


class _Quota:
    def __init__(self) -> None:
        self.spent: list[str] = []

    def spend(self, question: Question) -> str | None:
        self.spent.append(question.resource.id)
        return None if len(self.spent) < 2 else "Two are too many."


async def test_quotas_count_what_is_allowed_and_can_refuse_it() -> None:
    quota = _Quota()
    stage = GateStage(quota=quota)

    await stage.gate.rule(ask_tool())
    outcomes = [await stage.gate.rule(model_question()) for _ in range(2)]

    assert quota.spent == ["smollm2", "smollm2"]
    assert [each.outcome for each in outcomes] == ["allow", "deny"]
    assert (outcomes[1].policies, outcomes[1].reason) == (("quota",), "Two are too many.")


async def test_a_store_that_fails_is_a_no_with_its_cause() -> None:
    stage = GateStage()
    stage.store.fault = OSError("disk full")

    ruling = await stage.gate.rule(ask_tool())

    assert ruling.outcome == "deny"
    assert "OSError" in ruling.reason
    assert stage.kinds() == ["gate.decided"]


class _BrokenJudge(SetJudge):
    def judge(self, question: Question) -> Judgement:
        raise RuntimeError("broken")

    def outlook(self, question: Question) -> Outcome:
        raise RuntimeError("broken")


async def test_a_gate_that_breaks_says_no() -> None:
    stage = GateStage()
    gate = PolicyGate(
        policies=_BrokenJudge(own_set(""), stage.clock),
        approvals=stage.desk,
        quota=_Quota(),
        clock=stage.clock,
        tell=lambda fact, question: stage.facts.append(fact),
    )

    assert (await gate.rule(model_question())).outcome == "deny"
    assert gate.look(model_question()) == "deny"


async def test_looking_asks_and_spends_nothing() -> None:
    stage = GateStage()

    assert stage.gate.look(ask_tool()) == "ask"
    assert stage.gate.look(model_question()) == "allow"
    assert stage.gate.look(ask_tool(attributes={"trust": "new"})) == "deny"
    assert stage.facts == []

    await stage.gate.rule(ask_tool())
    await _answer(stage, YES)
    assert [stage.gate.look(ask_tool()) for _ in range(2)] == ["allow", "allow"]
    assert (await stage.gate.rule(ask_tool())).outcome == "allow"
    assert stage.gate.look(ask_tool()) == "ask"


async def test_a_look_without_arguments_shows_the_best_that_could_be() -> None:
    stage = GateStage(
        '@id("home") forbid (principal, action, resource is Tool) '
        'unless { context.arguments.hasTag("path") };'
    )

    assert stage.gate.look(ask_tool()) == "ask"
    assert stage.gate.look(ask_tool(call=CallId("call_1"))) == "deny"
    assert stage.gate.look(ask_tool(arguments={"path": "/a"})) == "ask"


async def test_an_answer_is_told_once() -> None:
    stage = GateStage()
    await stage.gate.rule(ask_tool())
    approval = stage.pending().id

    answers = [await stage.desk.answer(OWNER.tenant, approval, YES, by) for by in ("ann", "bob")]

    assert {each.answered_by for each in answers} == {"ann"}
    assert [type(each) for each in stage.facts].count(ApprovalAnswered) == 1
    assert [type(each) for each in stage.facts].count(ApprovalAsked) == 1
    with pytest.raises(Conflict):
        await stage.desk.answer(OWNER.tenant, approval, NO, "bob")


async def test_hosts_that_the_server_reaches_pass_the_gate() -> None:
    stage = GateStage(
        '@id("home") @reason("Only home.") forbid (principal, action == Action::"connect", resource is Host) '
        'unless { resource.host like "*.home.example" && resource.port == 443 };'
    )
    check = host_check(stage.gate)

    assert await check("wiki.home.example", 443) is None
    assert await check("wiki.home.example", 80) == "Only home."
    assert await check("example.org", 443) == "Only home."
    assert stage.kinds() == ["gate.decided"] * 3


async def test_a_question_is_taken_back_once() -> None:
    stage = GateStage(store=MemoryStore())
    await stage.gate.rule(ask_tool())
    approval = stage.pending().id

    first = await stage.desk.cancel(OWNER.tenant, approval)
    again = await stage.desk.cancel(OWNER.tenant, approval)

    assert first.status == again.status == "cancelled"


async def test_a_gate_that_forbids_a_model_stops_what_recall_does_with_it() -> None:
    stage = GateStage('@id("no") @reason("No models.") forbid (principal, action, resource is Model);')
    loaded, absent = ModelId("loaded"), ModelId("absent")
    models = FakeModels(known_model(loaded, "loaded", EMBEDS), known_model(absent, "available", EMBEDS))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            runs = Runs(
                bus=Bus(stage.clock),
                pool=FakePool(),
                clock=stage.clock,
                tasks=tasks,
                settings=AdmissionSettings(),
                places=lambda model: 1,
                gate=stage.gate,
            )
            embedder = RunEmbedder(runs, models, stage.gate)
            for each in (loaded, absent):
                with pytest.raises(ModelUnavailable, match=r"No models\."):
                    await embedder.embed(each, ["text"], dimensions=None, is_background=False)

    actions = [each.action for each in stage.facts if isinstance(each, GateDecided)]
    assert actions == ["generate", "install"]
    state = models.find_model(absent)
    assert state is not None
    assert state.stage == "available"


class Nobody:
    def holds(self, principal: Principal) -> bool:
        return principal == OWNER


async def test_a_revoked_key_may_do_nothing_more_whatever_policies_say() -> None:
    stage = GateStage(standing=Nobody())

    ruling = await stage.gate.rule(model_question(principal=USER))
    assert (ruling.outcome, ruling.policies) == ("deny", ("revoked",))
    assert f"The key {USER.id}" in ruling.reason
    assert stage.gate.look(model_question(principal=USER)) == "deny"
    assert (await stage.gate.rule(model_question(principal=OWNER))).outcome == "allow"
