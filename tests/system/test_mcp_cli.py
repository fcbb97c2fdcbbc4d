"""`lar mcp` against a real server process: add, list, approve, test, import, remove."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.link_stage import RAW_SERVER
from tests.kit.server import RunningServer, environment, lar, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home") / "home") as running:
        yield running


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (["ftp://mcp.example"], "'ftp://mcp.example' is no address of an MCP server"),
        (["https://mcp.example/mcp", "--env", "A=b"], "--env is for a local server"),
        (["https://mcp.example/mcp", "--no-sandbox"], "--no-sandbox is for a local server"),
        (["--header", "A=b", "--", "some-program"], "--header is for a remote server"),
        ([], "Name the server's address, or '--' and its command."),
    ],
)
def test_what_would_be_passed_over_is_refused(tmp_path: Path, told: list[str], cause: str) -> None:
    done = lar(tmp_path, "mcp", "add", "notes", *told)
    assert (done.returncode, cause in done.stderr) == (2, True), done.stderr


def test_a_server_is_added_approved_tested_and_removed(server: RunningServer) -> None:
    home = server.home
    added = lar(
        home, "mcp", "add", "raw", "--no-sandbox", "--env", "WHO=${HOME}", "--", sys.executable, RAW_SERVER
    )
    assert added.returncode == 0, added.stderr
    assert "raw: ready, 0 tools, 11 wait for approval" in added.stdout
    assert "lar mcp approve raw" in added.stderr
    written = json.loads((home / "mcp.json").read_text())["mcpServers"]["raw"]
    assert written["env"] == {"WHO": "${HOME}"}
    assert written["sandbox"] == {"enabled": False}

    refused = lar(home, "mcp", "approve", "raw", "echo")
    assert (refused.returncode, "say --yes" in refused.stderr) == (2, True)
    approved = lar(home, "mcp", "approve", "raw", "echo", "--yes")
    assert approved.returncode == 0, approved.stderr
    assert "raw · echo · new" in approved.stdout
    assert "1 approved." in approved.stderr

    (status,) = [
        each for each in json.loads(lar(home, "mcp", "list", "--json").stdout) if each["name"] == "raw"
    ]
    assert (status["tools"], status["waiting_tools"], status["origin"]) == (1, 10, "mcp.json")
    assert lar(home, "mcp", "test", "raw").returncode == 0
    tools = server.get("/api/mcp/tools").json()["tools"]
    outside = [each["full_name"] for each in tools if each["trust"] != "internal"]
    assert outside == ["mcp__raw__echo"]

    again = lar(home, "mcp", "add", "raw", "--", "x")
    assert (again.returncode, "already" in again.stderr) == (1, True)
    assert lar(home, "mcp", "remove", "raw").returncode == 0
    assert lar(home, "mcp", "test", "raw").returncode == 1
    assert json.loads((home / "mcp.json").read_text()) == {"mcpServers": {}}


def test_a_server_that_cannot_start_says_what_it_said(server: RunningServer) -> None:
    added = lar(
        server.home, "mcp", "add", "dead", "--no-sandbox", "--", sys.executable, RAW_SERVER, "refuse=die"
    )
    assert added.returncode == 1
    assert "cannot find my settings" in added.stdout
    assert lar(server.home, "mcp", "remove", "dead").returncode == 0


def test_servers_of_other_programs_are_found_and_taken_over(server: RunningServer, tmp_path: Path) -> None:
    person = tmp_path / "person"
    (person / ".cursor").mkdir(parents=True)
    definition = {"command": sys.executable, "args": [RAW_SERVER], "env": {"API_KEY": "in place"}}
    (person / ".cursor" / "mcp.json").write_text(json.dumps({"mcpServers": {"theirs": definition}}))
    where = {**environment(server.home), "HOME": str(person)}
    where.pop("XDG_CONFIG_HOME", None)

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "runtime", "mcp", *arguments]
        return subprocess.run(
            command,
            env=where,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    shown = run("import")
    assert "theirs" in shown.stdout
    assert "cursor" in shown.stdout
    taken = run("import", "theirs")
    assert taken.returncode == 0, taken.stderr
    assert "env.API_KEY holds its value in place" in taken.stderr
    assert "theirs: ready" in taken.stdout
    assert lar(server.home, "mcp", "remove", "theirs").returncode == 0
    assert run("import", "nobody").returncode == 2
    assert os.environ.get("API_KEY") is None


def test_a_mistake_is_told_before_anything_is_written(server: RunningServer) -> None:
    wrong = lar(server.home, "mcp", "add", "bad", "--env", "NOVALUE", "--", "x")
    assert (wrong.returncode, "NAME=VALUE" in wrong.stderr) == (2, True)
    nothing = lar(server.home, "mcp", "add", "bad")
    assert nothing.returncode == 2


def test_a_broken_file_of_servers_is_told_by_list_test_and_doctor(server: RunningServer) -> None:
    home = server.home
    file = home / "mcp.json"
    definition = {"command": sys.executable, "args": [RAW_SERVER], "sandbox": {"enabled": False}}
    file.write_text(json.dumps({"mcpServers": {"kept": definition}}))
    assert "kept: ready" in lar(home, "mcp", "test", "kept").stdout
    file.write_text('{\n  "mcpServers" {}\n}\n')
    where = "mcp.json: not valid JSON: Expecting ':' delimiter: line 2 column 16"

    tested = lar(home, "mcp", "test", "kept")
    assert (tested.returncode, "kept: ready" in tested.stdout) == (0, True)
    for told in (tested, lar(home, "mcp", "list")):
        assert where in told.stderr
        assert "The definitions that were read before are still in use; mend the file" in told.stderr
    assert where in lar(home, "doctor").stdout

    file.write_text(json.dumps({"mcpServers": {}}))
    listed = lar(home, "mcp", "list")
    assert ("mcp.json" in listed.stdout + listed.stderr, "kept" in listed.stdout) == (False, False)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "--file: there is no file"),
        ("no JSON", "not valid JSON"),
        ("{}", "defines no MCP servers"),
    ],
)
def test_a_file_that_gives_no_servers_is_refused(tmp_path: Path, content: str | None, cause: str) -> None:
    if content is not None:
        (tmp_path / "given.json").write_text(content)
    done = lar(tmp_path, "mcp", "import", "--file", str(tmp_path / "given.json"))
    assert (done.returncode, cause in done.stderr) == (2, True), done.stderr


def test_a_missing_file_of_cases_is_told_without_a_word_of_lars_home(tmp_path: Path) -> None:
    for given, cause in (("cases.toml", "There is no file"), ("", "cannot be read: Is a directory")):
        done = lar(tmp_path / "home", "policy", "test", str(tmp_path / given))
        assert (done.returncode, cause in done.stderr, "LAR_HOME" in done.stderr) == (2, True, False)
