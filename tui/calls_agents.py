"""The plain requests about agents and their runs: where they go and what comes back. Pure."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from tui.agents import AgentInfo, Replayed, RunInfo, RunStep
from tui.calls import Call

RUNS_LISTED = 200
"""The newest; `lar agents runs` has the others."""
REASON_LENGTH = 500
"""As much as the server takes."""
ITEMS_TOLD = 20
"""That a conversation takes at once."""
REPLAY_S = 60.0
"""A long run is lived again step by step."""


class AgentList(msgspec.Struct, frozen=True):
    """The agents by name."""

    agents: tuple[AgentInfo, ...]


class RunList(msgspec.Struct, frozen=True):
    """Runs, the newest first."""

    runs: tuple[RunInfo, ...]


class StepList(msgspec.Struct, frozen=True):
    """Steps of a run in their order."""

    steps: tuple[RunStep, ...]


class SessionInfo(msgspec.Struct, frozen=True):
    """A conversation on the server."""

    id: str


def list_agents() -> Call[AgentList]:
    """Ask for the agents."""
    return Call("GET", "/api/agents", AgentList)


def list_runs() -> Call[RunList]:
    """Ask for the newest runs of all agents."""
    return Call("GET", f"/api/runs?limit={RUNS_LISTED}", RunList)


def pause_agent(name: str, *, is_paused: bool) -> Call[AgentInfo]:
    """Pause an agent, or take it up again."""
    verb = "pause" if is_paused else "resume"
    return Call("POST", f"/api/agents/{quote(name, safe='')}/{verb}", AgentInfo)


def start_run(name: str, task: str) -> Call[RunInfo]:
    """Give an agent a task; it goes on when the console is gone."""
    return Call("POST", f"/api/agents/{quote(name, safe='')}/runs", RunInfo, {"input": task})


def begin_session(items: Sequence[dict[str, Any]]) -> Call[SessionInfo]:
    """Begin a conversation in which agents go on, with what was said before."""
    return Call("POST", "/v1/conversations", SessionInfo, {"items": list(items)})


def tell_session(session: str, items: Sequence[dict[str, Any]]) -> Call[None]:
    """Add to a conversation what was said outside it."""
    path = f"/v1/conversations/{quote(session, safe='')}/items"
    return Call("POST", path, type(None), {"items": list(items)})


def talk_to_agent(name: str, question: str, session: str) -> Call[RunInfo]:
    """Ask an agent in a conversation; it goes on when the console is gone."""
    body = {"input": question, "session": session}
    return Call("POST", f"/api/agents/{quote(name, safe='')}/runs", RunInfo, body)


def show_run(run: str) -> Call[RunInfo]:
    """Ask how a run stands."""
    return Call("GET", _path(run), RunInfo)


def list_steps(run: str, first: int) -> Call[StepList]:
    """Ask for the steps of a run from a place on."""
    return Call("GET", f"{_path(run)}/steps?from={first}", StepList)


def cancel_run(run: str, reason: str) -> Call[RunInfo]:
    """Stop a run; the reason may be empty."""
    body = {"reason": reason[:REASON_LENGTH]} if reason else None
    return Call("POST", f"{_path(run)}/cancel", RunInfo, body)


def steer_run(run: str, text: str) -> Call[RunInfo]:
    """Add to what a run was asked."""
    return Call("POST", f"{_path(run)}/steer", RunInfo, {"input": text})


def fork_run(run: str, after_step: int, text: str) -> Call[RunInfo]:
    """Go another way after so many steps; without a text the model is asked again."""
    body: dict[str, Any] = {"after_step": after_step} | ({"input": text} if text else {})
    return Call("POST", f"{_path(run)}/fork", RunInfo, body)


def replay_run(run: str) -> Call[Replayed]:
    """Live a run again on what was recorded."""
    return Call("POST", f"{_path(run)}/replay", Replayed, limit_s=REPLAY_S)


def _path(run: str) -> str:
    return f"/api/runs/{quote(run, safe='')}"
