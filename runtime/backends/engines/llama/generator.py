"""The seqs of one generating model: requests in, frames out, a step at a time.

Only glue. `intake` decides what a request becomes, `planner` and `pace` what a step computes, `context`
computes it, an `author` per seq chooses tokens, and `seq` says what they mean to the reader.
"""

import time
from collections.abc import Mapping, Set

from runtime.backends.engines.contract import StepFrame
from runtime.backends.engines.llama.answer import Answer
from runtime.backends.engines.llama.author import Author
from runtime.backends.engines.llama.context import Aborted
from runtime.backends.engines.llama.drafts import Drafts
from runtime.backends.engines.llama.grammar.guide import Guide, GuideBroken
from runtime.backends.engines.llama.intake import Prepared
from runtime.backends.engines.llama.pictures import last_words, words_only
from runtime.backends.engines.llama.plan import Job, Plan, Span
from runtime.backends.engines.llama.sampler import Array, LogitsBroken, Sampler
from runtime.backends.engines.llama.scores import Echo
from runtime.backends.engines.llama.seq import Seq
from runtime.backends.engines.llama.shares import RANKS
from runtime.backends.engines.llama.stage import Stage
from runtime.backends.engines.llama.vision import PictureFailed
from runtime.backends.engines.llama.worded import answer_detokenize, answer_tokenize
from runtime.backends.protocol import (
    Detokenize,
    Embed,
    Failed,
    Fault,
    Finished,
    Generate,
    Rerank,
    Started,
    Tokenize,
    Work,
)

_CLOSE_S = 2.0
"""How long saving prefixes to disk may take when the worker stops; it is given five seconds."""


class Generator:
    """An engine, less `load`: a model on its stage, its seqs batched together."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._arrived: dict[int, Work] = {}
        self._cancelled: set[int] = set()
        self._authors: dict[int, Author] = {}
        self._echoes: dict[int, Echo] = {}
        self._files: dict[int, Mapping[str, bytes]] = {}
        """The pictures of the seqs that have any."""
        self._computing: frozenset[int] = frozenset()
        """The seqs that have most of the rows of the step that is being computed."""

    def submit(self, request: Work) -> None:
        """Take a piece of work; the next step looks at it."""
        self._arrived[request.seq] = request

    def cancel(self, seq: int) -> None:
        """End the seq at the next step."""
        if seq in self._arrived or seq in self._authors:
            self._cancelled.add(seq)

    def interrupt(self, seq: int) -> None:
        """Cut the running step short if most of it is for this seq. May be called from another thread."""
        if seq in self._computing and not self._stage.model.is_exact:
            self._stage.context.abort()

    def is_busy(self) -> bool:
        """Whether any seq is live or waits."""
        return bool(self._arrived or self._authors)

    def gauges(self) -> dict[str, float]:
        """Return what is counted of seqs, cells and prefixes."""
        return self._stage.gauges()

    def step(self, blocked: Set[int]) -> list[StepFrame]:
        """Advance every seq that can be advanced by about one token."""
        stage, now = self._stage, time.monotonic()
        frames = [*self._end_cancelled(now), *self._take_arrivals(blocked, now), *self._end_late(now)]
        admitted, ops = stage.planner.admit(blocked, now)
        stage.keeper.do(ops)
        frames += self._start(admitted)
        plan = stage.planner.plan(blocked, stage.pace.budgets, now)
        stage.keeper.do(plan.ops)
        return [*frames, *self._compute(plan, now)] if plan.spans else frames

    def close(self) -> None:
        """Free the model; whatever lives is dropped, its prefixes are saved."""
        self._arrived.clear()
        self._cancelled.clear()
        self._authors.clear()
        self._echoes.clear()
        self._files.clear()
        self._stage.keeper.close(_CLOSE_S)
        self._stage.tokenizer.join()
        self._stage.model.close()

    # ---- before a step

    def _end_cancelled(self, now: float) -> list[StepFrame]:
        frames: list[StepFrame] = []
        for number in sorted(self._cancelled):
            if self._arrived.pop(number, None) is not None:
                frames.append(Finished(seq=number, reason="cancelled", prompt_tokens=0, completion_tokens=0))
            elif number in self._authors:
                frames.append(self._authors[number].seq.cancel())
                self._forget(number, now)

        self._cancelled.clear()
        return frames

    def _end_late(self, now: float) -> list[StepFrame]:
        frames: list[StepFrame] = []
        for number in self._stage.planner.expire(now):
            self._authors.pop(number)
            self._echoes.pop(number, None)
            self._files.pop(number, None)
            fault = Fault(
                code="queue_timeout",
                message="No place in the model came free within the deadline_s of the request. Try again "
                "later, or allow more.",
                param="deadline_s",
            )
            frames.append(Failed(seq=number, fault=fault))
        return frames

    def _take_arrivals(self, blocked: Set[int], now: float) -> list[StepFrame]:
        frames: list[StepFrame] = []
        for number in [number for number in self._arrived if number not in blocked]:
            request = self._arrived.pop(number)
            match request:
                case Generate():
                    frames += self._take_generation(request, now)
                case Tokenize():
                    frames += answer_tokenize(request, self._stage.vocabulary, self._stage.intake)
                case Detokenize():
                    frames += answer_detokenize(request, self._stage.vocabulary)
                case Embed() | Rerank():
                    message = "This model generates text; it makes no vectors. Choose an embedding model."
                    fault = Fault(code="unsupported_parameter", message=message, param="model")
                    frames.append(Failed(seq=number, fault=fault))
        return frames

    def _take_generation(self, request: Generate, now: float) -> list[StepFrame]:
        prepared = self._stage.intake.prepare(request)
        if isinstance(prepared, Fault):
            return [Failed(seq=request.seq, fault=prepared)]

        guide = self._compile(prepared)
        if isinstance(guide, Fault):
            return [Failed(seq=request.seq, fault=guide)]

        self._enter(request, prepared, guide, now)
        return []

    def _compile(self, prepared: Prepared) -> Guide | Fault | None:
        if prepared.grammar is None:
            return None

        return self._stage.compiler.compile(prepared.grammar, param=prepared.grammar_param)

    def _enter(self, request: Generate, prepared: Prepared, guide: Guide | None, now: float) -> None:
        stage, tokens = self._stage, prepared.tokens
        words = words_only(tokens)
        seq = Seq(
            request.seq,
            prompt_tokens=len(tokens),
            most_tokens=prepared.most_tokens,
            answer=Answer(prepared.reader),
            tokens=stage.vocabulary.showing(prepared.reveals),
        )
        self._authors[request.seq] = Author(
            seq,
            Sampler(prepared.recipe, words, stage.vocabulary.ends),
            ends=stage.ends,
            guide=guide,
            curve=stage.curve,
            drafts=None if stage.curve is None else Drafts(words, stage.curve),
        )
        if prepared.files:
            self._files[request.seq] = prepared.files
        is_scored = prepared.echo is not None and prepared.recipe.alternatives is not None
        if prepared.echo is not None:
            self._echoes[request.seq] = Echo(tokens, prepared.echo, prepared.recipe.alternatives)
        stage.planner.submit(
            Job(
                seq=request.seq,
                tokens=list(tokens),
                pictures=prepared.pictures,
                prompt=len(tokens),
                most_tokens=len(tokens) + prepared.most_tokens,
                namespace=prepared.adapter,
                rank=RANKS[request.priority],
                principal=request.principal,
                deadline=None if request.deadline_s is None else now + request.deadline_s,
                is_scored=is_scored,
            )
        )

    def _start(self, admitted: list[int]) -> list[StepFrame]:
        """Announce the seqs that got a slot for the first time."""
        frames: list[StepFrame] = []
        for number in admitted:
            seq = self._authors[number].seq
            seq.is_started = True
            frames.append(Started(seq=number, prompt_tokens=seq.prompt_tokens))
        return frames

    # ---- the step itself

    def _compute(self, plan: Plan, now: float) -> list[StepFrame]:
        stage = self._stage
        total = sum(len(span.tokens) for span in plan.spans)
        self._computing = frozenset(span.seq for span in plan.spans if 2 * len(span.tokens) > total)
        began = time.perf_counter()
        try:
            rows = self._rows_of(plan)
        except Aborted:
            for span in plan.spans:
                stage.context.trim(span.slot, span.start)
            return []
        except PictureFailed as error:
            self._forget(plan.spans[0].seq, now)
            fault = Fault(code="engine_failed", message=f"The picture was not understood: {error}.")
            return [Failed(seq=plan.spans[0].seq, fault=fault)]
        finally:
            self._computing = frozenset()

        if rows is None:
            return self._make_room(plan, now)

        stage.keeper.do(stage.planner.advance(plan))
        prompt = _words_of_prompts(plan)
        generated = sum(len(span.tokens) for span in plan.spans) - prompt
        stage.pace.measured(prompt, generated, time.perf_counter() - began)
        frames: list[StepFrame] = []
        at = 0
        for span in plan.spans:
            if span.outputs:
                frames += self._read(span, rows[at : at + span.outputs], len(plan.spans) - 1, now)
                at += span.outputs
        return frames

    def _rows_of(self, plan: Plan) -> Array | None:
        """Compute the spans of text, or the one of a picture."""
        stage, span = self._stage, plan.spans[0]
        adapter = stage.model.adapters.get(plan.namespace)
        if span.picture is None:
            return stage.context.compute(plan.spans, adapter)

        vision = stage.model.vision
        assert vision is not None, "who cannot see is shown no pictures"
        vectors = vision.vectors(span.picture.key, self._files[span.seq])
        return stage.context.compute_vectors(span, vectors, adapter, sees_ahead=vision.sees_ahead)

    def _read(self, span: Span, rows: Array, rows_beside: int, now: float) -> list[StepFrame]:
        """Take the logits of one seq for what they say."""
        planner, author = self._stage.planner, self._authors[span.seq]
        job = planner.job_of(span.seq)
        seq = author.seq
        seq.cached_tokens = job.cached or 0
        echo = self._echoes.get(span.seq)
        if echo is not None:
            rows = echo.read(span, rows, seq, self._stage.vocabulary)
            if not echo.is_over:
                return []
            del self._echoes[span.seq]
        try:
            tokens = author.read(rows, job.draft, rows_beside) if seq.room > 0 else author.end_unasked()
        except (LogitsBroken, GuideBroken) as error:
            self._forget(span.seq, now, is_worth_keeping=False)
            fault = Fault(code="engine_failed", message=f"The answer broke off: {error}.")
            return [Failed(seq=span.seq, fault=fault)]

        self._stage.keeper.do(planner.accept(span.seq, tokens))
        frames = seq.frames()
        if seq.is_over:
            self._stage.script.note(last_words(job.tokens[: job.prompt], job.pictures), seq.generated)
            self._forget(span.seq, now, awaits_tool=seq.reason == "tool_calls")
        else:
            planner.propose(span.seq, author.guess(rows_beside))
        return frames

    def _make_room(self, plan: Plan, now: float) -> list[StepFrame]:
        """Let somebody give way where the context is fuller than planned; the next step tries again."""
        ops = self._stage.planner.give_way(now)
        if ops is not None:
            self._stage.keeper.do(ops)
            return []

        number = plan.spans[0].seq
        seq = self._authors[number].seq
        self._forget(number, now, is_worth_keeping=False)
        if seq.generated:
            seq.cut_short()
            return seq.frames()

        fault = Fault(
            code="context_length_exceeded",
            message="The prompt does not fit into the model's context. Shorten the messages, or raise the "
            "model's context_tokens in lar.toml.",
            param="messages",
        )
        return [Failed(seq=number, fault=fault)]

    def _forget(
        self, number: int, now: float, *, awaits_tool: bool = False, is_worth_keeping: bool = True
    ) -> None:
        del self._authors[number]
        self._echoes.pop(number, None)
        self._files.pop(number, None)
        planner = self._stage.planner
        ops = planner.remove(number, now, awaits_tool=awaits_tool, is_worth_keeping=is_worth_keeping)
        self._stage.keeper.do(ops)


def _words_of_prompts(plan: Plan) -> int:
    """Count the tokens that tell how fast prompts are computed: pictures take their own time."""
    spans = (span for span in plan.spans if span.picture is None)
    return sum(len(span.tokens) for span in spans if span.outputs <= 1 < len(span.tokens))
