"""The whole of an embedding engine but its library: work in, frames out, one batch a step.

What the seqs ask for is turned into tokens a slice at a time, computed in batches across all of them, and
sent in the order of their inputs. Engines hold a desk over their encoder and pass every call on to it.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence, Set

from runtime.backends.engines.contract import StepFrame
from runtime.backends.engines.embedding.encoder import EncodeFailed, Encoder
from runtime.backends.engines.embedding.job import Job, Unfit
from runtime.backends.engines.embedding.planner import Piece, plan_batch
from runtime.backends.engines.embedding.shares import Shares
from runtime.backends.engines.embedding.vectors import VectorBroken
from runtime.backends.protocol import (
    Delta,
    Detokenize,
    Embed,
    Failed,
    Fault,
    Finished,
    Generate,
    Rerank,
    Started,
    Tokenize,
    Tokenized,
    Work,
)

_READ_CHARACTERS = 200_000
"""Turned into tokens in one step, of all seqs together: some tenths of a second."""
_TOKENIZE_CHARACTERS = 1_000_000
"""More is refused: it would hold up everybody."""


class Desk:
    """The seqs of one embedding model."""

    def __init__(
        self, encoder: Encoder, tokenize_chat: Callable[[Generate], list[int]] | None = None
    ) -> None:
        """`tokenize_chat` gives the tokens of a chat's prompt, where there are chats; may raise Unfit."""
        self._encoder = encoder
        self._tokenize_chat = tokenize_chat
        self._jobs: dict[int, Job] = {}
        self._quick: dict[int, Tokenize | Detokenize] = {}
        self._refused: dict[int, Failed] = {}
        self._cancelled: set[int] = set()
        self._shares = Shares()
        self._embedded_tokens = 0
        self._padding_tokens = 0

    def submit(self, work: Work) -> None:
        """Take a piece of work; the next step looks at it."""
        match work:
            case Embed() if not self._encoder.is_ranker:
                self._enter(work)
            case Rerank():
                self._enter(work)
            case Tokenize() if work.chat is None or self._tokenize_chat is not None:
                self._quick[work.seq] = work
            case Detokenize():
                self._quick[work.seq] = work
            case Generate() | Tokenize() | Embed():
                self._refused[work.seq] = Failed(seq=work.seq, fault=self._cannot(work))

    def _enter(self, work: Embed | Rerank) -> None:
        self._shares.keep({job.principal for job in self._jobs.values()})
        self._shares.enter(work.principal)
        self._jobs[work.seq] = Job(work, self._encoder)

    def cancel(self, seq: int) -> None:
        """End the seq at the next step; unknown seqs are ignored."""
        if seq in self._jobs or seq in self._quick or seq in self._refused:
            self._cancelled.add(seq)

    def interrupt(self, seq: int) -> None:
        """Do nothing: a step is one batch, over in a second or so."""

    def is_busy(self) -> bool:
        """Whether any seq is live, blocked ones included."""
        return bool(self._jobs or self._quick or self._refused)

    def gauges(self) -> dict[str, float]:
        """Return how many seqs live, and what was computed for nobody to see."""
        return {
            "seqs_live": len(self._jobs) + len(self._quick) + len(self._refused),
            "seqs_waiting": 0,
            "embedded_tokens": self._embedded_tokens,
            "padding_tokens": self._padding_tokens,
        }

    def close(self) -> None:
        """Drop every seq and free the model."""
        self._jobs.clear()
        self._quick.clear()
        self._refused.clear()
        self._cancelled.clear()
        self._encoder.close()

    def step(self, blocked: Set[int]) -> list[StepFrame]:
        """Read some, compute one batch, and give what is ready of every seq that is not blocked."""
        frames = self._end_cancelled()
        frames += self._answer_quick(blocked)
        frames += self._read(blocked)
        frames += self._compute(blocked)
        return [*frames, *self._deliver(blocked)]

    def _end_cancelled(self) -> list[StepFrame]:
        frames: list[StepFrame] = []
        for seq in sorted(self._cancelled):
            job = self._jobs.pop(seq, None)
            self._quick.pop(seq, None)
            self._refused.pop(seq, None)
            ended = Finished(seq=seq, reason="cancelled", prompt_tokens=0, completion_tokens=0)
            frames.append(job.finish("cancelled") if job else ended)

        self._cancelled.clear()
        return frames

    def _answer_quick(self, blocked: Set[int]) -> list[StepFrame]:
        """Answer what takes no computing: refusals, tokens, texts."""
        told = [seq for seq in self._refused if seq not in blocked]
        frames: list[StepFrame] = [self._refused.pop(seq) for seq in told]
        for seq in [seq for seq in self._quick if seq not in blocked]:
            work = self._quick.pop(seq)
            try:
                frames += self._tokenize(work) if isinstance(work, Tokenize) else self._detokenize(work)
            except Unfit as unfit:
                frames.append(Failed(seq=seq, fault=unfit.fault))

        return frames

    def _tokenize(self, work: Tokenize) -> list[StepFrame]:
        text = work.text or ""
        if len(text) > _TOKENIZE_CHARACTERS:
            message = f"The text has {len(text)} characters; {_TOKENIZE_CHARACTERS} are the limit. Split it."
            raise Unfit(Fault(code="invalid_request", message=message, param="content"))

        if work.chat is not None and self._tokenize_chat is not None:
            tokens = self._tokenize_chat(work.chat)
        else:
            special, named = work.adds_special, work.parses_special
            tokens = self._encoder.tokenize(text, adds_special=special, parses_special=named)

        pieces = [self._encoder.spell(token) for token in tokens]
        return [
            Started(seq=work.seq, prompt_tokens=len(tokens)),
            Tokenized(seq=work.seq, tokens=tokens, pieces=pieces),
            Finished(seq=work.seq, reason="stop", prompt_tokens=len(tokens), completion_tokens=0),
        ]

    def _detokenize(self, work: Detokenize) -> list[StepFrame]:
        highest = self._encoder.vocabulary - 1
        foreign = next((token for token in work.tokens if not 0 <= token <= highest), None)
        if foreign is not None:
            message = f"'tokens' holds {foreign}; the model's tokens are 0 to {highest}."
            raise Unfit(Fault(code="invalid_request", message=message, param="tokens"))

        text, count = self._encoder.detokenize(work.tokens), len(work.tokens)
        return [
            Started(seq=work.seq, prompt_tokens=count),
            *([Delta(seq=work.seq, text=text, tokens=0)] if text else []),
            Finished(seq=work.seq, reason="stop", prompt_tokens=count, completion_tokens=0),
        ]

    def _read(self, blocked: Set[int]) -> list[StepFrame]:
        frames: list[StepFrame] = []
        reading = [job for job in self._jobs.values() if job.is_reading and job.seq not in blocked]
        for job in reading:
            try:
                job.read(max(1, _READ_CHARACTERS // len(reading)))
            except Unfit as unfit:
                frames.append(self._break(job.seq, unfit.fault))
                continue

            if job.started is not None:
                frames.append(job.started)

        return frames

    def _compute(self, blocked: Set[int]) -> list[StepFrame]:
        """Compute one batch; a batch that cannot be computed fails every seq that has a part in it."""
        able = [job for job in self._jobs.values() if job.seq not in blocked]
        turns = [turn for job in able if (turn := job.turn(self._shares.spent(job.principal)))]
        chosen = plan_batch(turns, self._encoder.batch_tokens, is_padded=self._encoder.is_padded)
        if not chosen:
            return []

        rows = [self._jobs[piece.seq].row(piece.place) for piece in chosen]
        try:
            computed = self._encoder.encode(rows)
        except EncodeFailed as problem:
            fault = Fault(code="engine_failed", message=f"The model could not compute: {problem}.")
            return [self._break(seq, fault) for seq in dict.fromkeys(piece.seq for piece in chosen)]

        self._count(rows)
        return self._hand_out(chosen, computed)

    def _hand_out(self, chosen: Sequence[Piece], computed: Sequence[list[float]]) -> list[StepFrame]:
        shares: defaultdict[int, dict[int, list[float]]] = defaultdict(dict)
        for piece, values in zip(chosen, computed, strict=True):
            shares[piece.seq][piece.place] = values
            self._shares.charge(self._jobs[piece.seq].principal, piece.length)

        frames: list[StepFrame] = []
        for seq, values_of in shares.items():
            try:
                self._jobs[seq].take(values_of)
            except VectorBroken as problem:
                message = f"The model gave no usable result: {problem}. Its weights are damaged."
                frames.append(self._break(seq, Fault(code="engine_failed", message=message)))

        return frames

    def _deliver(self, blocked: Set[int]) -> list[StepFrame]:
        frames: list[StepFrame] = []
        for job in [job for job in self._jobs.values() if job.seq not in blocked]:
            content = job.content()
            if content is not None:
                frames.append(content)

            if job.is_done:
                frames.append(self._jobs.pop(job.seq).finish("stop"))

        return frames

    def _break(self, seq: int, fault: Fault) -> Failed:
        del self._jobs[seq]
        return Failed(seq=seq, fault=fault)

    def _count(self, rows: Sequence[Sequence[int]]) -> None:
        tokens = sum(map(len, rows))
        self._embedded_tokens += tokens
        if self._encoder.is_padded:
            self._padding_tokens += len(rows) * max(map(len, rows)) - tokens

    def _cannot(self, work: Work) -> Fault:
        what = "makes vectors of texts and ranks documents"
        if self._encoder.is_ranker:
            what = "ranks documents and does nothing else"

        asked = "make vectors" if isinstance(work, Embed) else "write answers or read chats"
        message = f"This model cannot {asked}: it {what}. Choose another model."
        return Fault(code="unsupported_parameter", message=message, param="model")
