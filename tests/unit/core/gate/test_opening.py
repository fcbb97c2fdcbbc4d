"""The gate over a home: its policies follow the files, its answers write them, its start is refused."""

from pathlib import Path

import anyio
import pytest

from runtime.core.bus import Bus, Subscription
from runtime.core.errors import Conflict, SettingsInvalid
from runtime.core.events import RunCancelled
from runtime.core.gate.opening import open_gate
from runtime.core.gate.policy_files import APPROVED_FILE
from runtime.core.gate.principals import OWNER
from runtime.core.gate.words import Answer
from runtime.core.ids import RunId
from runtime.core.settings import PolicySettings
from runtime.core.tool_facts import ApprovalAnswered, PolicyLoaded, PolicyRefused
from tests.kit.clock import FakeClock
from tests.kit.gate import ask_tool

SETTINGS = PolicySettings()
FREE = '@id("free") permit (principal, action, resource);\n'


async def _next(facts: Subscription, kind: type) -> None:
    """Wait for a fact of a kind."""
    with anyio.fail_after(10):
        async for envelope in facts:
            if isinstance(envelope.event, kind):
                return


async def test_policies_follow_their_files(tmp_path: Path, clock: FakeClock) -> None:
    bus = Bus(clock)
    async with open_gate(tmp_path, SETTINGS, bus, clock) as opened:
        assert opened.gate.look(ask_tool()) == "ask"
        own = tmp_path / "policies" / "own.cedar"

        with bus.subscribe("test", 64) as facts:
            await anyio.Path(own).write_text(FREE)
            await _next(facts, PolicyLoaded)
            assert opened.gate.look(ask_tool()) == "allow"

            await anyio.Path(own).unlink()
            await _next(facts, PolicyLoaded)
            assert opened.gate.look(ask_tool()) == "ask"


async def test_a_broken_file_leaves_the_last_good_set(tmp_path: Path, clock: FakeClock) -> None:
    bus = Bus(clock)
    own = anyio.Path(tmp_path / "policies" / "own.cedar")
    async with open_gate(tmp_path, SETTINGS, bus, clock) as opened:
        await own.write_text(FREE)
        await opened.policies.reload()
        await own.write_text(FREE + '\n@id("next") permit (principal, action, resource')
        state = await opened.policies.reload()

        assert opened.gate.look(ask_tool()) == "allow"
        assert [str(each) for each in state.faults] == [f"{own}:3: unexpected end of input"]
        refused = [each.event.message for each in bus.recent(0)[0] if isinstance(each.event, PolicyRefused)]
        assert refused
        assert all("own.cedar:3" in each for each in refused)

        await own.write_text(FREE)
        assert (await opened.policies.reload()).faults == ()
    loaded = [each.event.digest for each in bus.recent(0)[0] if isinstance(each.event, PolicyLoaded)]
    assert loaded[-1] == opened.policies.state().digest


async def test_a_server_does_not_start_over_broken_policies(tmp_path: Path, clock: FakeClock) -> None:
    folder = anyio.Path(tmp_path / "policies")
    await folder.mkdir()
    await (folder / "own.cedar").write_text("\n\npermit (everybody, action, resource);")

    with pytest.raises(SettingsInvalid, match=r"own\.cedar:3: found an invalid variable .*: everybody"):
        async with open_gate(tmp_path, SETTINGS, Bus(clock), clock):
            pass


async def test_an_answer_for_ever_is_in_the_file_and_decides_after_a_restart(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with open_gate(tmp_path, SETTINGS, Bus(clock), clock) as opened:
        ruling = await opened.gate.rule(ask_tool())
        assert ruling.approval is not None
        answered = await opened.approvals.answer(
            OWNER.tenant, ruling.approval, Answer(is_approved=True, scope="forever"), "owner"
        )
        assert opened.gate.look(ask_tool()) == "allow"

    text = await anyio.Path(tmp_path / "policies" / APPROVED_FILE).read_text()
    assert answered.policy_line in text
    async with open_gate(tmp_path, SETTINGS, Bus(clock), clock) as opened:
        assert (await opened.gate.rule(ask_tool())).policies == (f"approved-{ruling.approval}",)
        assert opened.approvals.find(OWNER.tenant, ruling.approval).status == "approved"


async def test_an_answer_for_ever_is_refused_while_policies_are_broken(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with open_gate(tmp_path, SETTINGS, Bus(clock), clock) as opened:
        ruling = await opened.gate.rule(ask_tool())
        assert ruling.approval is not None
        await anyio.Path(tmp_path / "policies" / "own.cedar").write_text("permit")
        forever = Answer(is_approved=True, scope="forever")

        with pytest.raises(Conflict, match=r"own\.cedar:1"):
            await opened.approvals.answer(OWNER.tenant, ruling.approval, forever, "owner")

        assert opened.approvals.find(OWNER.tenant, ruling.approval).status == "pending"
        assert not (tmp_path / "policies" / APPROVED_FILE).exists()


async def test_the_end_of_a_run_takes_its_questions_back(tmp_path: Path, clock: FakeClock) -> None:
    bus = Bus(clock)
    run = RunId("run_1")
    async with open_gate(tmp_path, SETTINGS, bus, clock) as opened:
        await opened.gate.rule(ask_tool(run=run))
        with bus.subscribe("test", 64) as facts:
            bus.publish(RunCancelled(reason="asked"), run_id=run)
            await _next(facts, ApprovalAnswered)

        (approval,) = opened.approvals.list_approvals(OWNER.tenant)
        assert approval.status == "cancelled"
