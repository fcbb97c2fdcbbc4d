"""`lar agents`: definitions listed, shown, made, edited, paused, taken in and out."""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from runtime.cli.agent_runs import show_run
from runtime.cli.agents_calls import agent_path, ask, ask_text, read_text
from runtime.cli.output import EXIT_FAILED, EXIT_USAGE, CommandFailed, notice, say, say_json, say_table
from runtime.cli.recall_calls import clean, one_line
from runtime.core.agents.definition import AgentState, Trigger

_WIDTH = 60


class _Listed(msgspec.Struct):
    agents: list[AgentState]


class _Taken(msgspec.Struct):
    agent: AgentState
    notes: tuple[str, ...] = ()


def list_agents(chosen: argparse.Namespace) -> int:
    """Print the agents."""
    found: list[AgentState] = ask("GET", "/api/agents", _Listed).agents
    if chosen.json:
        say_json(found)
        return 0

    rows = [[each.agent.name, _status(each), _model(each), _starts(each), _told(each)] for each in found]
    say_table(("NAME", "STATUS", "MODEL", "STARTS", "DESCRIPTION"), rows)
    for each in found:
        for fault in each.faults:
            notice(f"{each.agent.name}: {clean(fault)}")
    return 0


def show_agent(chosen: argparse.Namespace) -> int:
    """Print an agent's definition, or a run."""
    if chosen.agent.startswith("run_"):
        return show_run(chosen.agent, is_json=chosen.json)
    if chosen.json:
        say_json(ask("GET", agent_path(chosen.agent), AgentState))
        return 0

    state: AgentState = ask("GET", agent_path(chosen.agent), AgentState)
    notice(f"# {state.agent.name}: {_status(state)}, version {state.version}")
    for fault in state.faults:
        notice(f"# {clean(fault)}")
    say(read_text(agent_path(chosen.agent, "/export")).rstrip())
    return 0


def create_agent(chosen: argparse.Namespace) -> int:
    """Make an agent from a file."""
    state: AgentState = ask_text("POST", "/api/agents", AgentState, _read(chosen.file))
    notice(f"The agent '{state.agent.name}' is there. 'lar agents run {state.agent.name} …' gives it a task.")
    _tell_faults(state)
    return 0


def import_agent(chosen: argparse.Namespace) -> int:
    """Take an agent in from somewhere else."""
    taken: _Taken = ask_text("POST", "/api/agents/import", _Taken, _read(chosen.file))
    notice(f"The agent '{taken.agent.agent.name}' is there.")
    for each in taken.notes:
        notice(f"- {clean(each)}")
    _tell_faults(taken.agent)
    return 0


def export_agent(chosen: argparse.Namespace) -> int:
    """Print an agent's file."""
    say(read_text(agent_path(chosen.agent, "/export")).rstrip())
    return 0


def edit_agent(chosen: argparse.Namespace) -> int:
    """Let a person change the file; a wrong one is told and offered again."""
    state: AgentState = ask("GET", agent_path(chosen.agent), AgentState)
    before = read_text(agent_path(chosen.agent, "/export"))
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise CommandFailed(
            "Set EDITOR to the editor of your choice, or change the file by hand.", EXIT_USAGE
        )

    with tempfile.TemporaryDirectory(prefix="lar-") as folder:
        path = Path(folder) / f"{state.agent.name}.yaml"
        path.write_text(before, encoding="utf-8")
        while True:
            _open(editor, path)
            after = path.read_text(encoding="utf-8")
            if after == before:
                notice("Nothing was changed.")
                return 0
            try:
                state = ask_text("PUT", agent_path(state.agent.name), AgentState, after, state.version)
            except CommandFailed as problem:
                if not sys.stdin.isatty() or not _wants_again(problem):
                    raise
                continue
            notice(f"'{state.agent.name}' is changed; runs that live go on as they began.")
            _tell_faults(state)
            return 0


def pause_agent(chosen: argparse.Namespace) -> int:
    """Let nothing start it."""
    ask("POST", agent_path(chosen.agent, "/pause"), AgentState)
    notice(f"'{chosen.agent}' is paused: nothing starts it. Its runs and memories stay.")
    return 0


def resume_agent(chosen: argparse.Namespace) -> int:
    """Let it be started again."""
    ask("POST", agent_path(chosen.agent, "/resume"), AgentState)
    notice(f"'{chosen.agent}' may be started again.")
    return 0


def remove_agent(chosen: argparse.Namespace) -> int:
    """Forget it."""
    ask("DELETE", agent_path(chosen.agent), type(None))
    notice(f"'{chosen.agent}' is gone; its runs stay.")
    return 0


def _open(editor: str, path: Path) -> None:
    """Let the person's own editor change the file. Raises CommandFailed."""
    try:
        subprocess.run([*shlex.split(editor), str(path)], check=True)  # noqa: S603 - the person's own editor
    except (OSError, ValueError) as problem:
        raise CommandFailed(f"The editor '{editor}' cannot be started: {problem}", EXIT_FAILED) from problem
    except subprocess.CalledProcessError as problem:
        message = f"The editor '{editor}' ended with status {problem.returncode}; nothing was changed."
        raise CommandFailed(message, EXIT_FAILED) from problem


def _wants_again(problem: CommandFailed) -> bool:
    notice(str(problem))
    try:
        return input("Edit it again? [Y/n] ").strip().lower() not in ("n", "no")
    except EOFError:
        return False


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as problem:
        raise CommandFailed(f"{file} cannot be read: {problem}", EXIT_FAILED) from problem


def _tell_faults(state: AgentState) -> None:
    for fault in state.faults:
        notice(f"It cannot run yet: {clean(fault)}")


def _status(state: AgentState) -> str:
    if state.is_paused:
        return "paused"
    return "faulty" if state.faults else "ready"


def _model(state: AgentState) -> str:
    model: Any = state.agent.model
    return (model if isinstance(model, str) else next(iter(model), "")) or "(default)"


def _starts(state: AgentState) -> str:
    return ", ".join(_start_of(each) for each in state.agent.triggers) or "by hand"


def _start_of(trigger: Trigger) -> str:
    for name in ("cron", "every", "webhook", "files", "collection", "after"):
        value = getattr(trigger, name)
        if value is not None:
            return clean(f"{name} {value}")
    return ""


def _told(state: AgentState) -> str:
    return one_line(state.agent.description, _WIDTH)
