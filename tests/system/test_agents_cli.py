"""`lar agents` against a real server process: every command, wrong names and files, a person."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.server import RunningServer, environment, lar, running_server

MINE = "name: mine\nmodel: scripted\ninstructions: Be brief.\ntools: [files]\n"
SETTINGS = """
[models]
default = "scripted"

[model.scripted]
context_tokens = 65536
"""
WRITE = '[[call: mcp__files__write {"path": "a.txt", "text": "hello"}]] [[then]] [[say: It is written.]]'
LIMIT_S = 30.0
LOCALAGI = {
    "name": "Old One",
    "model": "scripted",
    "system_prompt": "You help.",
    "enable_kb": False,
    "connectors": [{"type": "telegram", "config": "{}"}],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("home") / "home"
    (home / "agents").mkdir(parents=True)
    (home / "agents" / "mine.yaml").write_text(MINE)
    (home / "lar.toml").write_text(SETTINGS)
    with running_server(home) as running:
        yield running


def agents(server: RunningServer, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return lar(server.home, "agents", *words, stdin=stdin)


def run_of(server: RunningServer, task: str, *more: str) -> dict[str, str]:
    """Run a task to its end; return the run."""
    done = agents(server, "run", "mine", task, "--json", *more)
    found: dict[str, str] = json.loads(done.stdout)["run"]
    return found


def begin(server: RunningServer, task: str) -> str:
    done = agents(server, "run", "mine", task, "--background")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def status_of(server: RunningServer, run: str) -> str:
    found: str = server.get(f"/api/runs/{run}").json()["status"]
    return found


def await_status(server: RunningServer, run: str, wanted: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while status_of(server, run) != wanted:
        assert time.monotonic() < deadline, status_of(server, run)
        time.sleep(0.02)


class Terminal:
    """A command at a terminal: what it writes is read here, what is typed reaches it."""

    def __init__(self, master: int, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.text = ""
        self._master = master
        os.set_blocking(master, False)

    def read_until(self, wanted: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not re.search(wanted, self.text):
            assert time.monotonic() < deadline, self.text
            self._read()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Return the exit code; read what is left."""
        code = self.process.wait(LIMIT_S)
        self._read()
        return code

    def _read(self) -> None:
        try:
            self.text += os.read(self._master, 65536).decode(errors="replace")
        except (BlockingIOError, OSError):  # nothing is there, or the terminal is closed
            time.sleep(0.02)


@contextmanager
def terminal(home: Path, *words: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", "agents", *words],
        env=environment(home) | {"TERM": "dumb"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
        os.close(master)


def test_the_agents_that_come_with_lar_are_listed(server: RunningServer) -> None:
    done = agents(server, "list")

    assert done.returncode == 0, done.stderr
    for name in ("clerk", "digest", "mine", "researcher"):
        assert re.search(rf"^{name} ", done.stdout, re.MULTILINE)
    assert [each["agent"]["name"] for each in json.loads(agents(server, "list", "--json").stdout)] == [
        "clerk",
        "digest",
        "mine",
        "researcher",
    ]


def test_the_answer_is_the_output_and_the_calls_stand_beside_it(server: RunningServer) -> None:
    done = agents(
        server, "run", "clerk", '[[call: mcp__files__list {"path": "."}]] [[then]] [[say: Nothing.]]'
    )

    assert (done.returncode, done.stdout) == (0, "Nothing.\n")
    assert '· files.list {"path": "."}' in done.stderr


def test_a_pipe_adds_to_the_task_and_words_may_stand_behind_options(server: RunningServer) -> None:
    both = agents(server, "run", "mine", "Say", "it:", stdin="from a pipe")
    behind = agents(server, "run", "mine", "--json", "[[say:", "yes]]")

    assert both.stdout == "You said: Say it:\n\nfrom a pipe\n"
    assert json.loads(behind.stdout)["answer"] == "yes"


def test_a_file_is_run_once_and_not_kept(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "once.yaml").write_text(MINE.replace("mine", "once"))

    done = agents(server, "run", str(tmp_path / "once.yaml"), "[[say: once]]")

    assert (done.returncode, done.stdout) == (0, "once\n")
    assert agents(server, "show", "once").returncode == 1


def test_no_task_and_wrong_names_are_told(server: RunningServer) -> None:
    without = agents(server, "run", "mine")
    assert (without.returncode, "There is no task" in without.stderr) == (2, True)
    for words in (("run", "nobody", "hi"), ("show", "nobody"), ("pause", "nobody"), ("export", "nobody")):
        done = agents(server, *words)
        assert (done.returncode, "no agent 'nobody'" in done.stderr) == (1, True), done.stderr
    for action in (("show",), ("replay",), ("cancel",), ("steer", "x"), ("fork", "--after", "1")):
        done = agents(server, action[0], "run_nothing", *action[1:])
        assert (done.returncode, "no run 'run_nothing'" in done.stderr) == (1, True), done.stderr
    odd = agents(server, "run", "mine", "hi", "--nonsense")
    assert (odd.returncode, "unrecognized arguments: --nonsense" in odd.stderr) == (2, True)
    variable = agents(server, "run", "mine", "hi", "--variable", "x")
    assert (variable.returncode, "write NAME=VALUE" in variable.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "told"), [("name: a\nmodle: x\n", "Did you mean 'model'?"), ("name: [a\n", "line 2"), ("", "")]
)
def test_a_wrong_file_is_refused_and_the_place_is_told(
    server: RunningServer, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)

    for words in (("create", str(file)), ("run", str(file), "hi"), ("import", str(file))):
        done = agents(server, *words)
        assert (done.returncode, told in done.stderr) == (1, True), (words, done.stderr)
        assert "defect" not in done.stderr
        assert not done.stdout


def test_a_file_that_is_not_there_is_told(server: RunningServer, tmp_path: Path) -> None:
    for words in (("create", f"{tmp_path}/x.yaml"), ("run", f"{tmp_path}/x.yaml", "hi"), ("import", "x")):
        done = agents(server, *words)
        assert (done.returncode, "cannot be read" in done.stderr) == (1, True), done.stderr


def test_an_agent_is_made_changed_paused_taken_out_and_removed(server: RunningServer, tmp_path: Path) -> None:
    home, file, editor = server.home, tmp_path / "temp.yaml", tmp_path / "editor.py"
    file.write_text(MINE.replace("mine", "temp"))
    assert agents(server, "create", str(file)).returncode == 0
    assert "already" in agents(server, "create", "-", stdin=file.read_text()).stderr

    def edit(change: str) -> "subprocess.CompletedProcess[str]":
        editor.write_text(
            "import pathlib, sys\np = pathlib.Path(sys.argv[1])\ntext = p.read_text()\n"
            f"{change}\np.write_text(text)\n"
        )
        return subprocess.run(
            [sys.executable, "-m", "runtime", "agents", "edit", "temp"],
            env=environment(home) | {"EDITOR": f"{sys.executable} {editor}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    assert "Nothing was changed" in edit("").stderr
    changed = edit("text = text.replace('brief', 'long')")
    assert (changed.returncode, "is changed" in changed.stderr) == (0, True), changed.stderr
    wrong = edit("text += 'modle: x\\n'")
    assert (wrong.returncode, wrong.stderr.count("Did you mean 'model'?")) == (1, 1)
    broken = edit("raise SystemExit(3)")
    assert (broken.returncode, "ended with status 3" in broken.stderr) == (1, True)
    assert "Be long." in agents(server, "export", "temp").stdout

    assert agents(server, "pause", "temp").returncode == 0
    assert "lar agents resume temp" in agents(server, "run", "temp", "hi").stderr
    assert agents(server, "resume", "temp").returncode == 0
    assert agents(server, "run", "temp", "[[say: back]]").stdout == "back\n"
    assert agents(server, "remove", "temp").returncode == 0
    assert "no agent 'temp'" in agents(server, "show", "temp").stderr


def test_an_agent_of_localagi_is_taken_in_with_notes(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text(json.dumps(LOCALAGI))

    done = agents(server, "import", str(file))

    assert done.returncode == 0, done.stderr
    assert "The connector 'telegram' was left out" in done.stderr
    name = re.search(r"The agent '([^']+)' is there", done.stderr)
    assert name is not None
    assert "You help." in agents(server, "export", name[1]).stdout
    assert agents(server, "run", name[1], "[[say: here]]").stdout == "here\n"


def test_a_run_is_listed_shown_replayed_and_forked(server: RunningServer) -> None:
    run = run_of(server, '[[call: mcp__files__list {"path": "."}]] [[then]] [[say: Done.]]')["id"]

    assert run in agents(server, "runs", "mine").stdout
    assert run not in agents(server, "runs", "mine", "--status", "failed").stdout
    shown = agents(server, "show", run)
    assert shown.stdout.startswith(f"{run}: completed")
    assert "Done." in shown.stdout
    replayed = agents(server, "replay", run)
    assert (replayed.returncode, "come out the same" in replayed.stderr) == (0, True), replayed.stderr
    forked = json.loads(agents(server, "fork", run, "--after", "1", "--json", "[[say: Otherwise.]]").stdout)
    await_status(server, forked["id"], "completed")
    assert server.get(f"/api/runs/{forked['id']}").json()["answer"] == "Otherwise."


def test_a_run_is_steered_and_cancelled(server: RunningServer) -> None:
    run = begin(server, "[[slow: 200ms]] [[long: 400]]")

    steered = agents(server, "steer", run, "Only", "PDFs")
    assert (steered.returncode, "before its next turn" in steered.stderr) == (0, True), steered.stderr
    cancelled = agents(server, "cancel", run, "--reason", "enough")
    assert (cancelled.returncode, f"{run} is cancelled" in cancelled.stderr) == (0, True), cancelled.stderr
    assert status_of(server, run) == "cancelled"


def test_ctrl_c_leaves_the_run_alone_and_tells_how_to_stop_it(server: RunningServer) -> None:
    with terminal(server.home, "run", "mine", "[[slow: 100ms]] [[long: 400]]") as shown:
        shown.read_until(r"\w+ \w+")
        os.kill(shown.process.pid, signal.SIGINT)
        assert shown.end() == 130
    found = re.search(r"(run_\w+) goes on\. 'lar agents cancel", shown.text)
    assert found is not None, shown.text
    assert "Traceback" not in shown.text
    assert status_of(server, found[1]) == "in_progress"
    assert agents(server, "cancel", found[1]).returncode == 0


def test_a_call_that_needs_a_yes_is_asked_for_in_the_terminal(server: RunningServer) -> None:
    with terminal(server.home, "run", "mine", WRITE) as shown:
        shown.read_until(r"n=no\]")
        assert '"text": "hello"' in shown.text
        shown.type("what?\r")
        shown.read_until(r"n=no\](?s:.*)n=no\]")
        shown.type("y\r")
        assert shown.end() == 0
    assert "It is written." in shown.text


def test_what_an_agent_wants_that_another_one_asked_is_asked_for_here(
    server: RunningServer, tmp_path: Path
) -> None:
    task = WRITE.partition(" [[then]]")[0].replace("a.txt", "e.txt")
    for name, helper in (("boss", "mine"), ("chief", "boss")):
        file = tmp_path / f"{name}.yaml"
        file.write_text(f"name: {name}\nmodel: scripted\nhelpers: [{{agent: {helper}}}]\n")
        assert agents(server, "create", str(file)).returncode == 0
        task = f"[[call: ask_{helper} {json.dumps({'task': task})}]]"
    with terminal(server.home, "run", "chief", task) as shown:
        shown.read_until(r"n=no\]")
        assert "mine wants to call_tool mcp__files__write" in shown.text
        shown.type("y\r")
        assert shown.end() == 0
    assert '"path":"e.txt"' in shown.text


def test_a_no_reaches_the_model_as_an_error(server: RunningServer) -> None:
    with terminal(server.home, "run", "mine", WRITE.replace("a.txt", "b.txt")) as shown:
        shown.read_until(r"n=no\]")
        shown.type("n\r")
        assert shown.end() == 0
    assert re.search(r"! .*(refused|denied|not)", shown.text), shown.text


def test_ctrl_c_at_the_question_ends_the_command_and_the_run_waits(server: RunningServer) -> None:
    with terminal(server.home, "run", "mine", WRITE.replace("a.txt", "c.txt")) as shown:
        shown.read_until(r"n=no\]")
        os.kill(shown.process.pid, signal.SIGINT)
        assert shown.end() == 130
    found = re.search(r"(run_\w+) goes on", shown.text)
    assert found is not None, shown.text
    assert status_of(server, found[1]) == "waiting"
    agents(server, "cancel", found[1])


def test_nobody_to_ask_is_told_how_to_answer_and_the_command_goes_on_then(server: RunningServer) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", "agents", "run", "mine", WRITE.replace("a.txt", "d.txt")],
        env=environment(server.home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        found = re.search(r"lar approvals approve (apr_\w+)", process.stderr.readline())
        assert found is not None
        assert lar(server.home, "approvals", "approve", found[1]).returncode == 0
        out, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out) == (0, "It is written.\n")


def test_a_run_that_only_repeats_itself_is_ended_and_told(server: RunningServer) -> None:
    line = "The file is in the folder of the files. "
    done = agents(server, "run", "mine", f"[[say: {line * 90}]]")

    assert done.returncode == 1
    assert "is incomplete: the model only repeated itself" in done.stderr
