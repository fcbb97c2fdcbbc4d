"""What is kept of a request's servers: sealed, its run's alone, and gone with its end."""

from collections.abc import Mapping

import pytest

from runtime.core.agents.hub_tools import at_server
from runtime.core.agents.loans import KIND, Loans
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.ports import Lent
from runtime.core.errors import LarError
from runtime.core.gate.principals import OWNER
from runtime.core.ids import LOCAL_TENANT, ModelId, RunId, TenantId
from tests.kit.agent_rows import fake_agent_stores
from tests.kit.responses import SEALER

RUN, OTHER = RunId("run_1"), RunId("run_2")
_DEFINITION: Mapping[str, object] = {"url": "http://x/mcp", "headers": {"X-Key": "secret-51ac"}}
LENT = Lent({"shop": dict(_DEFINITION), "idle": {"url": "http://y/mcp"}}, OWNER)


def plan(*labels: str, is_lent: bool = True) -> Plan:
    tools = [PlannedTool(name=each, form="mcp", executor="hub", server=each) for each in labels]
    tools = [at_server(each, f"{each.server}-1a2b" if is_lent else each.server) for each in tools]
    return Plan(principal=OWNER, models=(ModelId("m"),), tools=tuple(tools))


async def test_a_run_gets_back_the_servers_that_its_tools_are_at_and_no_others() -> None:
    loans = Loans(fake_agent_stores().records, SEALER)
    await loans.keep(LOCAL_TENANT, RUN, LENT)

    assert await loans.find(LOCAL_TENANT, RUN, plan("shop")) == Lent({"shop": dict(_DEFINITION)}, OWNER)
    assert await loans.find(LOCAL_TENANT, RUN, plan("files", is_lent=False)) is None
    assert await loans.find(LOCAL_TENANT, OTHER, plan()) is None


async def test_what_is_kept_is_readable_to_nobody() -> None:
    records = fake_agent_stores().records
    await Loans(records, SEALER).keep(LOCAL_TENANT, RUN, LENT)

    body = await records.get(LOCAL_TENANT, KIND, RUN)
    assert body is not None
    assert b"secret-51ac" not in body
    assert b"http" not in body


async def test_what_is_lost_changed_or_anothers_is_told_with_the_servers_names() -> None:
    records = fake_agent_stores().records
    loans = Loans(records, SEALER)
    with pytest.raises(LarError, match=r"'shop'.* nothing is kept of them.* Send the request again"):
        await loans.find(LOCAL_TENANT, RUN, plan("shop"))

    await loans.keep(LOCAL_TENANT, RUN, LENT)
    body = await records.get(LOCAL_TENANT, KIND, RUN) or b""
    for tenant, run, stored in (
        (LOCAL_TENANT, OTHER, body),
        (TenantId("bob"), RUN, body),
        (LOCAL_TENANT, RUN, body[:-8] + b"AAAAAAAA"),
        (LOCAL_TENANT, RUN, b"\xff"),
    ):
        await records.put(tenant, KIND, run, stored)
        with pytest.raises(LarError) as told:
            await loans.find(tenant, run, plan("shop"))
        assert (told.value.fault.code, told.value.fault.param) == ("conflict", "tools")
        assert "'shop'" in told.value.fault.message


async def test_what_no_run_needs_any_more_goes() -> None:
    records = fake_agent_stores().records
    loans = Loans(records, SEALER)
    runs = [RunId(f"run_{each:04}") for each in range(450)]
    for each in runs:
        await loans.keep(LOCAL_TENANT, each, LENT)

    await loans.sweep({runs[3]})
    assert [key for _, key, _ in await records.list_records(None, KIND)] == [runs[3]]
    await loans.forget(LOCAL_TENANT, runs[3])
    await loans.forget(LOCAL_TENANT, runs[3])
    assert await records.list_records(None, KIND) == []
