"""Links to real server processes: what breaks, hangs or floods, and what is left behind."""

import json
import os
import signal
import sys
from pathlib import Path

import anyio
import psutil
import pytest

from runtime.core.settings import McpSandbox, McpServer
from runtime.mcp.link import Link
from runtime.mcp.link_words import LinkCall, LinkFailed
from tests.kit.link_stage import is_gone, link_to, open_link, raw_server, seen_by, until


async def ask(link: Link, tool: str, limit_s: float = 10.0, **arguments: object) -> str:
    result = await link.call(LinkCall(tool=tool, arguments=dict(arguments), limit_s=limit_s))
    return "".join(getattr(each, "text", "") for each in result.content)


def offer(folder: Path, definitions: str) -> Path:
    path = folder / "tools.json"
    path.write_text(definitions)
    return path


def kept_logs(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("raw.log*")}


async def test_a_server_is_started_when_it_is_first_needed_and_listed_page_by_page(tmp_path: Path) -> None:
    async with open_link(tmp_path, raw_server(f"state={tmp_path}")) as (link, listener):
        assert (link.status, seen_by(tmp_path)) == ("idle", [])

        with anyio.fail_after(10):
            assert await ask(link, "echo", text="hello") == "hello"

        assert link.status == "ready"
        assert len(listener.tools) == 11
    assert listener.told == ["opened", "closed"]


async def test_many_tasks_call_side_by_side_within_the_servers_limit(tmp_path: Path) -> None:
    answers: list[str] = []
    async with open_link(tmp_path, raw_server(), concurrency=4) as (link, _):
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for number in range(24):

                    async def one(number: int = number) -> None:
                        answers.append(await ask(link, "echo", text=str(number)))

                    tasks.start_soon(one)
    assert sorted(answers, key=int) == [str(number) for number in range(24)]


async def test_a_crash_in_mid_call_is_told_and_the_next_call_has_a_new_server(tmp_path: Path) -> None:
    async with open_link(tmp_path, raw_server(f"state={tmp_path}")) as (link, listener):
        with (
            anyio.fail_after(20),
            pytest.raises(LinkFailed, match="not known whether the tool has run") as told,
        ):
            await ask(link, "crash")
        assert told.value.code == "unreachable"

        with anyio.fail_after(20):
            assert await ask(link, "echo", text="again") == "again"
    assert seen_by(tmp_path).count("crash") == 1
    assert listener.told[0] == "opened"
    assert listener.told[1].startswith("lost")
    assert link.restarts == 1


async def test_a_repeatable_call_is_sent_once_more_after_a_crash(tmp_path: Path) -> None:
    async with open_link(tmp_path, raw_server(f"state={tmp_path}")) as (link, _):
        call = LinkCall(tool="crash", arguments={}, limit_s=20, is_repeatable=True)
        with anyio.fail_after(30), pytest.raises(LinkFailed):
            await link.call(call)
    assert seen_by(tmp_path).count("crash") == 2


async def test_a_hanging_call_ends_at_its_limit_and_the_server_is_told(tmp_path: Path) -> None:
    async with open_link(tmp_path, raw_server(f"state={tmp_path}")) as (link, _):
        with anyio.fail_after(20):
            await ask(link, "echo", text="warm")
            with pytest.raises(LinkFailed) as told:
                await ask(link, "hang", limit_s=0.3)
            assert told.value.code == "timeout"
            await until(lambda: "cancelled" in seen_by(tmp_path))
            assert await ask(link, "echo", text="alive") == "alive"
    assert link.restarts == 0


async def test_cancelling_a_call_cancels_it_at_the_server(tmp_path: Path) -> None:
    async with open_link(tmp_path, raw_server(f"state={tmp_path}")) as (link, _):
        with anyio.fail_after(20):
            await ask(link, "echo", text="warm")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, link, "hang")
                await until(lambda: "hang" in seen_by(tmp_path))
                tasks.cancel_scope.cancel()
            await until(lambda: "cancelled" in seen_by(tmp_path))


async def test_a_server_that_never_answers_fails_at_the_connect_limit(tmp_path: Path) -> None:
    async with open_link(tmp_path, raw_server("refuse=connect"), connect_s=0.5) as (link, _):
        with anyio.fail_after(20), pytest.raises(LinkFailed, match=r"did not answer within 0\.5 s"):
            await ask(link, "echo")


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    async with open_link(tmp_path, McpServer(command="no-such-program")) as (link, _):
        with (
            anyio.fail_after(20),
            pytest.raises(LinkFailed, match="there is no program or folder 'no-such-program'"),
        ):
            await ask(link, "echo")


async def test_an_answer_that_floods_fails_alone_and_costs_no_memory(tmp_path: Path) -> None:
    async with open_link(tmp_path, raw_server(max_result_bytes=1024)) as (link, _):
        with anyio.fail_after(60):
            await ask(link, "echo", text="warm")
            before = psutil.Process().memory_info().rss
            with pytest.raises(LinkFailed) as told:
                await ask(link, "flood", limit_s=50, count=200_000_000)
            assert told.value.code == "too_large"
            assert psutil.Process().memory_info().rss - before < 50_000_000
            assert await ask(link, "echo", text="alive") == "alive"
    assert link.restarts == 0


async def test_a_grandchild_with_a_session_of_its_own_is_reaped(tmp_path: Path) -> None:
    async with open_link(tmp_path, raw_server()) as (link, _):
        with anyio.fail_after(20):
            grandchild = int(await ask(link, "spawn"))
        assert psutil.pid_exists(grandchild)
    await until(lambda: is_gone(grandchild))


async def test_stderr_is_kept_capped_and_rotated(tmp_path: Path) -> None:
    async with open_link(tmp_path, raw_server()) as (link, _):
        with anyio.fail_after(20):
            for _ in range(5):
                await ask(link, "noise", count=3000)
    kept = kept_logs(tmp_path)
    assert set(kept) == {"raw.log", "raw.log.1"}
    assert max(map(len, kept.values())) <= 4096
    assert "a print that is no protocol" in "".join(kept.values())


async def test_a_server_sees_nothing_of_the_environment_but_what_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "hidden")
    monkeypatch.setenv("MY_TOKEN", "granted")
    async with open_link(tmp_path, raw_server(env={"TOKEN": "${MY_TOKEN}"})) as (link, _):
        with anyio.fail_after(20):
            environment = json.loads(await ask(link, "environment"))
    assert environment["TOKEN"] == "granted"
    assert "hidden" not in environment.values()
    assert environment["PATH"] == os.environ["PATH"]


async def test_a_missing_secret_is_told_with_server_and_field(tmp_path: Path) -> None:
    async with open_link(tmp_path, raw_server(env={"TOKEN": "${NOT_SET_ANYWHERE}"})) as (link, _):
        with (
            anyio.fail_after(20),
            pytest.raises(LinkFailed, match=r"raw: env\.TOKEN: .*NOT_SET_ANYWHERE is not set"),
        ):
            await ask(link, "echo")


async def test_a_changed_list_is_read_again(tmp_path: Path) -> None:
    offered = offer(tmp_path, "[]")
    async with open_link(tmp_path, raw_server(f"tools={offered}")) as (link, listener):
        with anyio.fail_after(20):
            await ask(link, "echo", text="warm")
            offer(tmp_path, json.dumps([{"name": "later", "inputSchema": {"type": "object"}}]))
            await listener.changed.wait()
    assert "later" in listener.tools


async def test_six_servers_closed_in_any_order_under_load_leave_nothing_behind(tmp_path: Path) -> None:
    pairs = [link_to(tmp_path, raw_server(f"state={tmp_path}"), name=f"s{number}") for number in range(6)]
    links = [link for link, _ in pairs]
    outcomes: list[str] = []
    ends: list[str] = []
    before = psutil.Process().num_fds()

    async def load(link: Link) -> None:
        while True:
            try:
                outcomes.append(await ask(link, "slow", count=20))
            except LinkFailed as problem:
                ends.append(problem.code)
                return

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for link in links:
                tasks.start_soon(link.run)
                tasks.start_soon(load, link)
                tasks.start_soon(load, link)
            await until(lambda: {link.status for link in links} == {"ready"} and len(outcomes) >= 12)
            for number in (3, 0, 5, 1, 4, 2):
                links[number].stop()
            for link in links:
                await link.ended.wait()
    started = [int(line.split()[1]) for line in seen_by(tmp_path) if line.startswith("start ")]
    assert len(started) == 6
    assert ends == ["unreachable"] * 12
    assert not [pid for pid in started if not is_gone(pid)]
    assert psutil.Process().num_fds() <= before + 1  # a selector of the loop's own may have come
    assert all(listener.told[-1] == "closed" for _, listener in pairs)


async def failure_of(folder: Path, server: McpServer) -> str:
    async with open_link(folder, server) as (link, _):
        with anyio.fail_after(20), pytest.raises(LinkFailed) as told:
            await ask(link, "echo")
        return str(told.value)


async def test_a_program_that_ends_at_once_is_told_with_its_exit_code_and_the_fix(tmp_path: Path) -> None:
    free = McpSandbox(enabled=False)
    silent = await failure_of(tmp_path, McpServer(command="true", sandbox=free))
    assert "its program ended with exit code 0 before it spoke MCP (run its command in a terminal" in silent

    loud = await failure_of(tmp_path, raw_server("refuse=die"))
    assert "its program ended with exit code 1 before it spoke MCP" in loud
    assert "it said: cannot find my settings" in loud


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
async def test_a_server_killed_in_mid_call_is_told_with_the_signal(
    tmp_path: Path, kind: signal.Signals
) -> None:
    async with open_link(tmp_path, raw_server(f"state={tmp_path}")) as (link, listener):
        with anyio.fail_after(20):
            await ask(link, "echo", text="warm")
            process = int(seen_by(tmp_path)[0].split()[1])

            async def kill() -> None:
                await until(lambda: "hang" in seen_by(tmp_path))
                os.kill(process, kind)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kill)
                with pytest.raises(LinkFailed) as told:
                    await ask(link, "hang")
            await until(lambda: len(listener.told) >= 2)
    assert f"its program was killed by {kind.name}" in str(told.value)
    assert "not known whether the tool has run" in str(told.value)
    assert listener.told[1].startswith(f"lost: its program was killed by {kind.name}")


async def test_a_server_that_closes_its_output_but_lives_on_is_told_and_ended(tmp_path: Path) -> None:
    script = "import os, time; os.close(1); print('so long', file=__import__('sys').stderr); time.sleep(600)"
    server = McpServer(command=sys.executable, args=("-c", script), sandbox=McpSandbox(enabled=False))
    told = await failure_of(tmp_path, server)
    assert "its program has closed its output before it spoke MCP" in told
    await until(lambda: not [each for each in psutil.Process().children() if "600" in each.cmdline()[-1:]])
