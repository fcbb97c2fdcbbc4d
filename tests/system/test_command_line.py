"""The `lar` command as a person types it: results on stdout, the rest on stderr, meaningful exit codes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.server import RunningServer, background_server, environment, lar, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


def test_the_version_is_told(tmp_path: Path) -> None:
    assert lar(tmp_path, "--version").stdout.startswith("lar 0.")


def test_a_prompt_is_answered_on_stdout_alone(server: RunningServer) -> None:
    answer = lar(server.home, "chat", "scripted", "[[say: hello]]")

    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "hello\n", "")


def test_a_pipe_is_a_prompt_and_adds_to_one(server: RunningServer) -> None:
    piped = lar(server.home, "chat", "scripted", stdin="[[say: from a pipe]]")
    both = lar(server.home, "chat", "scripted", "Summarise:", stdin="the text")

    assert piped.stdout == "from a pipe\n"
    assert "Summarise:" in both.stdout
    assert "the text" in both.stdout


def test_json_output_is_one_document(server: RunningServer) -> None:
    answer = json.loads(lar(server.home, "chat", "scripted", "[[say: hi]]", "--json").stdout)
    models = json.loads(lar(server.home, "models", "list", "--json").stdout)
    status = json.loads(lar(server.home, "status", "--json").stdout)

    assert (answer["content"], answer["finish_reason"]) == ("hi", "stop")
    names = [each["id"] for each in models]
    assert names == ["smollm2-135m-instruct", "all-minilm-l6-v2", "scripted"]
    assert status["running"]
    assert [_lasting(each) for each in status["state"]["models"]] == [_lasting(each) for each in models]


def _lasting(model: dict[str, object]) -> dict[str, object]:
    """What a model's state says but for its gauges and its time left, which move between two looks."""
    return {name: value for name, value in model.items() if name not in {"gauges", "leaves_in_s"}}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ["chat", "no-such-model", "hi"],
            2,
            "'no-such-model' is no model. Known: all-minilm-l6-v2, scripted, smollm2",
        ),
        (["chat", "scripted", "[[fail: broken on cue]]"], 1, "broken on cue"),
        (["chat", "scripted", "[[crash]]"], 1, "was killed by signal"),
        (["chat", "scripted", "hi", "--temperature", "9"], 1, "temperature"),
        (["models", "install", "nothing"], 4, "nothing"),
        (["models", "unload", "nothing"], 4, "nothing"),
        (["keys", "revoke", "key_none"], 2, "There is no key 'key_none'"),
        (["bogus"], 2, "invalid choice: 'bogus'"),
        (["serve", "--port", "99999"], 2, "99999 is no port"),
        (["logs", "-n", "x"], 2, "no whole number"),
    ],
)
def test_failures_are_sentences_with_an_exit_code(
    server: RunningServer, arguments: list[str], code: int, told: str
) -> None:
    failed = lar(server.home, *arguments)

    assert failed.returncode == code
    assert told in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stdout == ""


def test_an_empty_pipe_is_nothing_to_ask(server: RunningServer) -> None:
    empty = lar(server.home, "chat", "scripted", stdin="  \n")

    assert empty.returncode == 2
    assert "nothing to ask" in empty.stderr


def test_input_that_is_no_utf8_is_asked_all_the_same(server: RunningServer) -> None:
    asked = lar(server.home, "chat", "scripted", stdin=b"caf\xe9")

    assert asked.returncode == 0
    assert "caf\N{REPLACEMENT CHARACTER}" in asked.stdout


def test_the_log_is_shown_for_people_and_for_programs(server: RunningServer) -> None:
    lar(server.home, "chat", "scripted", "hi")
    people = lar(server.home, "logs", "-n", "1")
    programs = lar(server.home, "logs", "-n", "2", "--json")

    assert "answered" in people.stdout
    assert [json.loads(line)["level"] for line in programs.stdout.splitlines()] == ["info", "info"]


def test_without_a_server_commands_say_how_to_start_one(tmp_path: Path) -> None:
    for arguments in (["status"], ["stop"]):
        failed = lar(tmp_path, *arguments)
        assert failed.returncode == 3
        assert "'lar serve' starts one" in failed.stderr
    assert json.loads(lar(tmp_path, "status", "--json").stdout) == {"running": False, "home": str(tmp_path)}
    assert lar(tmp_path, "logs").returncode == 1


def test_a_wrong_setting_is_told_with_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "lar.toml").write_text("[server]\nprot = 1\n")

    failed = lar(tmp_path, "status")

    assert failed.returncode == 2
    assert f"{tmp_path / 'lar.toml'}: unknown key 'server.prot'; did you mean 'server.port'?" in failed.stderr


def test_a_home_that_cannot_be_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    inside_a_file = lar(tmp_path / "file", "serve")
    nowhere = lar(Path("/dev/null/lar"), "keys", "create")

    assert inside_a_file.returncode == 2
    assert "lar.toml: cannot be read: Not a directory" in inside_a_file.stderr
    assert nowhere.returncode != 0
    assert "Traceback" not in nowhere.stderr


def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    wishes = ("--role", "operator", "--tenant", "team-7", "--json")
    made = json.loads(lar(tmp_path, "keys", "create", "laptop", *wishes).stdout)
    (listed,) = json.loads(lar(tmp_path, "keys", "list", "--json").stdout)
    shown = lar(tmp_path, "keys", "list")
    revoked = lar(tmp_path, "keys", "revoke", listed["id"])

    assert made["secret"].startswith("lar-")
    assert (listed["name"], listed["role"], listed["tenant"]) == ("laptop", "operator", "team-7")
    assert made["secret"] not in shown.stdout
    assert revoked.returncode == 0
    assert json.loads(lar(tmp_path, "keys", "list", "--json").stdout) == []


def test_the_doctor_says_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    shown = lar(tmp_path, "doctor")
    checks = json.loads(lar(tmp_path, "doctor", "--json").stdout)

    assert {"python", "disk", "memory", "processor", "accelerators", "port"} <= {
        each["name"] for each in checks
    }
    assert all(each["fix"] for each in checks if each["verdict"] != "ok")
    assert "✔ python" in shown.stdout


def test_a_command_starts_the_server_in_the_background_and_stop_ends_it(tmp_path: Path) -> None:
    with background_server(tmp_path):
        listed = lar(tmp_path, "models", "list")
        status = json.loads(lar(tmp_path, "status", "--json").stdout)
        stopped = lar(tmp_path, "stop")

    assert listed.returncode == 0
    assert "smollm2-135m-instruct *" in listed.stdout
    assert status["running"]
    assert stopped.returncode == 0
    assert lar(tmp_path, "status").returncode == 3


def test_a_background_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("damaged")

    failed = lar(tmp_path, "models", "list")

    assert failed.returncode == 3
    assert "keys.json cannot be read" in failed.stderr


def test_without_a_terminal_lar_serves_in_the_foreground(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime"],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=20)

    assert "answers at http://127.0.0.1:" in first
    assert out.endswith("Stopped.\n")
    assert "no terminal" in errors
    assert process.returncode == 0


def test_a_reader_that_leaves_the_pipe_is_no_error(server: RunningServer) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", "chat", "scripted", "[[long: 3000]]"],
        env=environment(server.home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 10)
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()

    assert process.wait(20) == 0
    assert errors == b""
