"""Local servers under bubblewrap: what they can still see, change and reach."""

import json
import sys
from pathlib import Path

import pytest

from runtime.core.settings import McpSandbox, McpServer
from runtime.mcp.sandbox import Confinement, describe, find_confinement
from tests.kit.hub_stage import HubStage, open_stage
from tests.kit.link_stage import RAW_SERVER, is_gone, raw_server, until

CONFINEMENT = find_confinement()
needs_bubblewrap = pytest.mark.skipif(CONFINEMENT.program is None, reason=f"no sandbox: {CONFINEMENT.reason}")


def confined(**grants: object) -> McpServer:
    return raw_server(trust=True, sandbox=McpSandbox(**grants))  # type: ignore[arg-type]  # as the test says


async def touch(stage: HubStage, path: Path) -> bool:
    result = await stage.call("mcp__raw__touch", text=str(path))
    return not result.is_error


@needs_bubblewrap
async def test_a_confined_server_works_and_writes_nowhere_but_where_it_may(tmp_path: Path) -> None:
    home, granted, other = tmp_path / "home", tmp_path / "granted", tmp_path / "other"
    for folder in (home, granted, other):
        folder.mkdir()
    async with open_stage(home, {"raw": confined(write=(str(granted),))}) as stage:
        assert await stage.say("mcp__raw__echo", text="hello") == "hello"
        assert await touch(stage, granted / "yes.txt")
        assert not await touch(stage, other / "no.txt")
        assert not await touch(stage, home / "no.txt")
        assert not await touch(stage, Path(RAW_SERVER))
        assert await touch(stage, Path.home() / "only-in-memory.txt")
        (status,) = stage.hub.servers()
    assert (granted / "yes.txt").read_text() == "touched"
    assert not (Path.home() / "only-in-memory.txt").exists()
    assert status.sandbox == f"bubblewrap, no network, writes {granted}"


@needs_bubblewrap
@pytest.mark.parametrize("has_network", [False, True])
async def test_a_confined_server_has_no_network_unless_granted(tmp_path: Path, has_network: bool) -> None:
    async with open_stage(tmp_path, {"raw": confined(network=has_network)}) as stage:
        interfaces = json.loads(await stage.say("mcp__raw__interfaces"))
    assert interfaces == (own_interfaces() if has_network else ["lo"])


@needs_bubblewrap
async def test_what_a_confined_server_starts_ends_with_it(tmp_path: Path) -> None:
    before = set(sleepers())
    async with open_stage(tmp_path, {"raw": confined()}) as stage:
        await stage.say("mcp__raw__spawn")
        await until(lambda: bool(set(sleepers()) - before))
        started = set(sleepers()) - before
    await until(lambda: all(map(is_gone, started)))


def own_interfaces() -> list[str]:
    return [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]


def sleepers() -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if (folder / "cmdline").read_bytes() == b"sleep\x00600\x00":
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


async def test_a_server_that_is_not_confined_says_why(tmp_path: Path) -> None:
    async with open_stage(tmp_path, {"raw": raw_server()}) as stage:
        (status,) = stage.hub.servers()
    assert status.sandbox == "not confined: its definition says so"
    missing = Confinement(None, "bubblewrap is not installed")
    assert describe(McpSandbox(), missing) == "not confined: bubblewrap is not installed"
    assert sys.platform == "linux" or CONFINEMENT.program is None
