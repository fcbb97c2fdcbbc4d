"""The machine of a run: inputs in, commands out, nothing else.

    new ──Begin──► waiting ──Admitted──► placing ──Resident──► running ──all ended──► done
                      │ Refused             │ Refused             │ a seq broke, or CancelAsked
                      ▼                     ▼                     ▼
                     done                  done                stopping ──all ended, or GraceOver──► done

A run ends in exactly one terminal fact. Every submitted seq ends in exactly one SeqFinished or SeqFailed
before it. Inputs that come after the end (a worker's last delta, a second cancel) change nothing.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from runtime.core.commands import CancelSeq, Close, Emit, Enter, Place, Publish, Submit, Todo
from runtime.core.errors import Fault
from runtime.core.events import (
    RunAdmitted,
    RunCancelled,
    RunFailed,
    RunFinished,
    RunQueued,
    RunRejected,
    RunRequested,
    RunStarted,
    SeqDelta,
    SeqFailed,
    SeqFinished,
    SeqStarted,
    SeqSubmitted,
    TurnFinished,
    TurnStarted,
)
from runtime.core.ids import WorkerId
from runtime.core.messages import (
    Began,
    Broke,
    Delta,
    Ended,
    FinishReason,
    Output,
    Scores,
    Tokens,
    Usage,
    Vectors,
)

MERGE_S = 0.25
"""Deltas are merged into one SeqDelta fact for so long: four a second per seq reach the bus."""

Phase = Literal["new", "waiting", "placing", "running", "stopping", "done"]


class Input(msgspec.Struct, frozen=True, kw_only=True, tag_field="input"):
    """Base of what a run is told."""


class Begin(Input, frozen=True, kw_only=True):
    """The run exists."""

    requested: RunRequested


class Queued(Input, frozen=True, kw_only=True):
    """Admission has no place yet."""

    position: int


class Admitted(Input, frozen=True, kw_only=True):
    """Admission gave a place."""


class Refused(Input, frozen=True, kw_only=True):
    """Admission or placement said no."""

    fault: Fault


class Resident(Input, frozen=True, kw_only=True):
    """The model is in memory."""

    worker: WorkerId


class Yielded(Input, frozen=True, kw_only=True):
    """A seq gave an output."""

    index: int
    output: Output


class CancelAsked(Input, frozen=True, kw_only=True):
    """Somebody wants the run to stop."""

    reason: str


class GraceOver(Input, frozen=True, kw_only=True):
    """The worker did not confirm a stop in time; end without it."""


Told = Begin | Queued | Admitted | Refused | Resident | Yielded | CancelAsked | GraceOver


@dataclass(slots=True)
class Seq:
    """One generation as the machine knows it."""

    submitted_at: float
    prompt_tokens: int = 0
    tokens: int = 0
    text: list[str] = field(default_factory=list)
    unmerged: list[str] = field(default_factory=list)
    unmerged_tokens: int = 0
    merged_at: float = 0.0
    first_token_at: float | None = None
    tool_names: list[str] = field(default_factory=list)
    usage: Usage | None = None
    """Set when the seq has ended; a seq that broke counts what it had."""

    @property
    def is_open(self) -> bool:
        """Whether its end is still to come."""
        return self.usage is None


class Turn:
    """One run with one turn. `handle` is the only door; times are monotonic seconds."""

    def __init__(self, choices: int) -> None:
        self.phase: Phase = "new"
        self._choices = choices
        self._entered_at = 0.0
        self._seqs: dict[int, Seq] = {}
        self._verdict: Fault | str | None = None
        """Why the run is stopping: the fault of a seq, or the reason of a cancel."""

    @property
    def is_stopped(self) -> bool:
        """Whether the run ends before its time: cancelled, or a seq broke."""
        return self._verdict is not None

    def handle(self, told: Told, now: float) -> list[Todo]:
        """Take one input; return what to do, in order. Never raises on a late or repeated input."""
        if self.phase == "done":
            return []

        match told:
            case Begin():
                return self._begin(told.requested, now)
            case Queued():
                return [Publish(event=RunQueued(position=told.position))] if self.phase == "waiting" else []
            case Admitted():
                return self._admitted(now)
            case Refused():
                return self._refused(told.fault)
            case Resident():
                return self._resident(told.worker, now)
            case Yielded():
                return self._yielded(told.index, told.output, now)
            case CancelAsked():
                return self._stop(told.reason)
            case GraceOver():
                return self._grace_over(now)

    def check_integrity(self) -> None:
        """Assert what must hold between inputs."""
        assert len(self._seqs) in (0, self._choices)
        if self.phase in ("running", "stopping"):
            assert any(seq.is_open for seq in self._seqs.values())
        if self.phase == "done":
            assert all(not seq.is_open for seq in self._seqs.values())
        assert (self._verdict is None) or self.phase in ("stopping", "done")

    def _begin(self, requested: RunRequested, now: float) -> list[Todo]:
        if self.phase != "new":
            return []

        self.phase = "waiting"
        self._entered_at = now
        return [Publish(event=requested), Enter()]

    def _admitted(self, now: float) -> list[Todo]:
        if self.phase != "waiting":
            return []

        self.phase = "placing"
        return [Publish(event=RunAdmitted(waited_s=now - self._entered_at)), Place()]

    def _refused(self, fault: Fault) -> list[Todo]:
        if self.phase not in ("waiting", "placing"):
            return []

        self.phase = "done"
        return [
            Publish(event=RunRejected(code=fault.code, message=fault.message)),
            Close(fault=fault),
        ]

    def _resident(self, worker: WorkerId, now: float) -> list[Todo]:
        if self.phase != "placing":
            return []

        self.phase = "running"
        todo: list[Todo] = [
            Publish(event=RunStarted(worker=worker)),
            Publish(event=TurnStarted(turn=0)),
        ]
        for index in range(self._choices):
            self._seqs[index] = Seq(submitted_at=now, merged_at=now)
            todo += [Publish(event=SeqSubmitted(index=index)), Submit(index=index)]
        return todo

    def _yielded(self, index: int, output: Output, now: float) -> list[Todo]:
        seq = self._seqs.get(index)
        if seq is None or not seq.is_open:
            return []

        match output:
            case Began():
                seq.prompt_tokens = output.prompt_tokens
                started = SeqStarted(index=index, prompt_tokens=output.prompt_tokens)
                return [Publish(event=started), *self._emit(index, output)]
            case Delta():
                return self._delta(index, seq, output, now)
            case Vectors() | Scores() | Tokens():
                return self._emit(index, output)
            case Ended():
                return [
                    *self._end_seq(index, seq, output.reason, output.usage, now),
                    *self._emit(index, output),
                    *self._settle(),
                ]
            case Broke():
                return self._broke(index, seq, output, now)

    def _delta(self, index: int, seq: Seq, delta: Delta, now: float) -> list[Todo]:
        if seq.first_token_at is None:
            seq.first_token_at = now

        seq.tokens += delta.tokens
        seq.text.append(delta.text)
        seq.tool_names += [piece.name for piece in delta.tool_calls if piece.name]
        seq.unmerged.append(delta.text)
        seq.unmerged_tokens += delta.tokens
        emitted = self._emit(index, delta)
        if now - seq.merged_at >= MERGE_S:
            return [*emitted, *self._merge(index, seq, now)]

        return emitted

    def _broke(self, index: int, seq: Seq, output: Broke, now: float) -> list[Todo]:
        seq.usage = Usage(prompt_tokens=seq.prompt_tokens, completion_tokens=seq.tokens)
        failed = SeqFailed(index=index, code=output.fault.code, message=output.fault.message)
        return [*self._merge(index, seq, now), Publish(event=failed), *self._stop(output.fault)]

    def _stop(self, verdict: Fault | str) -> list[Todo]:
        """Turn towards the end: what has not started ends at once, what runs is asked to stop."""
        if self.phase in ("new", "waiting", "placing"):
            self._verdict = verdict
            return self._terminate()

        if self.phase == "stopping":
            return self._settle()

        self._verdict = verdict
        self.phase = "stopping"
        cancels: list[Todo] = [CancelSeq(index=index) for index, seq in self._seqs.items() if seq.is_open]
        return [*cancels, *self._settle()]

    def _grace_over(self, now: float) -> list[Todo]:
        if self.phase != "stopping":
            return []

        todo: list[Todo] = []
        for index, seq in self._seqs.items():
            if seq.is_open:
                usage = Usage(prompt_tokens=seq.prompt_tokens, completion_tokens=seq.tokens)
                todo += self._end_seq(index, seq, "cancelled", usage, now)
        return [*todo, *self._settle()]

    def _emit(self, index: int, output: Output) -> list[Todo]:
        """Give the reader an output, unless the run is being stopped and nobody wants it."""
        return [Emit(index=index, output=output)] if self.phase == "running" else []

    def _merge(self, index: int, seq: Seq, now: float) -> list[Todo]:
        text, tokens = "".join(seq.unmerged), seq.unmerged_tokens
        seq.unmerged, seq.unmerged_tokens, seq.merged_at = [], 0, now
        return [Publish(event=SeqDelta(index=index, text=text, tokens=tokens))] if tokens or text else []

    def _end_seq(self, index: int, seq: Seq, reason: FinishReason, usage: Usage, now: float) -> list[Todo]:
        merged = self._merge(index, seq, now)
        seq.usage = usage
        finished = SeqFinished(
            index=index,
            reason=reason,
            usage=usage,
            text="".join(seq.text),
            tool_calls=tuple(seq.tool_names),
            first_token_s=None if seq.first_token_at is None else seq.first_token_at - seq.submitted_at,
            duration_s=now - seq.submitted_at,
        )
        return [*merged, Publish(event=finished)]

    def _settle(self) -> list[Todo]:
        return [] if any(seq.is_open for seq in self._seqs.values()) else self._terminate()

    def _terminate(self) -> list[Todo]:
        was_running = self.phase in ("running", "stopping")
        self.phase = "done"
        todo: list[Todo] = [Publish(event=TurnFinished(turn=0))] if was_running else []
        match self._verdict:
            case None:
                return [*todo, Publish(event=RunFinished(usage=self._total())), Close()]
            case Fault() as fault:
                return [
                    *todo,
                    Publish(event=RunFailed(code=fault.code, message=fault.message)),
                    Close(fault=fault),
                ]
            case str() as reason:
                return [*todo, Publish(event=RunCancelled(reason=reason)), Close()]

    def _total(self) -> Usage:
        """Sum over the choices; they share one prompt, so it counts once, as OpenAI counts it."""
        ended = [seq.usage for seq in self._seqs.values() if seq.usage is not None]
        return Usage(
            prompt_tokens=max((usage.prompt_tokens for usage in ended), default=0),
            completion_tokens=sum(usage.completion_tokens for usage in ended),
            cached_tokens=max((usage.cached_tokens for usage in ended), default=0),
            reasoning_tokens=sum(usage.reasoning_tokens for usage in ended),
            drafted_tokens=sum(usage.drafted_tokens for usage in ended),
            accepted_tokens=sum(usage.accepted_tokens for usage in ended),
            forced_tokens=sum(usage.forced_tokens for usage in ended),
        )
