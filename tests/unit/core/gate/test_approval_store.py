"""Questions to people on disk: kept whole, broken ends left out, old ones dropped."""

import stat
from pathlib import Path

import msgspec
import pytest

from runtime.core.gate.approval_rules import Asking, expire, open_approval
from runtime.core.gate.approval_store import ApprovalLog, ApprovalRecord
from runtime.core.ids import ApprovalId
from tests.kit.gate import ask_tool


def _record(number: int, *, is_over: bool = False) -> ApprovalRecord:
    approval = open_approval(
        Asking(
            id=ApprovalId(f"apr_{number}"),
            question=ask_tool(arguments={"n": number}),
            reason="why",
            policies=(),
            now=float(number),
            deadline_s=60.0,
        )
    )
    return ApprovalRecord(approval=expire(approval) if is_over else approval)


async def test_what_is_put_is_loaded_with_its_last_state(tmp_path: Path) -> None:
    log = ApprovalLog(tmp_path / "approvals.jsonl")
    assert await log.load() == []
    first, second = _record(1), _record(2)
    changed = msgspec.structs.replace(first, is_spent=True)
    for each in (first, second, changed):
        await log.put(each)

    assert await ApprovalLog(tmp_path / "approvals.jsonl").load() == [changed, second]


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "approvals.jsonl"
    await ApprovalLog(path).put(_record(1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    await ApprovalLog(path).put(_record(1, is_over=True))
    await ApprovalLog(path).load()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("cut", [1, 5, 40])
async def test_a_line_that_a_crash_cut_off_is_left_out_and_the_next_one_is_whole(
    tmp_path: Path, cut: int
) -> None:
    path = tmp_path / "approvals.jsonl"
    log = ApprovalLog(path)
    for each in (_record(1), _record(2)):
        await log.put(each)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])

    await log.put(_record(3))

    numbers = [each.approval.arguments["n"] for each in await ApprovalLog(path).load()]
    assert numbers == ([1, 2, 3] if cut == 1 else [1, 3])


async def test_old_answers_go_and_what_waits_stays(tmp_path: Path) -> None:
    path = tmp_path / "approvals.jsonl"
    log = ApprovalLog(path, most=2)
    for number in range(5):
        await log.put(_record(number, is_over=number > 0))

    kept = [each.approval.id for each in await log.load()]

    assert kept == ["apr_0", "apr_3", "apr_4"]
    assert len(path.read_text().splitlines()) == 3
    assert await log.load() == await ApprovalLog(path, most=2).load()
