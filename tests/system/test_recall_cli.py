"""`lar recall` as people and programs use it, against a real server process."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.server import RunningServer, lar, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["search", "-c", "none", "x"], 1, "There is no collection 'none'"),
        (["search", "x", "--filter", "bogus"], 2, "is no filter"),
        (["list", "none"], 1, "There is no collection 'none'"),
        (["show", "none"], 1, "is called 'none'"),
        (["forget", "none", "--yes"], 1, "nothing was forgotten"),
        (["jobs", "none"], 1, "There is no job 'none'"),
        (["doctor", "--restore", "latest", "--yes"], 1, "'lar stop' first"),
        (["eval", "no-such-folder"], 1, "is no folder"),
    ],
)
def test_failures_of_recall_are_sentences_with_an_exit_code(
    server: RunningServer, arguments: list[str], code: int, told: str
) -> None:
    failed = lar(server.home, "recall", *arguments)

    assert (failed.returncode, failed.stdout) == (code, "")
    assert told in failed.stderr
    assert "Traceback" not in failed.stderr


def test_without_a_server_recall_says_how_to_start_one(tmp_path: Path) -> None:
    failed = lar(tmp_path, "recall", "search", "x")
    assert failed.returncode == 3
    assert "'lar serve' starts one" in failed.stderr


def test_memory_goes_out_and_in_again(server: RunningServer, tmp_path: Path) -> None:
    item = lar(server.home, "recall", "remember", "Ana takes no sugar", "--user", "ana").stdout.strip()
    file = tmp_path / "memory.jsonl"
    out = lar(server.home, "recall", "export", str(file))
    again = lar(server.home, "recall", "export", str(file))
    unagreed = lar(server.home, "recall", "forget", item)
    gone = lar(server.home, "recall", "forget", item, "--yes", "--json")
    back = lar(server.home, "recall", "import", str(file))
    listed = json.loads(lar(server.home, "recall", "list", "--memory", "--json").stdout)

    assert (out.returncode, again.returncode, unagreed.returncode) == (0, 2, 2)
    assert json.loads(gone.stdout)["items"] == [item]
    assert back.returncode == 0
    assert [each["text"] for each in listed] == ["Ana takes no sugar"]
