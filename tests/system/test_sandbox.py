"""Real programs in real sandboxes: what they may, what they may not, and what ends them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import psutil
import pytest

from runtime.backends.sandbox.bubblewrap import Confining, find_confining
from runtime.backends.sandbox.container import LOG_BYTES, ProgramLimits
from runtime.backends.sandbox.keeper import IDLE_S, ContainerKeeper
from runtime.core.agents.hosted.code_interpreter import RanProgram
from runtime.core.errors import Conflict, NotFound, RequestInvalid
from runtime.core.ids import TenantId
from tests.kit.clock import FakeClock

TENANT = TenantId("local")
CONFINING = find_confining()
needs_sandbox = pytest.mark.skipif(CONFINING.program is None, reason=f"no sandbox here: {CONFINING.reason}")
_TEST_LIMIT_S = 30
_FORKING = "import os, time\n"


@dataclass
class Bench:
    """A keeper and one of its containers."""

    home: Path
    clock: FakeClock = field(default_factory=FakeClock)
    limits: ProgramLimits = field(default_factory=ProgramLimits)

    def __post_init__(self) -> None:
        self.keeper = ContainerKeeper(self.home, self.clock, self.limits, lambda: CONFINING)
        self.container = ""

    async def run(self, code: str) -> RanProgram:
        with anyio.fail_after(_TEST_LIMIT_S):
            return await self.keeper.run(TENANT, self.container, code)


@asynccontextmanager
async def bench(home: Path, limits: ProgramLimits | None = None, **files: Path) -> AsyncIterator[Bench]:
    made = Bench(home, limits=limits or ProgramLimits())
    made.container = await made.keeper.open(TENANT, None, files)
    try:
        yield made
    finally:
        await made.keeper.aclose()


def leftovers(home: Path) -> list[str]:
    """Return the command lines of processes that work over this home."""
    found = []
    for each in psutil.process_iter(["cmdline"]):
        words = " ".join(each.info["cmdline"] or ())
        if str(home) in words and "bwrap" in words:
            found.append(words)
    return found


@needs_sandbox
async def test_variables_and_files_stay_from_call_to_call(tmp_path: Path) -> None:
    given = tmp_path / "given.txt"
    given.write_text("4 5 6")
    async with bench(tmp_path / "home", given=given) as stage:
        first = await stage.run(
            "n = sum(map(int, open('given').read().split()))\nopen('out.txt', 'w').write('x')\nn"
        )
        second = await stage.run("print(n + 1)")

    assert (first.logs, first.is_error, first.files) == ("15", False, ("out.txt",))
    assert (second.logs, second.files) == ("16", ())
    assert list((tmp_path / "home").rglob("*")) == [tmp_path / "home" / "sandboxes"]


@needs_sandbox
async def test_a_picture_that_is_saved_is_given_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as stage:
        ran = await stage.run("open('plot.png', 'wb').write(b'\\x89PNG bytes')\nNone")

    assert ran.pictures == (("plot.png", b"\x89PNG bytes"),)


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import socket; socket.create_connection(('1.1.1.1', 53), 2)", "Network is unreachable"),
        ("open('/usr/bin/x', 'w')", "Read-only file system"),
        ("import os; os.setuid(0)", "Error"),
        ("open('/etc/shadow').read()", "No such file"),
        (
            "import os; print(sorted(os.environ)); assert 'LAR_SECRET' not in os.environ; assert 0",
            "AssertionError",
        ),
        ("import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == -1; assert 0", "AssertionError"),
        ("x = bytearray(3 * 10**9)", "MemoryError"),
        ("open('big', 'wb').truncate(100 * 2**20)", "File too large"),
        ("1 / 0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
    ],
)
async def test_what_a_program_may_not_is_an_error_that_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    monkeypatch.setenv("LAR_SECRET", "hush")
    async with bench(tmp_path) as stage:
        ran = await stage.run(code)
        after = await stage.run("print('alive')")

    assert ran.is_error
    assert told in ran.logs
    assert (after.logs, after.note) == ("alive", "")


@needs_sandbox
async def test_a_program_can_clear_away_what_was_too_much(tmp_path: Path) -> None:
    writing = (
        "for n in range(9):\n    open(str(n), 'wb').write(bytes(60 * 2**20))\nimport time; time.sleep(9)"
    )
    clearing = "import os, time; time.sleep(0.5); [os.remove(each) for each in os.listdir()]; print('clear')"
    limits = ProgramLimits(seconds=8, memory_bytes=512 * 2**20, disk_bytes=256 * 2**20)
    async with bench(tmp_path, limits) as stage:
        too_much = await stage.run(writing)
        cleared = await stage.run(clearing)
        again = await stage.run(writing)

    assert "files have" in too_much.note
    assert (cleared.is_error, cleared.note) == (False, "")
    assert cleared.logs.endswith("clear")
    assert "files have" in again.note


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("print('begun', flush=True)\nwhile True: pass", "stopped after 4 seconds"),
        (f"{_FORKING}for _ in range(99):\n    os.fork() or time.sleep(60)\ntime.sleep(60)", "processes"),
        (f"{_FORKING}os.fork()\nos.fork()\nx = b'x' * 300 * 2**20\ntime.sleep(60)\n", "MiB of memory"),
        (
            f"{_FORKING}for n in range(9):\n    open(str(n), 'wb').write(bytes(60 * 2**20))\ntime.sleep(9)",
            "files have",
        ),
        ("import os; os._exit(3)", "ended the interpreter"),
        ("import os, signal; os.kill(1, 9); os.kill(os.getpid(), 9)", "ended the interpreter"),
    ],
)
async def test_a_program_that_takes_too_much_is_killed_with_its_children(
    tmp_path: Path, code: str, told: str
) -> None:
    limits = ProgramLimits(seconds=4, memory_bytes=512 * 2**20, disk_bytes=256 * 2**20)
    async with bench(tmp_path, limits) as stage:
        ran = await stage.run(code)
        assert leftovers(tmp_path) == []
        after = await stage.run("print('anew')")

    assert ran.is_error
    assert told in ran.note
    assert after.logs.endswith("anew")
    assert "begun anew" in after.logs
    assert leftovers(tmp_path) == []


@needs_sandbox
async def test_what_is_printed_is_kept_to_its_limit_and_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    async with bench(tmp_path / "home") as stage:
        flood = await stage.run("print('y' * 2_000_000)")
        linked = await stage.run(f"import os; os.symlink({str(secret)!r}, 'a.png'); os.mkfifo('b.png')")
        moved = await stage.run(f"os.remove('/io/log'); os.symlink({str(secret)!r}, '/io/log')")

    assert len(flood.logs) < LOG_BYTES + 100
    assert flood.logs.endswith("KiB are kept]")
    assert (linked.pictures, linked.files) == ((), ())
    assert "secret" not in moved.logs


@needs_sandbox
async def test_a_caller_that_leaves_leaves_no_program_behind(tmp_path: Path) -> None:
    async with bench(tmp_path) as stage:
        with anyio.move_on_after(0.5) as left:
            await stage.run("while True: pass")
        assert left.cancelled_caught
        assert leftovers(tmp_path) == []


@needs_sandbox
async def test_what_a_program_leaves_behind_is_ended_and_the_interpreter_rests(tmp_path: Path) -> None:
    leaving = "import os, threading, time\nfor _ in range(5):\n    os.fork() or time.sleep(60)\n"
    counting = (
        "n = 0\ndef count():\n    global n\n    while True:\n        n += 1\n        time.sleep(0.001)\n"
    )
    listing = (
        "from glob import glob\nfound = glob('/proc/[0-9]*/stat')\n"
        "states = [open(each).read().split()[2] for each in found]\n"
        "print(n, len([each for each in states if each != 'Z']))"
    )
    async with bench(tmp_path) as stage:
        await stage.run(leaving + counting + "threading.Thread(target=count, daemon=True).start()")
        counted = [int((await stage.run("n")).logs) for _ in range(2)]
        await anyio.sleep(3)
        last, processes = map(int, (await stage.run(listing)).logs.split())

    at_once, after_a_while = counted[1] - counted[0], last - counted[1]
    assert after_a_while < at_once + 500, "it counts about 1000 in a second, and only while a program runs"
    assert processes <= 3


@needs_sandbox
async def test_containers_are_their_tenants_and_end_some_time_after_their_last_use(tmp_path: Path) -> None:
    async with bench(tmp_path) as stage:
        with pytest.raises(NotFound):
            await stage.keeper.run(TenantId("other"), stage.container, "1")
        assert await stage.keeper.open(TENANT, stage.container, {}) == stage.container
        stage.clock.advance(IDLE_S + 1)
        await stage.keeper.open(TENANT, None, {})
        with pytest.raises(NotFound, match="20 minutes"):
            await stage.run("1")
        for _ in range(15):
            await stage.keeper.open(TENANT, None, {})
        with pytest.raises(Conflict):
            await stage.keeper.open(TENANT, None, {})


async def test_a_machine_without_bubblewrap_says_so(tmp_path: Path) -> None:
    keeper = ContainerKeeper(
        tmp_path, FakeClock(), find=lambda: Confining(None, "bubblewrap is not installed")
    )

    assert await keeper.missing() == "bubblewrap is not installed"
    with pytest.raises(RequestInvalid) as refused:
        await keeper.open(TENANT, None, {})
    assert refused.value.fault.code == "unsupported_parameter"
