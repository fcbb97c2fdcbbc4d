"""The scenes that are kept as pictures: a fake server each, and what happens before the picture is taken."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from textual.pilot import Pilot

from runtime.core.errors import Fault
from runtime.core.events import (
    BackendInstalled,
    BackendInstalling,
    ModelEvicted,
    ModelInstalling,
    ModelLoaded,
    Progress,
    RunFailed,
    RunFinished,
    RunQueued,
    RunRequested,
    RunStarted,
    SeqDelta,
    SeqFinished,
    SeqStarted,
    WorkerExited,
    WorkerSpawned,
)
from runtime.core.ids import ModelId, PrincipalId, WorkerId
from runtime.core.messages import Usage
from tests.kit.fake_source import OTHER, SMALL, FakeSource, model_state, server_state
from tests.tui import asked, laboured
from tests.tui.kit import until
from tui.agency import AgentsWanted
from tui.app import LarApp
from tui.ports import ChatFailed, ChatReasoning, ChatStarted, ChatText
from tui.talk_agents import AgentChosen
from tui.widgets.prompt import Prompt

ANSWER = """The **p95** rose because the model was *evicted* at 14:02 and had to be read again.

## What happened

1. Memory pressure passed 92 %.
2. The least recently used model left memory.

| model | evicted | read again |
|---|---|---|
| qwen2.5-0.5b | 14:02 | 4.1 s |

```python
def is_idle(model: Model, now: float) -> bool:
    return now - model.used_at > 600  # ten minutes
```

Pin it with `pool.pinned` in lar.toml.
"""


class Scene(NamedTuple):
    """A server, and what happens."""

    source: Callable[[], FakeSource]
    play: Callable[[Pilot[int], LarApp, FakeSource], Awaitable[None]]


async def ask(pilot: Pilot[int], app: LarApp, source: FakeSource, text: str) -> None:
    await until(pilot, lambda: app.view.link.phase == "live")
    app.screen.query_one(Prompt).insert(text)
    await pilot.press("enter")
    count = len(source.asked)
    await until(pilot, lambda: app.view.chat.exchanges and len(source.asked) >= count)


async def empty(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await until(pilot, lambda: app.view.link.phase == "live")


async def streaming(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await ask(pilot, app, source, "Why did the p95 rise yesterday?")
    await until(pilot, lambda: source.asked)
    source.say(ChatStarted(run_id=None), ChatReasoning(text="The journal may know."))
    await until(pilot, lambda: app.view.chat.exchanges[0].reasoning)
    advance(app, 0.8)
    for word in ANSWER.split(" "):
        source.say(ChatText(text=f"{word} "))
    await until(pilot, lambda: "lar.toml" in app.view.chat.exchanges[0].answer)
    advance(app, 0.9)
    source.say(ChatText(text="Or give it"))
    await until(pilot, lambda: app.view.chat.exchanges[0].answer.endswith("it"))
    await ask(pilot, app, source, "And how do I pin two?")


async def installing(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await until(pilot, lambda: source.installs)
    progress = Progress(phase="building llama.cpp", done=74, total=220, left_s=190)
    source.happen(ModelInstalling(model=SMALL, progress=progress))
    await ask(pilot, app, source, "Write me a haiku about home.")
    await until(pilot, lambda: app.view.models[0].progress)


async def downloading(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await until(pilot, lambda: source.installs)
    progress = Progress(
        phase="fetching the weights", done=3.1e8, total=4.91e8, unit="bytes", rate_per_s=4.2e7, left_s=4.3
    )
    source.happen(ModelInstalling(model=SMALL, progress=progress))
    await until(pilot, lambda: app.view.models[0].progress)


async def failed(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await ask(pilot, app, source, "Why did the p95 rise yesterday?")
    await until(pilot, lambda: source.asked)
    source.say(
        ChatFailed(
            code="worker_died",
            message="The process that runs qwen2.5-0.5b was killed (signal 9), most likely because memory "
            "ran out. Send the question again, or set a smaller context_tokens in lar.toml.",
        )
    )
    await until(pilot, lambda: app.view.chat.exchanges[0].trouble)


async def broken(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await until(pilot, lambda: app.view.models)


async def disconnected(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await ask(pilot, app, source, "Are you there?")
    await until(pilot, lambda: source.asked)
    source.answer("I am, and I stay on this machine.")
    await until(pilot, lambda: app.view.chat.exchanges[0].status == "done")
    app.screen.query_one(Prompt).insert("A draft that must not get lost")
    source.lose(retry_s=3.0)
    await until(pilot, lambda: app.view.link.phase == "lost")
    advance(app, 12.0)
    source.lose(retry_s=3.0)
    await until(pilot, lambda: app.view.link.retry_at == app.clock.monotonic() + 3.0)


async def stopped(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await ask(pilot, app, source, "Tell me everything.")
    await until(pilot, lambda: source.asked)
    source.say(ChatStarted(run_id=None), ChatText(text="In the beginning there was "))
    await until(pilot, lambda: app.view.chat.exchanges[0].answer)
    await pilot.press("escape")
    await until(pilot, lambda: source.closed_chats)


async def events(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    history(source)
    app.go_to("events")
    await until(pilot, lambda: len(app.view.rows) > 12)


async def filtered(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await events(pilot, app, source)
    await pilot.press("slash", *"level:bad")


async def fact(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await events(pilot, app, source)
    await pilot.press("enter")


async def home(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    history(source)
    progress = Progress(
        phase="fetching the weights", done=3.1e8, total=1.3e9, unit="bytes", rate_per_s=4.2e7, left_s=23
    )
    source.happen(ModelInstalling(model=OTHER, progress=progress))
    app.go_to("home")
    await until(pilot, lambda: any(each.progress for each in app.view.models))


async def help_(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await until(pilot, lambda: app.view.models)
    await pilot.press("f1")


async def go(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await until(pilot, lambda: app.view.models)
    await pilot.press("ctrl+g")


async def picker(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await until(pilot, lambda: app.view.models)
    await pilot.press("f5")


async def agent_picker(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await picker(pilot, app, source)
    await until(pilot, lambda: app.view.agents.agents)
    await pilot.press("end")


async def agent_asking(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await until(pilot, lambda: app.view.models)
    app.dispatch(AgentChosen(name="clerk"))
    app.dispatch(AgentsWanted())
    await ask(pilot, app, source, "Write down that tea is missing")
    await until(pilot, lambda: app.view.chat.exchanges[0].run.steps and app.view.asks.count)
    await ask(pilot, app, source, "And bread, please")
    await until(pilot, lambda: app.view.chat.exchanges[0].asides[0].is_taken)


async def agent_done(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    over = laboured.run(status="completed")
    laboured.give_run(source, over, [*laboured.steps(), *laboured.answer(ANSWER, is_error=True)])
    await until(pilot, lambda: app.view.models)
    app.dispatch(AgentChosen(name="clerk"))
    await ask(pilot, app, source, "Write down that tea is missing")
    await until(pilot, lambda: app.view.chat.exchanges[0].status == "done")


async def palette(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await until(pilot, lambda: app.view.models)
    await pilot.press("ctrl+p")
    await pilot.press(*"the")


async def approvals(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    app.go_to("approvals")
    await until(pilot, lambda: app.view.asks.count == 3)


async def approving(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await approvals(pilot, app, source)
    await pilot.press("a", "up")


async def questioned(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await approvals(pilot, app, source)
    await pilot.press("down", "down", "enter")


async def no_approvals(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    app.go_to("approvals")
    await until(pilot, lambda: app.view.asks.approvals_want.had)


async def tools(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    app.go_to("tools")
    await until(pilot, lambda: app.view.tools.servers)


async def tools_empty(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    app.go_to("tools")
    await until(pilot, lambda: app.view.tools.is_known)


async def agents(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    app.go_to("agents")
    await until(pilot, lambda: app.view.agents.is_known)
    if app.view.agents.agents:
        await pilot.press("down", "down")


async def tasked(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await agents(pilot, app, source)
    await pilot.press("enter", *"Sum up today")


async def run_waiting(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    await agents(pilot, app, source)
    await pilot.press("home", "tab", "enter")
    await until(pilot, lambda: app.view.opened.steps)


async def run_over(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    over = laboured.run(status="completed")
    laboured.give_run(source, over, [*laboured.steps(), *laboured.answer(ANSWER, is_error=True)])
    source.answers[f"POST /api/runs/{laboured.RUN}/replay"] = {"steps": 9, "is_same": True}
    await run_waiting(pilot, app, source)
    await pilot.press("R")
    await until(pilot, lambda: app.view.opened.replayed)


async def run_none(pilot: Pilot[int], app: LarApp, source: FakeSource) -> None:
    app.go_to("run")
    await until(pilot, lambda: app.view.link.phase == "live")


def advance(app: LarApp, seconds: float) -> None:
    app.clock.advance(seconds)  # type: ignore[attr-defined]  # the clock of the tests


def history(source: FakeSource) -> None:
    """Let a little of everything happen."""
    worker, at = WorkerId("wrk_01"), 1_700_000_000.0
    run, second = "run_3f9a2c01", "run_77b0de02"

    def happen(event: object, seconds: float, run_id: str | None = None) -> None:
        source.happen(event, run_id=run_id, at=at + seconds)  # type: ignore[arg-type]  # all of them are facts

    for step in range(4):
        build = Progress(phase="building llama.cpp", done=55 * (step + 1), total=220)
        happen(BackendInstalling(backend="llama.cpp-cpu", progress=build), step)
    happen(BackendInstalled(backend="llama.cpp-cpu", version="0.3.34", duration_s=231), 4)
    happen(WorkerSpawned(worker=worker, model=SMALL, engine="llama.cpp", pid=4711), 5)
    happen(ModelLoaded(model=SMALL, worker=worker, context_tokens=4096, duration_s=1.4), 6)
    for each, begin in ((run, 7.0), (second, 9.0)):
        principal = PrincipalId("owner")
        asked = RunRequested(
            model=SMALL, route="/v1/chat/completions", principal=principal, choices=1, is_stream=True
        )
        happen(asked, begin, each)
    happen(RunQueued(position=1), 9.1, second)
    happen(RunStarted(worker=worker), 9.2, run)
    happen(SeqStarted(index=0, prompt_tokens=1234), 9.3, run)
    for step in range(6):
        happen(SeqDelta(index=0, text=" and so on", tokens=20), 10 + step / 4, run)
    usage = Usage(prompt_tokens=1234, completion_tokens=120)
    finished = SeqFinished(
        index=0,
        reason="stop",
        usage=usage,
        text="and so on",
        tool_calls=(),
        first_token_s=0.31,
        duration_s=1.8,
    )
    happen(finished, 12, run)
    happen(RunFinished(usage=usage), 12, run)
    gone = WorkerExited(worker=worker, model=OTHER, returncode=-9, is_expected=False, last_words="Killed")
    happen(gone, 13)
    happen(RunFailed(code="worker_died", message="The worker was killed (signal 9)."), 13, "run_dead0003")
    happen(ModelEvicted(model=OTHER, reason="idle"), 14)
    happen(RunStarted(worker=worker), 15, second)
    happen(SeqDelta(index=0, text="Once", tokens=4), 16, second)
    happen(SeqDelta(index=0, text=" upon a time", tokens=84), 17, second)


def loaded() -> FakeSource:
    return FakeSource()


def available() -> FakeSource:
    return FakeSource(server_state(model_state(stage="available")))


def damaged() -> FakeSource:
    fault = Fault(
        code="install_failed",
        message="llama.cpp could not be built: no C++ compiler was found. Install g++ or clang, try again.",
    )
    return FakeSource(server_state(model_state(stage="broken", fault=fault)))


def several() -> FakeSource:
    bge = model_state(ModelId("bge-m3"), "installed", size_bytes=2_200_000_000, context_tokens=8192)
    return FakeSource(
        server_state(model_state(), model_state(OTHER, "available", size_bytes=1_300_000_000), bge)
    )


def asking() -> FakeSource:
    source = FakeSource()
    model = {"kind": "Model", "id": "gemma3-27b"}
    second = asked.approval("apr_2", principal="owner", action="install", arguments={}, resource=model)
    denied = asked.answered("apr_00", "denied", note="")
    asked.give(source, asked.approval(), second, over=(asked.answered(), denied))
    source.answers["GET /api/mcp/questions"] = {"questions": [asked.question()]}
    return source


def conversing() -> FakeSource:
    """Return a server whose clerk can be talked to."""
    source = laboured.staffed()
    asked.give(source, asked.approval())
    source.answers["POST /v1/conversations"] = {"id": "conv_1"}
    source.answers["POST /api/agents/clerk/runs"] = laboured.run(status="waiting", waits_for=["apr_1"])
    source.answers[f"POST /api/runs/{laboured.RUN}/steer"] = laboured.run()
    return source


def equipped() -> FakeSource:
    source = FakeSource()
    fault = "It answered 401. Log in with: lar mcp login github"
    address = "https://api.example.org/mcp"
    servers = [
        asked.server("files", waiting_tools=2),
        asked.server("github", "failed", transport="http", target=address, tools=0, fault=fault, sandbox=""),
        asked.server("recall", transport="memory", origin="internal", target="", tools=9, sandbox=""),
    ]
    source.answers["GET /api/mcp/servers"] = {"servers": servers}
    new = asked.change("list_dir", before="", now='{\n  "name": "list_dir"\n}')
    source.answers["GET /api/mcp/changes"] = {"changes": [asked.change(), new]}
    return source


SCENES: dict[str, Scene] = {
    "chat_empty": Scene(loaded, empty),
    "chat_streaming": Scene(loaded, streaming),
    "chat_installing": Scene(available, installing),
    "chat_downloading": Scene(available, downloading),
    "chat_failed": Scene(loaded, failed),
    "chat_broken": Scene(damaged, broken),
    "chat_stopped": Scene(loaded, stopped),
    "chat_agent": Scene(conversing, agent_asking),
    "chat_agent_done": Scene(conversing, agent_done),
    "picker_agents": Scene(conversing, agent_picker),
    "chat_disconnected": Scene(loaded, disconnected),
    "approvals": Scene(asking, approvals),
    "approvals_yes": Scene(asking, approving),
    "approvals_question": Scene(asking, questioned),
    "approvals_empty": Scene(FakeSource, no_approvals),
    "tools": Scene(equipped, tools),
    "tools_empty": Scene(FakeSource, tools_empty),
    "agents": Scene(laboured.staffed, agents),
    "agents_task": Scene(laboured.staffed, tasked),
    "agents_empty": Scene(FakeSource, agents),
    "run": Scene(laboured.staffed, run_waiting),
    "run_over": Scene(laboured.staffed, run_over),
    "run_none": Scene(FakeSource, run_none),
    "events": Scene(several, events),
    "events_filtered": Scene(several, filtered),
    "events_fact": Scene(several, fact),
    "home": Scene(several, home),
    "help": Scene(several, help_),
    "go": Scene(several, go),
    "picker": Scene(several, picker),
    "palette": Scene(several, palette),
}
