"""Agents, runs, and steps of a run, in the shape of the API's answers, for the tests of their screens."""

from typing import Any

from tests.kit.fake_source import FakeSource
from tests.tui.asked import NOW

RUN = "run_3f9a2c01"
LISTING = "GET /api/runs?limit=200"
CALL = {
    "item": "called",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "mcp__files__write",
    "arguments": '{"path":"a.md","content":"buy\u200b tea"}',
    "form": "mcp",
    "by_client": False,
    "server": "files",
    "tool": "write",
}


def agent(name: str = "clerk", **more: Any) -> dict[str, Any]:
    """Return an agent as the API lists it."""
    definition = {
        "name": name,
        "description": f"The {name} of the house.",
        "model": ["qwen2.5-0.5b", "other"],
    }
    state: dict[str, Any] = {"agent": definition | more.pop("definition", {}), "version": "v1"}
    return state | more


def run(identity: str = RUN, status: str = "in_progress", **more: Any) -> dict[str, Any]:
    """Return a run as the API lists it."""
    told: dict[str, Any] = {
        "id": identity,
        "tenant": "local",
        "principal": "owner",
        "agent": "clerk",
        "model": "qwen2.5-0.5b",
        "status": status,
        "created_at": NOW - 65,
        "turns": 2,
        "calls": 1,
        "usage": {"prompt_tokens": 1200, "completion_tokens": 34},
        "title": "Write down that tea is missing",
        "trigger": "api",
    }
    over = {"ended_at": NOW - 5} if status in ("completed", "failed", "cancelled", "incomplete") else {}
    return told | over | more


def said(text: str, role: str = "assistant", identity: str = "msg_1") -> dict[str, Any]:
    """Return a message."""
    return {"item": "said", "id": identity, "role": role, "parts": [{"type": "text", "text": text}]}


def opened(task: str = "Write down that tea is missing") -> dict[str, Any]:
    """Return a run's first step."""
    tools = [{"name": "mcp__files__write"}, {"name": "recall_search"}]
    plan = {"models": ["qwen2.5-0.5b"], "agent": "clerk", "instructions": "Be brief.\nWrite.", "tools": tools}
    asked = [said(task, "user", "msg_0")]
    return {"step": "run.opened", "at": NOW - 65, "plan": plan, "input": asked, "trigger": "api"}


def steps() -> list[dict[str, Any]]:
    """Return the steps of a run that waits for a person."""
    thought = {"item": "thought", "id": "rs_1", "text": "The person wants a note.\nI write it."}
    return [
        opened(),
        {"step": "turn.begun", "at": NOW - 64, "turn": 0, "model": "qwen2.5-0.5b", "prompt_items": 1,
         "recalled": ["mem_7"]},
        {"step": "turn.ended", "at": NOW - 60, "turn": 0, "items": [thought, CALL], "reason": "tool_calls",
         "usage": {"prompt_tokens": 600, "completion_tokens": 20}},
        {"step": "call.asked", "at": NOW - 59, "call_id": "call_1", "approval": "apr_1",
         "reason": "It writes."},
    ]  # fmt: skip


def answer(text: str = "It is written.", *, is_error: bool = False) -> list[dict[str, Any]]:
    """Return the steps that follow the approval, to the end of the run."""
    gave = "no such folder" if is_error else '{"written":true,"bytes":9}'
    result = {
        "item": "answered", "id": "fr_1", "call_id": "call_1", "is_error": is_error,
        "parts": [{"type": "text", "text": gave}],
    }  # fmt: skip
    return [
        {"step": "call.begun", "at": NOW - 40, "call_id": "call_1"},
        {"step": "call.ended", "at": NOW - 39, "result": result},
        {"step": "turn.begun", "at": NOW - 38, "turn": 1, "model": "qwen2.5-0.5b", "prompt_items": 4},
        {"step": "turn.ended", "at": NOW - 30, "turn": 1, "items": [said(text)], "reason": "stop",
         "usage": {"prompt_tokens": 600, "completion_tokens": 14}},
        {"step": "run.ended", "at": NOW - 30, "status": "completed"},
    ]  # fmt: skip


def give_run(source: FakeSource, told: dict[str, Any], found: list[dict[str, Any]]) -> None:
    """Let a server have this run with these steps, from each place on."""
    path = f"GET /api/runs/{told['id']}"
    source.answers[path] = told
    for first in range(len(found) + 1):
        source.answers[f"{path}/steps?from={first}"] = {"steps": found[first:]}


def staffed() -> FakeSource:
    """Return a server with agents and runs."""
    source = FakeSource()
    cron = {"triggers": [{"cron": "0 8 * * 1-5", "message": "Look."}]}
    source.answers["GET /api/agents"] = {
        "agents": [
            agent(),
            agent("digest", is_paused=True, definition=cron),
            agent(
                "researcher",
                faults=["There is no collection 'papers'. Make it: lar recall collections create papers"],
            ),
        ]
    }
    source.answers[LISTING] = {
        "runs": [
            run(status="waiting", waits_for=["apr_1"]),
            run("run_2", "completed", agent="digest", trigger="cron", title="Sum up what came in"),
            run(
                "run_1",
                "failed",
                agent=None,
                title="bread\u200b?",
                fault={"code": "worker_died", "message": "x"},
            ),
        ],
        "has_more": False,
    }
    give_run(source, run(status="waiting", waits_for=["apr_1"]), steps())
    return source
