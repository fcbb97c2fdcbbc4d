"""The Responses API on a real port, over fake runs that the test tells; and the parts of runs to tell."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from openai import AsyncOpenAI

from runtime.api.responses.parts import ResponseParts
from runtime.api.responses.sealing import Sealer
from runtime.core.agents.happenings import (
    AnyHappening,
    ArgumentsGrew,
    ItemBegan,
    ItemEnded,
    StatusChanged,
    TextGrew,
    TurnClosed,
    TurnOpened,
)
from runtime.core.agents.items import Called, Said, Text
from runtime.core.agents.parts import AgentParts
from runtime.core.agents.ports import NewRun
from runtime.core.agents.steps import RunEnded
from runtime.core.ids import ModelId
from runtime.core.messages import Usage
from runtime.core.minting import new_id
from tests.kit.agent_home import AgentHome, agent_home
from tests.kit.fake_agent_runs import FakeAgentRuns, Script
from tests.kit.fake_agent_store import FakeRunStore
from tests.kit.http_stage import Stage, open_stage

MODEL = ModelId("m")
Scene = AnyHappening | RunEnded
DONE = RunEnded(at=3.0, status="completed")
USAGE = Usage(prompt_tokens=7, completion_tokens=2, cached_tokens=3)


@dataclass
class ResponseStage:
    """A server and its runs."""

    http: Stage
    home: AgentHome
    runs: FakeAgentRuns
    client: AsyncOpenAI

    @property
    def url(self) -> str:
        return f"{self.http.address}/v1/responses"

    async def post(self, **body: Any) -> Any:
        """Send a request; return status and body."""
        async with self.http.http.post(self.url, json={"model": "m", **body}) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def response_stage(
    folder: Path, script: Script | None = None, **options: Any
) -> AsyncIterator[ResponseStage]:
    """Open a server; runs do what the script says, and what the test tells."""
    async with anyio.create_task_group() as tasks:
        home = agent_home(folder, tasks)
        home.runs.script = script
        agents = AgentParts(
            runs=home.runs,
            store=FakeRunStore(),
            sessions=home.sessions,
            records=home.records,
            book=home.book,
            starter=home.starter,
        )
        parts = ResponseParts(sealer=Sealer(bytes(64)))
        async with (
            open_stage(folder, agents=agents, responses=parts, **options) as stage,
            stage.openai() as client,
        ):
            yield ResponseStage(stage, home, home.runs, client)
        tasks.cancel_scope.cancel()


def begun() -> Sequence[Scene]:
    """A model has taken the run."""
    return (
        StatusChanged(status="in_progress", model=MODEL),
        TurnOpened(turn=0, model=MODEL, prompt_tokens=7),
    )


def said(text: str, place: int = 0) -> Sequence[Scene]:
    """A message, word by word."""
    message = new_id("msg_")
    empty = Said(id=message, role="assistant", parts=(Text(text=""),), status="in_progress")
    whole = Said(id=message, role="assistant", parts=(Text(text=text),), phase="final_answer")
    grown = [
        TextGrew(place=place, item_id=message, part=0, delta=each)
        for each in text.replace(" ", " \0").split("\0")
    ]
    return (ItemBegan(place=place, item=empty), *grown, ItemEnded(place=place, item=whole))


def called(name: str, arguments: str, place: int = 0, call_id: str = "call_1") -> Sequence[Scene]:
    """A call that the client is to make."""
    item = new_id("fc_")
    empty = Called(id=item, call_id=call_id, name=name, arguments="", status="in_progress")
    whole = Called(id=item, call_id=call_id, name=name, arguments=arguments)
    return (
        ItemBegan(place=place, item=empty),
        ArgumentsGrew(place=place, item_id=item, delta=arguments),
        ItemEnded(place=place, item=whole),
    )


def closed() -> Sequence[Scene]:
    """The model has ended, and so has the run."""
    return (TurnClosed(turn=0, usage=USAGE), DONE)


def answering(text: str = "Hello there") -> Script:
    """Return a script that answers at once."""

    def script(new: NewRun) -> Sequence[Scene]:
        return (*begun(), *said(text), *closed())

    return script


def calling(name: str = "look", arguments: str = "{}") -> Script:
    """Return a script that calls a tool of the client, and answers once it has the result."""

    def script(new: NewRun) -> Sequence[Scene]:
        is_answered = any(getattr(each, "call_id", None) == "call_1" for each in new.input)
        return (*begun(), *(said("It is there.") if is_answered else called(name, arguments)), *closed())

    return script
