"""A stage for the machine of an agent's run: it keeps what was stored and told, and checks each input."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from runtime.core.agents.fold import fold, opening_record
from runtime.core.agents.happenings import AnyHappening
from runtime.core.agents.items import Answered, AnyItem, Said, Text
from runtime.core.agents.machine import AgentMachine
from runtime.core.agents.moves import (
    AnyCommand,
    AnyTold,
    Begin,
    Gave,
    Generate,
    MakeCall,
    Returned,
    Store,
    Tell,
)
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.steps import AnyStep, RunOpened
from runtime.core.gate.principals import OWNER
from runtime.core.ids import ModelId, RunId
from runtime.core.messages import ChatRequest, Delta, Ended, FinishReason, Output, ToolCallDelta, Usage

RUN = RunId("run_1")
MODEL = ModelId("m")
SPENT = Usage(prompt_tokens=10, completion_tokens=5)


def counting_mint() -> Callable[[str], str]:
    """Return a mint whose ids are counted."""
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def search_by_name(tools: Sequence[PlannedTool], query: str, limit: int) -> list[PlannedTool]:
    """Find tools whose name contains the query."""
    return [each for each in tools if query in each.name][:limit]


def asked(text: str = "hello") -> Said:
    """Return a question of the user."""
    return Said(id="msg_u", role="user", parts=(Text(text=text),))


def plan_of(*tools: PlannedTool, **changes: Any) -> Plan:
    """Return a plan with these tools."""
    return Plan(**{"principal": OWNER, "models": (MODEL,), "tools": tools, **changes})


def hub_tool(name: str = "look", **changes: Any) -> PlannedTool:
    """Return a tool that the hub carries out."""
    full_name = f"mcp__shelf__{name}"
    return PlannedTool(
        **{"name": name, "form": "mcp", "executor": "hub", "full_name": full_name, "tool": name, **changes}
    )


def call_piece(name: str, arguments: str = "{}", call_id: str | None = "call_a", index: int = 0) -> Delta:
    """Return a whole call as one delta."""
    return Delta(tool_calls=(ToolCallDelta(index=index, id=call_id, name=name, arguments=arguments),))


class Stage:
    """One run: what goes in through `tell`, what came out in `commands`, `steps` and `told`."""

    def __init__(self, plan: Plan, *, given: Sequence[AnyItem] = (), context: Sequence[AnyItem] = ()) -> None:
        opened = RunOpened(at=0.0, plan=plan, input=tuple(given or [asked()]), context=tuple(context))
        self.steps: list[AnyStep] = [opened]
        self.told: list[AnyHappening] = []
        self.commands: list[AnyCommand] = []
        self.base = opening_record(RUN, opened)
        self.mint = counting_mint()
        self.now = 0.0
        self.machine = self._make()

    def tell(self, told: AnyTold) -> list[AnyCommand]:
        """Give the machine an input; return what it wants."""
        self.now += 1.0
        commands = self.machine.handle(told, self.now)
        self.machine.check_integrity()
        for command in commands:
            match command:
                case Store():
                    self.steps += command.steps
                    assert command.record.steps == len(self.steps)
                case Tell():
                    self.told.append(command.happening)
                case _:
                    pass
        assert fold(self.steps).output == self.machine.state.output
        self.commands += commands
        return commands

    def begin(self, **words: Any) -> list[AnyCommand]:
        """Begin, or go on."""
        return self.tell(Begin(**words))

    def restart(self) -> None:
        """Lose all that is not stored."""
        self.machine = self._make()

    def give(self, *outputs: Output) -> list[AnyCommand]:
        """Let the model of the turn that is open give outputs."""
        turn = self.machine.state.turn
        assert turn is not None
        return [command for each in outputs for command in self.tell(Gave(turn=turn.turn, output=each))]

    def answer(self, text: str = "hi", reason: FinishReason = "stop") -> list[AnyCommand]:
        """Let the model answer and end."""
        return self.give(Delta(text=text), Ended(reason=reason, usage=SPENT))

    def call(self, *deltas: Delta) -> list[AnyCommand]:
        """Let the model call tools and end."""
        return self.give(*deltas, Ended(reason="tool_calls", usage=SPENT))

    def result(self, call_id: str = "call_a", text: str = "found", **changes: Any) -> list[AnyCommand]:
        """Let a call return."""
        parts = (Text(text=text),)
        result = Answered(**{"id": f"res_{call_id}", "call_id": call_id, "parts": parts, **changes})
        return self.tell(Returned(call_id=call_id, result=result, approval=changes.get("approval")))

    @property
    def requests(self) -> list[ChatRequest]:
        """What models were asked."""
        return [each.request for each in self.commands if isinstance(each, Generate)]

    @property
    def made(self) -> list[str]:
        """Calls that were made, by id."""
        return [each.call.call_id for each in self.commands if isinstance(each, MakeCall)]

    def _make(self) -> AgentMachine:
        return AgentMachine(self.base, list(self.steps), self.mint, search_by_name)
