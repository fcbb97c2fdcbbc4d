"""How a run asks models: each turn is one inference run, which its outputs reach in order; and summaries."""

from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
import msgspec

from runtime.core.agents.items import Answered, AnyItem, Called, Compacted, Said, Thought
from runtime.core.agents.moves import AnyTold, Gave, Generate, Summarise, Summarised, TurnRefused
from runtime.core.driver import Piece, RunHandle, Runs
from runtime.core.errors import Fault, LarError
from runtime.core.gate.principals import Principal
from runtime.core.gate.words import Gate
from runtime.core.ids import ModelId
from runtime.core.messages import Broke, ChatRequest, Delta, Ended, Message, Priority, Sampling, Usage
from runtime.core.ports import Models
from runtime.core.readying import ready_model

Give = Callable[[AnyTold], Awaitable[None]]
ROUTE = "agents"
"""What facts of inference runs name as their way in."""
_PASSING = ("queue_full", "queue_timeout", "model_installing")
"""Faults that time mends."""
_PAUSE_S, _SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 0.2, 60.0
_STOPPED = "the turn was given up"
_SUMMARISE = (
    "Summarise the conversation that follows, for somebody who goes on with it and has not read it. Keep "
    "what was asked and why, what was decided, what tools found (names, numbers, paths and quotes exactly), "
    "what is done and what is open. Write the summary alone, without a greeting, at most {words} words."
)
_ITEM_CHARACTERS = 20_000
"""Of one item that is to be summarised; results of tools may be very long."""


class Asker:
    """Starts inference runs for agents."""

    def __init__(self, runs: Runs, models: Models, gate: Gate | None = None) -> None:
        self._runs = runs
        self._models = models
        self._gate = gate

    async def start(self, request: ChatRequest, principal: Principal) -> RunHandle:
        """Begin a generation. Raises LarError where the model cannot take it now."""
        ready = await self._ready(request, principal)
        return await self._runs.start(ready, principal, route=ROUTE, is_stream=True)

    def context_tokens(self, model: ModelId) -> int | None:
        """Return how much fits into a model, where it is known."""
        known = self._models.find_model(model) or self._models.find_model(ModelId(model.rpartition(":")[0]))
        return None if known is None else known.context_tokens

    async def _ready(self, asked: ChatRequest, principal: Principal) -> ChatRequest:
        request = self._with_adapter(asked)
        await ready_model(self._models, self._gate, request.model, principal, door="agent")
        return request

    def _with_adapter(self, asked: ChatRequest) -> ChatRequest:
        """Split `model:adapter` where that names a model that takes adapters."""
        if self._models.find_model(asked.model) is not None:
            return asked
        name, _, adapter = asked.model.rpartition(":")
        model = self._models.find_model(ModelId(name))
        if not adapter or model is None or "adapters" not in model.features:
            return asked
        return msgspec.structs.replace(asked, model=model.id, adapter=adapter)


class Turns:
    """The turns of one run that are being generated."""

    def __init__(self, asker: Asker, give: Give) -> None:
        self._asker = asker
        self._give = give
        self._handles: dict[int, RunHandle] = {}
        self._stopped: set[int] = set()

    def stop(self, turn: int) -> None:
        """Give a turn up; its end still comes."""
        self._stopped.add(turn)
        if turn in self._handles:
            self._handles[turn].cancel(_STOPPED)

    async def generate(self, command: Generate, principal: Principal, *, is_patient: bool = False) -> None:
        """Carry a turn's outputs to the run, the last of them its end or why there is none.

        The patient wait while the model has no room for them or is being installed.
        """
        while (fault := await self._try(command, principal)) is not None:
            if not is_patient or fault.code not in _PASSING or command.turn in self._stopped:
                await self._give(_unfinished(command.turn, fault))
                return
            pause_s = max(fault.retry_after_s or _PAUSE_S, _SHORTEST_PAUSE_S)
            await anyio.sleep(min(pause_s, _LONGEST_PAUSE_S))

    async def _try(self, command: Generate, principal: Principal) -> Fault | None:
        """Generate once; return the fault where nothing came of it."""
        turn = command.turn
        try:
            handle = await self._asker.start(command.request, principal)
        except LarError as refusal:
            return refusal.fault

        self._handles[turn] = handle
        if turn in self._stopped:
            handle.cancel(_STOPPED)
        try:
            given = await self._carry(turn, handle)
        finally:
            handle.cancel("the run that asked has ended")
            handle.outputs.close()
            del self._handles[turn]
        if given == "ended":
            return None
        if given == "nothing" and handle.fault is not None:
            return handle.fault
        await self._give(_unfinished(turn, handle.fault))
        return None

    async def _carry(self, turn: int, handle: RunHandle) -> Literal["ended", "some", "nothing"]:
        given: Literal["some", "nothing"] = "nothing"
        while True:
            try:
                piece = await _next_piece(handle)
            except anyio.EndOfStream:
                return given
            given = "some"
            await self._give(Gave(turn=turn, output=piece.output))
            if isinstance(piece.output, Ended | Broke):
                return "ended"


async def _next_piece(handle: RunHandle) -> Piece:
    try:
        return handle.outputs.receive_nowait()
    except anyio.WouldBlock:
        return await handle.outputs.receive()


def _unfinished(turn: int, fault: Fault | None) -> AnyTold:
    if fault is not None:
        return TurnRefused(turn=turn, fault=fault)
    return Gave(turn=turn, output=Ended(reason="cancelled", usage=Usage()))


async def summarise(asker: Asker, command: Summarise, principal: Principal, priority: Priority) -> Summarised:
    """Have a model write a summary; whatever goes wrong is said in what comes back."""
    told = "\n\n".join(filter(None, map(_told, command.items)))
    request = ChatRequest(
        model=command.model,
        priority=priority,
        messages=(
            Message(role="system", content=_SUMMARISE.format(words=max(50, command.limit_tokens // 2))),
            Message(role="user", content=told),
        ),
        sampling=Sampling(max_tokens=command.limit_tokens, temperature=0.0),
    )
    try:
        handle = await asker.start(request, principal)
    except LarError as refusal:
        return Summarised(fault=refusal.fault)

    parts: list[str] = []
    usage = Usage()
    try:
        async for piece in handle.outputs:
            match piece.output:
                case Delta(text=text):
                    parts.append(text)
                case Broke(fault=fault):
                    return Summarised(fault=fault)
                case Ended(usage=usage):
                    break
                case _:
                    pass
    finally:
        handle.cancel("the run that asked has ended")
        handle.outputs.close()
    text = "".join(parts).strip()
    fault_of_run = handle.fault or Fault(code="engine_failed", message="The model gave no summary.")
    return Summarised(text=text, usage=usage) if text else Summarised(fault=fault_of_run)


def _told(item: AnyItem) -> str:
    match item:
        case Said():
            return f"{item.role}: {_cut(item.text)}"
        case Called():
            return f"assistant calls {item.name}: {_cut(item.arguments)}"
        case Answered():
            return f"result of {item.call_id}: {_cut(item.text)}"
        case Compacted():
            return f"what was before: {item.summary}"
        case Thought():
            return ""
        case _:
            return _cut(getattr(item, "text", ""))


def _cut(text: str) -> str:
    if len(text) <= _ITEM_CHARACTERS:
        return text
    half = _ITEM_CHARACTERS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters are left out …]\n{text[-half:]}"
