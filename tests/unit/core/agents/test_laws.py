"""The laws of a durable run, under any order of inputs, with crashes at any command."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.core.agents.builtins import LIST_TOOL
from runtime.core.agents.fold import fold, opening_record
from runtime.core.agents.happenings import (
    AnyHappening,
    ArgumentsGrew,
    ItemBegan,
    ItemEnded,
    RunOver,
    TextGrew,
    ThoughtGrew,
)
from runtime.core.agents.items import Answered, Called, Listed, Said, Text, Thought
from runtime.core.agents.machine import AgentMachine
from runtime.core.agents.moves import (
    Added,
    AnyCommand,
    AnyTold,
    AskPerson,
    Begin,
    CallIdles,
    CancelAsked,
    Finish,
    Gave,
    Generate,
    MakeCall,
    PersonAsked,
    PersonDecided,
    Returned,
    Steered,
    StopCall,
    Store,
    Summarise,
    Summarised,
    Tell,
    TimeOver,
    TurnRefused,
)
from runtime.core.agents.plans import Limits, PlannedTool
from runtime.core.agents.steps import AnyStep, CallBegun, CallEnded, RunEnded, RunOpened, TurnBegun, TurnEnded
from runtime.core.errors import Fault, FaultCode
from runtime.core.ids import ApprovalId, ModelId
from runtime.core.messages import Began, Delta, Ended, ToolCallDelta, Usage
from tests.kit.agent_stage import RUN, asked, counting_mint, hub_tool, plan_of, search_by_name

MOST_TURNS, MOST_CALLS = 6, 8
TOOLS = (
    hub_tool("write"),
    hub_tool("read", is_idempotent=True),
    hub_tool("careful", approval="always"),
    PlannedTool(name="agent", executor="agent"),
    PlannedTool(name="client"),
    LIST_TOOL,
)
NAMES = st.sampled_from([*(each.name for each in TOOLS), "nonsense"])
FAULTS: tuple[FaultCode, ...] = (
    "worker_died",
    "model_not_found",
    "context_length_exceeded",
    "invalid_request",
)


@dataclass(slots=True)
class Life:
    """One machine, from a start to a crash: what it was made of, and what it was told and wanted."""

    steps: list[AnyStep]
    handled: list[tuple[AnyTold, float, list[AnyCommand]]] = field(default_factory=list)


class Runs(RuleBasedStateMachine):
    """One run, its world, and crashes in which only the first commands of an input were performed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_set = False

    @precondition(lambda self: not self.is_set)
    @rule(
        door=st.sampled_from(["agent", "responses"]),
        reflects=st.booleans(),
        decides=st.booleans(),
        parallel=st.integers(1, 3),
        context=st.sampled_from([None, 200, 100_000]),
        hosted=st.sampled_from([None, 1]),
    )
    def set_up(
        self,
        door: str,
        reflects: bool,
        decides: bool,
        parallel: int,
        context: int | None,
        hosted: int | None,
    ) -> None:
        self.is_set = True
        plan = plan_of(
            *TOOLS,
            models=(ModelId("m"), ModelId("spare")),
            door=door,
            reflects=reflects,
            decides_first=decides,
            hosted_calls=hosted,
            limits=Limits(turns=MOST_TURNS, calls=MOST_CALLS, parallel_calls=parallel),
        )
        opened = RunOpened(at=0.0, plan=plan, input=(asked(),))
        self.context = context
        self.base = opening_record(RUN, opened)
        self.steps: list[AnyStep] = [opened]
        self.told: list[AnyHappening] = []
        self.made: dict[str, int] = {}
        self.agreed: dict[str, int] = {}
        self.finished = 0
        self.number = 0
        self.lives: list[Life] = []
        self.start()

    def start(self) -> None:
        self.generating: int | None = None
        self.running: set[str] = set()
        self.waiting: set[str] = set()
        self.is_summarising = False
        self.lives.append(Life(steps=list(self.steps)))
        self.machine = self.make_machine(len(self.lives) - 1)
        self.tell(Begin(context_tokens=self.context, seen=tuple(self.told)))

    def make_machine(self, life: int) -> AgentMachine:
        mint = counting_mint()
        steps = list(self.lives[life].steps)
        return AgentMachine(self.base, steps, lambda prefix: f"{mint(prefix)}_{life}", search_by_name)

    def tell(self, told: AnyTold, performed: int | None = None) -> None:
        """Give an input; perform what is wanted, or only the first of it (then the machine is lost)."""
        self.number += 1
        commands = self.machine.handle(told, float(self.number))
        self.machine.check_integrity()
        self.lives[-1].handled.append((told, float(self.number), commands))
        assert not (self.finished and commands), "nothing follows the end"
        for command in commands if performed is None else commands[:performed]:
            self.perform(command)

    def perform(self, command: AnyCommand) -> None:
        match command:
            case Store():
                self.steps += command.steps
            case Tell():
                self.told.append(command.happening)
            case Generate():
                assert isinstance(self.steps[-1], TurnBegun)
                self.generating = command.turn
            case MakeCall():
                self.make(command)
            case StopCall():
                self.running.discard(command.call_id)
            case AskPerson():
                self.waiting.add(command.call.call_id)
            case Summarise():
                self.is_summarising = True
            case Finish():
                self.finished += 1
            case _:
                pass

    def make(self, command: MakeCall) -> None:
        call_id = command.call.call_id
        begun = [each.call_id for each in self.steps if isinstance(each, CallBegun)]
        assert begun.count(call_id) == self.made.get(call_id, 0) + 1 or call_id in begun
        self.made[call_id] = self.made.get(call_id, 0) + 1
        self.running.add(call_id)
        if command.tool.name in ("write", "careful"):
            assert self.made[call_id] <= 1 + self.agreed.get(call_id, 0), "made twice without a person"

    @property
    def is_generating(self) -> bool:
        return self.is_set and self.generating is not None and not self.finished

    def give(self, output: Any) -> None:
        turn = self.generating
        assert turn is not None
        if isinstance(output, Ended):
            self.generating = None
        self.tell(Gave(turn=turn, output=output))

    @precondition(lambda self: self.is_generating)
    @rule(text=st.sampled_from(["a", " ", "b c"]), kind=st.sampled_from(["text", "reasoning"]))
    def write(self, text: str, kind: str) -> None:
        self.give(Delta(text=text) if kind == "text" else Delta(reasoning=text))

    @precondition(lambda self: self.is_generating)
    @rule(name=NAMES, index=st.integers(0, 2), arguments=st.sampled_from(["{}", '{"a": 1}', '{"todos": []}']))
    def call(self, name: str, index: int, arguments: str) -> None:
        half = len(arguments) // 2
        self.give(Delta(tool_calls=(ToolCallDelta(index=index, name=name, arguments=arguments[:half]),)))
        self.give(Delta(tool_calls=(ToolCallDelta(index=index, arguments=arguments[half:]),)))

    @precondition(lambda self: self.is_generating)
    @rule(names=st.lists(NAMES, min_size=1, max_size=3))
    def call_and_end(self, names: list[str]) -> None:
        for index, name in enumerate(names):
            self.call(name, index, "{}")
        self.end_turn("tool_calls", 9)

    @precondition(lambda self: self.is_generating)
    @rule(reason=st.sampled_from(["stop", "stop", "tool_calls", "length"]), tokens=st.integers(1, 150))
    def end_turn(self, reason: Any, tokens: int) -> None:
        self.give(Began(prompt_tokens=tokens))
        self.give(Ended(reason=reason, usage=Usage(prompt_tokens=tokens, completion_tokens=3)))

    @precondition(lambda self: self.is_generating)
    @rule(code=st.sampled_from(FAULTS))
    def break_turn(self, code: FaultCode) -> None:
        turn, self.generating = self.generating, None
        assert turn is not None
        self.tell(TurnRefused(turn=turn, fault=Fault(code=code, message="no")))

    @precondition(lambda self: self.is_set and bool(self.running))
    @rule(
        data=st.data(), code=st.sampled_from(["", "", "asked", "timeout"]), text=st.sampled_from(["x", "y"])
    )
    def return_call(self, data: Any, code: str, text: str) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.running)))
        self.running.discard(call_id)
        self.tell(returned(call_id, text, code))

    @precondition(lambda self: self.is_set and bool(self.running))
    @rule(data=st.data(), is_idle=st.booleans())
    def idle(self, data: Any, is_idle: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.running)))
        before = len(self.steps)
        self.tell(CallIdles(call_id=call_id, is_idle=is_idle))
        assert len(self.steps) == before, "that others wait is no step of this run"
        assert is_idle or not self.machine.is_idle

    @precondition(lambda self: self.is_set and bool(self.waiting))
    @rule(data=st.data(), is_approved=st.booleans())
    def decide(self, data: Any, is_approved: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.waiting)))
        self.tell(PersonAsked(call_id=call_id, approval=ApprovalId(f"app_{call_id}")))
        self.waiting.discard(call_id)
        self.agreed[call_id] = self.agreed.get(call_id, 0) + is_approved
        self.tell(PersonDecided(call_id=call_id, is_approved=is_approved))

    @precondition(lambda self: self.is_set and self.is_summarising)
    @rule(text=st.sampled_from(["", "what was said"]))
    def summarise(self, text: str) -> None:
        self.is_summarising = False
        self.tell(Summarised(text=text))

    @precondition(lambda self: self.is_set)
    @rule(kind=st.sampled_from(["steer", "add", "late turn", "late call", "late yes", "begin again"]))
    def interfere(self, kind: str) -> None:
        late: dict[str, AnyTold] = {
            "steer": Steered(items=(asked("more"),)),
            "add": Added(items=(Listed(id=f"mcpl_{self.number}", server="s"),)),
            "late turn": Gave(turn=-1, output=Delta(text="late")),
            "late call": returned("call_none", "late", ""),
            "late yes": PersonDecided(call_id="call_none", is_approved=True),
            "begin again": Begin(),
        }
        self.tell(late[kind])

    @precondition(lambda self: self.is_set)
    @rule(chance=st.integers(0, 9))
    def stop(self, chance: int) -> None:
        if chance < 2:
            self.tell(CancelAsked(reason="enough") if chance else TimeOver())

    @precondition(lambda self: self.is_set)
    @rule(performed=st.integers(0, 6), text=st.sampled_from(["", "z"]))
    def crash(self, performed: int, text: str) -> None:
        """Lose the machine while it is being told something."""
        if self.is_generating:
            usage = Usage(prompt_tokens=5, completion_tokens=1)
            output = Delta(text=text) if text else Ended(reason="stop", usage=usage)
            self.tell(Gave(turn=self.generating or 0, output=output), performed)
        elif self.running:
            self.tell(returned(min(self.running), "w", ""), performed)
        self.finished = 0
        self.start()

    @invariant()
    def the_steps_are_the_run(self) -> None:
        if self.is_set:
            ends = [number for number, each in enumerate(self.steps) if isinstance(each, RunEnded)]
            assert ends in ([], [len(self.steps) - 1])
            assert fold(self.steps).output == self.machine.state.output
            assert fold(self.steps).conversation == self.machine.state.conversation
            check_told(self.told)

    def teardown(self) -> None:
        """Bring the run to its end: whatever happened before, a few answers must be enough."""
        if not self.is_set:
            return

        for _ in range(200):
            if self.finished:
                break
            self.settle_one()
        assert self.finished == 1
        check_steps(self.steps)
        check_told(self.told)
        assert isinstance(self.told[-1], RunOver)
        assert self.told[-1].record.status == self.machine.record.status
        check_ended(self.told)
        self.check_replay()

    def check_replay(self) -> None:
        """Check that the same inputs lead to the same commands, in each life between two crashes."""
        for number, life in enumerate(self.lives):
            machine = self.make_machine(number)
            for told, now, commands in life.handled:
                assert machine.handle(told, now) == commands

    def settle_one(self) -> None:
        if self.running:
            self.tell(returned(self.running.pop(), "done", ""))
        elif self.waiting:
            self.tell(PersonDecided(call_id=self.waiting.pop(), is_approved=False))
        elif self.is_summarising:
            self.summarise("")
        else:
            self.end_turn("stop", 5)


def returned(call_id: str, text: str, code: str) -> Returned:
    result = Answered(
        id=f"res_{call_id}", call_id=call_id, parts=(Text(text=text),), code=code, is_error=bool(code)
    )
    return Returned(call_id=call_id, result=result, approval=ApprovalId("app_1") if code == "asked" else None)


def check_steps(steps: list[AnyStep]) -> None:
    begun = {each.call_id for each in steps if isinstance(each, CallBegun)}
    ended = [each.result.call_id for each in steps if isinstance(each, CallEnded)]
    assert len(set(ended)) == len(ended), "a call ends once"
    assert begun <= set(ended), "what was begun ends"
    assert len(begun) <= MOST_CALLS
    given = [each for each in steps if isinstance(each, TurnEnded) and each.reason != "cancelled"]
    begins = {each.turn: each for each in steps if isinstance(each, TurnBegun)}
    assert sum(begins[each.turn].purpose == "answer" for each in given) <= MOST_TURNS
    assert len({each.turn for each in given}) == len(given)
    assert [each for each in steps if isinstance(each, RunEnded)] == steps[-1:]


def check_told(told: list[AnyHappening]) -> None:
    """Check that items begin before they grow, end once, hold what they grew by, and have dense places."""
    grown: dict[int, str] = {}
    ended: set[int] = set()
    for each in told:
        match each:
            case ItemBegan():
                assert each.place == len(grown), "places are dense and begin in order"
                grown[each.place] = ""
            case TextGrew() | ThoughtGrew() | ArgumentsGrew():
                assert each.place not in ended
                grown[each.place] += each.delta
            case ItemEnded():
                assert each.place in grown
                assert each.place not in ended
                ended.add(each.place)
                if isinstance(each.item, Said | Thought):
                    assert each.item.text == grown[each.place]
                elif isinstance(each.item, Called):
                    assert each.item.arguments == grown[each.place]
            case _:
                pass
    overs = [number for number, each in enumerate(told) if isinstance(each, RunOver)]
    assert overs in ([], [len(told) - 1])


def check_ended(told: list[AnyHappening]) -> None:
    begun = {each.place for each in told if isinstance(each, ItemBegan)}
    assert {each.place for each in told if isinstance(each, ItemEnded)} == begun


Runs.TestCase.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestRuns = Runs.TestCase
