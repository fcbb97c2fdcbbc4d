"""`lar agents run`: a task for an agent; its answer as it comes, its calls on stderr, its questions here."""

import argparse
import sys
from pathlib import Path
from typing import Any

import anyio
import msgspec
import yaml

from runtime.api.client import LarClient, ServerRefused
from runtime.cli.agents_calls import agent_path, run_path
from runtime.cli.calls import call_server
from runtime.cli.launcher import ensure_server
from runtime.cli.output import EXIT_FAILED, EXIT_USAGE, CommandFailed, notice, say, say_json, stream
from runtime.cli.place import find_place
from runtime.cli.recall_calls import clean, one_line
from runtime.core.agents.happenings import (
    AnyHappening,
    CallMoved,
    ItemBegan,
    ItemEnded,
    RunOver,
    StatusChanged,
    TextGrew,
    ThoughtGrew,
)
from runtime.core.agents.items import Answered, Called, Said
from runtime.core.agents.steps import RunRecord
from runtime.core.gate.words import Answer, Approval, Scope
from runtime.core.ids import RunId

_SILENCE_S = 60.0
_WIDTH = 100
_JSON = {"Content-Type": "application/json"}
_REASONS = {
    "max_output_tokens": "the model wrote more than a turn may give (max_output_tokens, agents.turn_tokens)",
    "repetition": "the model only repeated itself",
    "loop": "it made the same call with the same result over and over",
    "turns": "it has taken all the turns that it may (limits.turns)",
    "calls": "it has made all the calls that it may (limits.calls)",
    "tokens": "it has used all the tokens that it may (limits.tokens)",
    "seconds": "it has taken all the time that it may (limits.seconds)",
}
_SCOPES: dict[str, Scope] = {"y": "call", "a": "arguments", "t": "tool", "s": "session", "f": "forever"}


class _Approvals(msgspec.Struct):
    approvals: list[Approval]


def run_agent(chosen: argparse.Namespace) -> int:
    """Give an agent a task."""
    task = _task(chosen.task)
    path, body = _request(chosen.agent, task, chosen)
    server = ensure_server(find_place())
    sent = msgspec.json.encode(body | {"background": True})

    async def begin(client: LarClient) -> RunRecord:
        return await client.ask("POST", path, RunRecord, data=sent, headers=_JSON)

    record = call_server(server, begin)
    if chosen.background:
        say_json(record) if chosen.json else say(record.id)
        return 0

    view = _View(record.id, is_json=chosen.json, shows_thoughts=chosen.thoughts)

    async def follow(client: LarClient) -> None:
        async for data in client.happenings("GET", run_path(record.id, "/stream"), None, _SILENCE_S):
            await view.show(msgspec.json.decode(data, type=AnyHappening), client)

    try:
        call_server(server, follow)
    except KeyboardInterrupt:
        notice(f"\n{record.id} goes on. 'lar agents cancel {record.id}' stops it.")
        raise
    return view.finish()


class _View:
    """What has been shown of a run."""

    def __init__(self, run: RunId, *, is_json: bool, shows_thoughts: bool) -> None:
        self._run = run
        self._is_json = is_json
        self._shows_thoughts = shows_thoughts
        self._is_in_line = False
        self._record: RunRecord | None = None
        self._answer: list[str] = []
        self._asked: set[str] = set()
        self._runs: dict[RunId, RunRecord] = {}

    async def show(self, told: AnyHappening, client: LarClient) -> None:
        """Show a happening; where the run waits for the person, ask."""
        match told:
            case RunOver():
                self._record = told.record
            case TextGrew():
                self._answer.append(told.delta)
                if not self._is_json:
                    stream(clean(told.delta))
                    self._is_in_line = not told.delta.endswith("\n")
            case ThoughtGrew() if self._shows_thoughts:
                sys.stderr.write(clean(told.delta))
            case ItemBegan(item=Said()):
                self._answer.clear()
            case ItemEnded():
                self._ended(told)
            case CallMoved(stage="asked") | StatusChanged(status="waiting"):
                await self._ask(client)
            case _:
                pass

    def finish(self) -> int:
        """Print what comes last; the exit code says whether the task was done."""
        self._break_line()
        record = self._record
        if record is None:
            raise CommandFailed(
                f"The connection ended before the run did. 'lar agents show {self._run}' shows it.",
                EXIT_FAILED,
            )
        if self._is_json:
            say_json({"run": record, "answer": "".join(self._answer)})
        elif record.status != "completed":
            notice(f"✖ {record.id} is {record.status}: {clean(_why(record))}")
        return 0 if record.status == "completed" else EXIT_FAILED

    def _ended(self, told: ItemEnded) -> None:
        self._break_line()
        if isinstance(told.item, Called):
            notice(f"· {clean(_name_of(told.item))} {one_line(told.item.arguments, _WIDTH)}")
            if isinstance(told.result, Answered):
                sign = "! " if told.result.is_error else "  "
                notice(f"{sign}{one_line(told.result.text, _WIDTH)}")

    def _break_line(self) -> None:
        if self._is_in_line:
            say()
            self._is_in_line = False

    async def _ask(self, client: LarClient) -> None:
        """Ask the person about every question that this run waits for."""
        found = await client.ask("GET", "/api/approvals?status=pending", _Approvals)
        for each in found.approvals:
            if each.id in self._asked or not await self._is_mine(each, client):
                continue
            self._asked.add(each.id)
            self._break_line()
            answer = None
            if sys.stdin.isatty():
                asker = self._runs.get(each.run) if each.run is not None else None
                answer = await _answer_of(each, "It" if asker is None else asker.agent or asker.id)
            if answer is None:
                notice(f"It waits for an approval: lar approvals approve {each.id}")
                continue
            path = f"/api/approvals/{each.id}/answer"
            try:
                await client.ask("POST", path, Approval, data=msgspec.json.encode(answer), headers=_JSON)
            except ServerRefused as problem:  # somebody else was quicker, or it has expired
                notice(clean(str(problem)))

    async def _is_mine(self, approval: Approval, client: LarClient) -> bool:
        """Whether this run asked, or one that it called for."""
        run = approval.run
        while run is not None and run != self._run:
            if run not in self._runs:
                try:
                    self._runs[run] = await client.ask("GET", run_path(run), RunRecord)
                except ServerRefused:  # forgotten meanwhile, or not to be seen
                    return False
            run = self._runs[run].parent
        return run is not None


def _name_of(called: Called) -> str:
    """Return a call's tool as people say it."""
    return f"{called.server}.{called.tool}" if called.server and called.tool else called.name


def _why(record: RunRecord) -> str:
    """Return in words why a run has not done its task."""
    if record.fault is not None:
        return record.fault.message
    return _REASONS.get(record.reason, record.reason)


async def _answer_of(approval: Approval, asker: str) -> Answer | None:
    """Ask in the terminal; None where the person leaves it open."""
    notice(f"\n{clean(asker)} wants to {approval.action} {clean(approval.resource.id)}")
    if approval.arguments:
        notice(clean(msgspec.json.format(msgspec.json.encode(approval.arguments), indent=2).decode()))
    notice(clean(approval.reason))
    letters = [letter for letter, scope in _SCOPES.items() if scope in approval.scopes]
    told = {"y": "yes", "a": "these arguments", "t": "this tool", "s": "this session", "f": "for ever"}
    choices = ", ".join(f"{letter}={told[letter]}" for letter in letters)
    while True:
        sys.stderr.write(f"[{choices}, n=no] ")
        sys.stderr.flush()
        await anyio.wait_readable(sys.stdin)  # no thread that reads: Ctrl-C must end the command at once
        line = sys.stdin.readline()
        if not line:
            notice("")
            return None
        said = line.strip().lower()[:1]
        if said in letters:
            return Answer(is_approved=True, scope=_SCOPES[said])
        if said == "n":
            return Answer(is_approved=False)


def _request(agent: str, task: str, chosen: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    variables: dict[str, str] = {}
    for each in chosen.variable:
        name, sign, value = each.partition("=")
        if not sign:
            raise CommandFailed(f"--variable {each}: write NAME=VALUE.", EXIT_USAGE)
        variables[name] = value
    body: dict[str, Any] = {"input": task, "variables": variables}
    if chosen.session:
        body["session"] = chosen.session
    file = Path(agent)
    if file.suffix in (".yaml", ".yml", ".json") or "/" in agent:
        try:
            told = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeError, yaml.YAMLError) as problem:
            raise CommandFailed(f"{agent} cannot be read: {problem}", EXIT_FAILED) from problem
        return "/api/runs", body | {"definition": told}
    return agent_path(agent, "/runs"), body


def _task(words: list[str]) -> str:
    parts = [" ".join(words)] if words else []
    if not sys.stdin.isatty():
        parts.append(sys.stdin.read())
    task = "\n\n".join(each for each in parts if each.strip())
    if not task:
        raise CommandFailed(
            'There is no task. Write it behind the name: lar agents run clerk "…"', EXIT_USAGE
        )
    return task
