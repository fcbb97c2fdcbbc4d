"""A server in memory behind `tui.ports.Source`: tests say what comes, and see what was asked."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, NamedTuple, TypeVar

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectSendStream

from runtime.core.events import Envelope, Event
from runtime.core.ids import ModelId, RunId
from runtime.core.messages import Message, Usage
from runtime.core.states import ModelStage, ModelState, ServerState
from tui.agents import RunHappening
from tui.calls import Call
from tui.ports import ChatDone, ChatFailed, ChatPiece, ChatStarted, ChatText, FeedItem, LinkLost, Refused

SMALL = ModelId("qwen2.5-0.5b")
OTHER = ModelId("llama-3.2-1b")


def model_state(model: ModelId = SMALL, stage: ModelStage = "loaded", **more: object) -> ModelState:
    """Return a model as the server would show it."""
    facts: dict[str, object] = {
        "id": model,
        "engine": "llama.cpp",
        "stage": stage,
        "is_default": model == SMALL,
        "size_bytes": 491_000_000,
        "licence": "Apache-2.0",
        "context_tokens": 4096,
    }
    return ModelState(**(facts | more))  # type: ignore[arg-type]  # fields by name, checked by msgspec's use


def server_state(*models: ModelState, seq: int = 10) -> ServerState:
    """Return a server with these models, or with the small one loaded."""
    return ServerState(
        version="0.1.0",
        address="http://127.0.0.1:8080",
        started_at=1_700_000_000.0 - 4000,
        seq=seq,
        models=models or (model_state(),),
    )


T = TypeVar("T")


class AskedChat(NamedTuple):
    """One call of `chat`."""

    messages: tuple[Message, ...]
    model: ModelId


class FakeSource:
    """Fulfils `tui.ports.Source`. What is fed stays in order; each chat reads from a stream of its own."""

    def __init__(self, current: ServerState | None = None) -> None:
        self.current = current or server_state()
        self.seq = self.current.seq
        self.asked: list[AskedChat] = []
        self.installs: list[ModelId] = []
        self.unloads: list[ModelId] = []
        self.closed_chats = 0
        self.is_closed = False
        self.refusal: Refused | None = None
        self.answers: dict[str, Any] = {
            "GET /api/approvals": {"approvals": []},
            "GET /api/approvals?status=pending": {"approvals": []},
            "GET /api/mcp/questions": {"questions": []},
            "GET /api/mcp/servers": {"servers": []},
            "GET /api/mcp/changes": {"changes": []},
            "GET /api/agents": {"agents": []},
            "GET /api/runs?limit=200": {"runs": []},
        }
        """What `ask` gives by method and path; a Refused is raised."""
        self.calls: list[Call[Any]] = []
        self._items, self._items_out = anyio.create_memory_object_stream[FeedItem](1000)
        self.followed: list[str] = []
        self._happenings, self._happenings_out = anyio.create_memory_object_stream[
            tuple[int, RunHappening] | LinkLost
        ](1000)
        self._chats: list[MemoryObjectSendStream[ChatPiece]] = []

    async def state(self) -> ServerState:
        return self.current

    async def events(self, after: int | None) -> AsyncGenerator[FeedItem, None]:
        yield self.current
        async for item in self._items_out:
            yield item

    async def chat(self, messages: Sequence[Message], model: ModelId) -> AsyncGenerator[ChatPiece, None]:
        self.asked.append(AskedChat(tuple(messages), model))
        pieces_in, pieces = anyio.create_memory_object_stream[ChatPiece](10_000)
        self._chats.append(pieces_in)
        try:
            async for piece in pieces:
                yield piece
                if isinstance(piece, ChatDone | ChatFailed):
                    return
        finally:
            self.closed_chats += 1
            pieces_in.close()
            pieces.close()

    async def install(self, model: ModelId) -> ModelState:
        if self.refusal is not None:
            raise self.refusal
        self.installs.append(model)
        return model_state(model, "installing")

    async def unload(self, model: ModelId) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.unloads.append(model)

    async def follow(self, run: str) -> AsyncGenerator[tuple[int, RunHappening] | LinkLost, None]:
        self.followed.append(run)
        async for each in self._happenings_out:
            yield each
            if isinstance(each, tuple) and each[1].happening == "over":
                return

    async def ask(self, call: Call[T]) -> T:
        self.calls.append(call)
        said = self.answers[f"{call.method} {call.path}"]
        if isinstance(said, Refused):
            raise said
        return msgspec.json.decode(msgspec.json.encode(said), type=call.answer)

    async def aclose(self) -> None:
        self.is_closed = True
        self._happenings.close()
        self._happenings_out.close()
        self._items.close()
        self._items_out.close()

    def happen(self, event: Event, *, run_id: str | None = None, at: float = 1_700_000_000.0) -> None:
        """Let a fact come."""
        self.seq += 1
        run = RunId(run_id) if run_id else None
        self._items.send_nowait(Envelope(seq=self.seq, at=at, event=event, run_id=run))

    def move(self, number: int, happening: str, **more: Any) -> None:
        """Let the run that is followed move on."""
        told = msgspec.convert({"happening": happening, **more}, RunHappening)
        self._happenings.send_nowait((number, told))

    def lose_run(self, reason: str) -> None:
        """Let the connection that follows a run go."""
        self._happenings.send_nowait(LinkLost(reason=reason, attempt=1, retry_s=1.0))

    def reach(self, state: ServerState) -> None:
        """Let a connection come about, with this state."""
        self.current = state
        self.seq = max(self.seq, state.seq)
        self._items.send_nowait(state)

    def lose(self, reason: str = "nothing answers at 127.0.0.1:8080", retry_s: float = 3.0) -> None:
        """Let the connection go."""
        self._items.send_nowait(LinkLost(reason=reason, attempt=1, retry_s=retry_s))

    def say(self, *pieces: ChatPiece) -> None:
        """Let pieces of the newest answer come."""
        for piece in pieces:
            self._chats[-1].send_nowait(piece)

    def answer(self, text: str, run_id: str | None = None) -> None:
        """Let a whole answer come, a word at a time."""
        self.say(ChatStarted(run_id=RunId(run_id) if run_id else None))
        for word in text.split(" "):
            self.say(ChatText(text=word + " "))
        self.say(
            ChatDone(usage=Usage(prompt_tokens=12, completion_tokens=34), finish_reason="stop", seconds=2.0)
        )
