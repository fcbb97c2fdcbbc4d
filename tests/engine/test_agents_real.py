"""A real agent: real MCP servers over stdio, a real collection, and the model that comes with Lar.

Where the model is too small to choose, the scripted engine is told which tools to call; all else is real.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.core.settings import DEFAULT_MODEL
from tests.kit.server import RunningServer, lar, running_server

pytestmark = pytest.mark.engine

FOLDER_SERVER = str(Path(__file__).parents[1] / "kit" / "folder_mcp_server.py")
LIMIT_S = 240.0
NOTE = "The roofer is called Silva. His number is 210 555 010."
DOCUMENT = "The roof of the house\n\nThe roof was mended in May 2024. It has a warranty of ten years.\n"
READER = """
name: reader
model: scripted
tools: [folder]
knowledge: [house]
"""
LOOKER = f"""
name: looker
model: {DEFAULT_MODEL}
instructions: You look after a folder of notes. Look into it with the tool, then answer in one sentence.
tools:
  - {{server: folder, only: [list_directory]}}
tool_choice: required
temperature: 0
limits: {{turns: 6, calls: 4, seconds: 200}}
parallel_tool_calls: false
"""


@pytest.fixture(scope="module")
def server(engine_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    root = tmp_path_factory.mktemp("agents")
    home, folder = root / "home", root / "notes"
    for each in (home / "agents", home / "policies", folder):
        each.mkdir(parents=True)
    for name in ("backends", "models"):
        (home / name).symlink_to(engine_home / name)
    (folder / "roofer.txt").write_text(NOTE)
    (root / "roof.txt").write_text(DOCUMENT)
    (home / "agents" / "reader.yaml").write_text(READER)
    (home / "agents" / "looker.yaml").write_text(LOOKER)
    (home / "policies" / "own.cedar").write_text(
        '@id("folder")\npermit (principal, action == Action::"call_tool", resource)\n'
        'when { resource.server == "folder" };\n'
    )
    (home / "lar.toml").write_text(
        f"[mcp.servers.folder]\ncommand = {sys.executable!r}\nargs = [{FOLDER_SERVER!r}, {str(folder)!r}]\n"
        "trust = true\n[mcp.servers.folder.sandbox]\nenabled = false\n"
        "[model.scripted]\ncontext_tokens = 65536\n"
    )
    with running_server(home) as running:
        added = lar(home, "recall", "add", str(root / "roof.txt"), "-c", "house")
        assert added.returncode == 0, added.stderr
        yield running


def run(server: RunningServer, agent: str, task: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a task to its end; return the run and its steps."""
    body = {"input": task, "wait_s": LIMIT_S}
    with httpx2.Client(base_url=server.address, timeout=LIMIT_S + 10) as http:
        record = http.post(f"/api/agents/{agent}/runs", json=body).json()
        steps = http.get(f"/api/runs/{record['id']}/steps").json()["steps"]
    return record, steps


def calls_of(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items = [item for step in steps if step["step"] == "turn.ended" for item in step["items"]]
    return [each for each in items if "call_id" in each]


def test_an_agent_answers_from_a_folder_and_a_collection_and_cites(server: RunningServer) -> None:
    record, steps = run(
        server,
        "reader",
        'Who mended the roof? [[call: mcp__folder__read_text_file {"path": "roofer.txt"}]]'
        '[[call: file_search {"query": "warranty of the roof"}]]',
    )

    assert record["status"] == "completed", record
    answer = next(
        part["text"] for item in reversed(steps[-2]["items"]) for part in item["parts"] if "text" in part
    )
    assert "Silva" in answer
    assert "warranty of ten years" in answer
    assert "roof.txt" in answer, "the passage does not say where it is from"
    replayed = lar(server.home, "agents", "replay", record["id"])
    assert replayed.returncode == 0, replayed.stderr


def test_a_small_model_that_must_call_calls_rightly_and_comes_to_an_end(server: RunningServer) -> None:
    begun = time.monotonic()
    record, steps = run(server, "looker", "Which files are in the folder?")

    assert record["status"] == "completed", json.dumps(steps[1:])[:4000]
    assert time.monotonic() - begun < LIMIT_S
    calls = calls_of(steps)
    assert {each["name"] for each in calls} == {"mcp__folder__list_directory"}
    assert all(isinstance(json.loads(each["arguments"]).get("path", ""), str) for each in calls)
    results = [each["result"] for each in steps if each["step"] == "call.ended"]
    assert len(results) == len(calls)
    assert results[0]["parts"][0]["text"] == "roofer.txt"
    assert record["answer"]
