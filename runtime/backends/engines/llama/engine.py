"""The llama engine: requests in, frames out, a step at a time.

Only glue. `intake` decides what a request becomes, `batcher` and `pace` what a step computes, `context`
computes it, `sampler` chooses tokens, and `seq` says what each token means to the reader.
"""

import time
from collections.abc import Callable, Set
from pathlib import Path

import llama_cpp

from runtime.backends.engines.contract import LoadRefused, StepFrame
from runtime.backends.engines.llama.answer import Answer
from runtime.backends.engines.llama.batcher import Batcher, Plan, Span
from runtime.backends.engines.llama.context import ComputeFailed
from runtime.backends.engines.llama.intake import Intake, Prepared
from runtime.backends.engines.llama.logs import LogFilter
from runtime.backends.engines.llama.model import Model
from runtime.backends.engines.llama.pace import Pace
from runtime.backends.engines.llama.reasoning import CLOSER, OPENER, ReasoningSplitter
from runtime.backends.engines.llama.sampler import Array, LogitsBroken, Sampler
from runtime.backends.engines.llama.seq import Seq
from runtime.backends.protocol import Failed, Fault, Finished, Generate, ModelFacts, Started, Tuning, Work

_WARM_UP_TOKENS = 32
"""Computed twice at load: once to bring the weights into memory, once to learn the speed."""


class _Stage:
    """Everything that exists once a model is loaded."""

    def __init__(self, model: Model, tuning: Tuning) -> None:
        self.model = model
        self.context = model.context
        self.vocabulary = model.vocabulary
        self.limit = model.limit(tuning)
        self.intake = Intake(model.template, model.vocabulary, tuning, self.limit)
        self.pace = Pace(model.context.rows, _warm_up(model))
        self.batcher = Batcher(
            capacity=model.context.capacity, slots=tuning.sequences, rows=model.context.rows
        )
        self.ends = frozenset(model.vocabulary.ends)
        self.has_reasoning = model.template.has_reasoning
        if self.has_reasoning:
            model.vocabulary.reveal(OPENER, CLOSER)


class LlamaEngine:
    """One GGUF model in llama.cpp, its seqs batched together."""

    name = "llama"
    version = str(llama_cpp.__version__)

    def __init__(self) -> None:
        self._logs = LogFilter()
        self._loaded: _Stage | None = None
        self._arrived: dict[int, Generate] = {}
        self._cancelled: set[int] = set()
        self._seqs: dict[int, Seq] = {}
        self._samplers: dict[int, Sampler] = {}

    def load(self, path: str | None, tuning: Tuning, report: Callable[[float], None]) -> ModelFacts:
        """Load the model. Raises LoadRefused."""
        if path is None:
            raise LoadRefused(Fault(code="model_broken", message="The llama engine needs a file of weights."))

        self._logs.install()
        llama_cpp.llama_backend_init()
        try:
            self._loaded = self._open(Path(path), tuning, report)
        except LoadRefused:
            self._logs.remove()
            raise

        return self._loaded.model.facts(self._loaded.limit, tuning.sequences)

    def submit(self, request: Work) -> None:
        """Take a generation; the next step looks at it."""
        assert isinstance(request, Generate)
        self._arrived[request.seq] = request

    def cancel(self, seq: int) -> None:
        """End the seq at the next step."""
        if seq in self._arrived or seq in self._seqs:
            self._cancelled.add(seq)

    def is_busy(self) -> bool:
        """Whether any seq is live or waits."""
        return bool(self._arrived or self._seqs)

    def gauges(self) -> dict[str, float]:
        """Return how many seqs live and wait."""
        return {"seqs_live": len(self._seqs), "seqs_waiting": len(self._arrived)}

    def step(self, blocked: Set[int]) -> list[StepFrame]:
        """Advance every seq that can be advanced by about one token."""
        frames = [*self._end_cancelled(), *self._take_arrivals(blocked)]
        plan = self._stage.batcher.plan(blocked, self._stage.pace.budgets)
        for slot in plan.vacated:
            self._stage.context.clear(slot)

        frames += self._start(plan)
        return [*frames, *self._compute(plan)] if plan.spans else frames

    def close(self) -> None:
        """Free the model; whatever lives is dropped."""
        self._arrived.clear()
        self._cancelled.clear()
        self._seqs.clear()
        self._samplers.clear()
        if self._loaded is not None:
            self._loaded.model.close()
            self._loaded = None
            self._logs.remove()

    @property
    def _stage(self) -> _Stage:
        assert self._loaded is not None, "load comes first"
        return self._loaded

    def _open(self, path: Path, tuning: Tuning, report: Callable[[float], None]) -> _Stage:
        model = Model(path, tuning, report, self._logs)
        try:
            return _Stage(model, tuning)
        except ComputeFailed as error:
            model.close()
            message = f"The model was read but cannot compute: {error}. {self._logs.last_words()}"
            raise LoadRefused(Fault(code="engine_failed", message=message)) from error

    def _end_cancelled(self) -> list[StepFrame]:
        frames: list[StepFrame] = []
        for number in sorted(self._cancelled):
            if self._arrived.pop(number, None) is not None:
                frames.append(Finished(seq=number, reason="cancelled", prompt_tokens=0, completion_tokens=0))
            elif number in self._seqs:
                frames.append(self._seqs[number].finish("cancelled"))
                self._forget(number)

        self._cancelled.clear()
        return frames

    def _take_arrivals(self, blocked: Set[int]) -> list[StepFrame]:
        frames: list[StepFrame] = []
        for number in [number for number in self._arrived if number not in blocked]:
            request = self._arrived.pop(number)
            prepared = self._stage.intake.prepare(request)
            if isinstance(prepared, Fault):
                frames.append(Failed(seq=number, fault=prepared))
            else:
                self._enter(request, prepared)

        return frames

    def _enter(self, request: Generate, prepared: Prepared) -> None:
        stage, tokens = self._stage, prepared.tokens
        splitter = ReasoningSplitter(is_inside=prepared.opens_reasoning) if stage.has_reasoning else None
        self._seqs[request.seq] = Seq(
            request.seq,
            prompt_tokens=len(tokens),
            most_tokens=prepared.most_tokens,
            answer=Answer(request.sampling.stop, splitter),
            tokens=stage.vocabulary,
        )
        self._samplers[request.seq] = Sampler(prepared.recipe, tokens, stage.vocabulary.ends)
        stage.batcher.submit(request.seq, tokens, len(tokens) + prepared.most_tokens)

    def _start(self, plan: Plan) -> list[StepFrame]:
        """Announce the seqs that got a slot for the first time."""
        frames: list[StepFrame] = []
        for number in plan.admitted:
            seq = self._seqs[number]
            if not seq.is_started:
                seq.is_started = True
                frames.append(Started(seq=number, prompt_tokens=seq.prompt_tokens))

        return frames

    def _compute(self, plan: Plan) -> list[StepFrame]:
        began = time.perf_counter()
        rows = self._stage.context.compute(plan.spans)
        if rows is None:
            return self._make_room(plan)

        self._stage.batcher.advance(plan)
        prompt_tokens = sum(len(span.tokens) for span in plan.spans if len(span.tokens) > 1)
        self._stage.pace.measured(prompt_tokens, time.perf_counter() - began)
        complete = [span for span in plan.spans if span.is_complete]
        return [frame for span, row in zip(complete, rows, strict=True) for frame in self._pick(span, row)]

    def _make_room(self, plan: Plan) -> list[StepFrame]:
        """Let the youngest give way where the context is fuller than planned; the next step tries again."""
        slot = self._stage.batcher.give_way()
        if slot is not None:
            self._stage.context.clear(slot)
            return []

        number = plan.spans[0].seq
        seq = self._seqs[number]
        self._forget(number)
        if seq.has_begun:
            return seq.cut_short()

        fault = Fault(
            code="context_length_exceeded",
            message="The prompt does not fit into the model's context. Shorten the messages, or raise the "
            "model's context_tokens in lar.toml.",
            param="messages",
        )
        return [Failed(seq=number, fault=fault)]

    def _pick(self, span: Span, row: Array) -> list[StepFrame]:
        try:
            picked = self._samplers[span.seq].pick(row)
        except LogitsBroken as error:
            self._forget(span.seq)
            fault = Fault(
                code="engine_failed", message=f"The answer broke off: {error}. Its weights are damaged."
            )
            return [Failed(seq=span.seq, fault=fault)]

        seq = self._seqs[span.seq]
        frames = seq.accept(picked, is_end=picked.token in self._stage.ends)
        if seq.is_over:
            self._forget(span.seq)
        else:
            self._stage.batcher.extend(span.seq, picked.token)

        return frames

    def _forget(self, number: int) -> None:
        del self._seqs[number], self._samplers[number]
        slot = self._stage.batcher.remove(number)
        if slot is not None:
            self._stage.context.clear(slot)


def _warm_up(model: Model) -> float:
    """Compute a few tokens twice; return the tokens per second of the second time."""
    count = min(_WARM_UP_TOKENS, model.context.rows, model.context.capacity)
    span = Span(seq=0, slot=0, start=0, tokens=[0] * count, is_complete=True)
    began = time.perf_counter()
    for _ in range(2):
        began = time.perf_counter()
        model.context.compute([span])
        model.context.clear(0)

    return count / (time.perf_counter() - began)
