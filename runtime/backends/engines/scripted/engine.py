"""The scripted engine: fulfils the engine contract without weights, the same way every time.

Up to `sequences` seqs play side by side, the rest wait in order of arrival. What is answered is decided in
`answer`, how it is played in `playback`; vectors, scores and tokens come from the desk of all embedding
engines, over an encoder that makes them up.
"""

from collections import deque
from collections.abc import Callable, Set
from pathlib import Path

import msgspec

from runtime.backends.engines.contract import LoadRefused, StepFrame
from runtime.backends.engines.embedding.desk import Desk
from runtime.backends.engines.embedding.job import Unfit
from runtime.backends.engines.scripted.chat import Refused, read_chat
from runtime.backends.engines.scripted.encoder import DIMENSIONS, ScriptedEncoder
from runtime.backends.engines.scripted.playback import Playback
from runtime.backends.engines.scripted.surroundings import Process, Surroundings
from runtime.backends.engines.scripted.vocabulary import SIZE, Vocabulary
from runtime.backends.protocol import Failed, Fault, Finished, Generate, ModelFacts, Tuning, Work


class ScriptedEngine:
    """An engine whose answers follow from the request alone."""

    name = "scripted"
    version = "1"

    def __init__(self, surroundings: Surroundings | None = None) -> None:
        self._surroundings = surroundings or Process()
        self._tuning = Tuning()
        self._playing: list[Playback] = []
        self._waiting: deque[Playback] = deque()
        self._cancelled: set[int] = set()
        self._refused: dict[int, Failed] = {}
        self._vocabulary = Vocabulary()
        self._desk = self._make_desk()

    def load(self, path: str | None, tuning: Tuning, report: Callable[[float], None]) -> ModelFacts:
        """Take the tuning. There is nothing to read, but a path that is given must exist.

        Raises LoadRefused.
        """
        if path is not None and not Path(path).exists():
            message = f"There is nothing at {path}. The scripted engine needs no path: leave it out."
            raise LoadRefused(Fault(code="model_broken", message=message))

        self._tuning = tuning
        self._desk = self._make_desk()
        report(1.0)
        return ModelFacts(
            context_tokens=tuning.context_tokens,
            sequences=tuning.sequences,
            vocabulary=SIZE,
            dimensions=DIMENSIONS,
            description="Answers from a script, without weights",
        )

    def _make_desk(self) -> Desk:
        return Desk(ScriptedEncoder(self._vocabulary, self._tuning.context_tokens), self._tokenize_chat)

    def submit(self, request: Work) -> None:
        """Take a piece of work; a generation waits while all places are taken."""
        if not isinstance(request, Generate):
            self._desk.submit(request)
            return

        if request.adapter is not None and request.adapter not in self._tuning.adapters:
            self._refused[request.seq] = Failed(seq=request.seq, fault=self._no_adapter(request.adapter))
            return

        playback = Playback(self._with_text(request), self._tuning.context_tokens, self._surroundings)
        self._waiting.append(playback)

    def cancel(self, seq: int) -> None:
        """Mark a seq to end at the next step; unknown seqs are ignored."""
        is_here = any(playback.seq == seq for playback in (*self._playing, *self._waiting))
        if is_here or seq in self._refused:
            self._cancelled.add(seq)

        self._desk.cancel(seq)

    def interrupt(self, seq: int) -> None:
        """Do nothing: no step takes long."""

    def step(self, blocked: Set[int]) -> list[StepFrame]:
        """Advance every seq that has a place, is not blocked and is not slowed down; never waits."""
        frames = [*self._end_cancelled(), *self._refuse(blocked), *self._desk.step(blocked)]
        while self._waiting and len(self._playing) < self._tuning.sequences:
            self._playing.append(self._waiting.popleft())

        now = self._surroundings.monotonic()
        for playback in self._playing:
            if playback.seq not in blocked and playback.is_due(now):
                frames += playback.advance(now)

        self._playing = [playback for playback in self._playing if not playback.is_over]
        return frames

    def is_busy(self) -> bool:
        """Whether any seq is live, waiting and blocked ones included."""
        return bool(self._playing or self._waiting or self._refused or self._desk.is_busy())

    def gauges(self) -> dict[str, float]:
        """Return how many seqs play and wait."""
        desk = self._desk.gauges()
        live = len(self._playing) + desk["seqs_live"]
        return desk | {"seqs_live": live, "seqs_waiting": len(self._waiting)}

    def close(self) -> None:
        """Forget every seq."""
        self._playing = []
        self._waiting.clear()
        self._cancelled.clear()
        self._refused.clear()
        self._desk.close()

    def _end_cancelled(self) -> list[StepFrame]:
        if not self._cancelled:
            return []

        live = (*self._playing, *self._waiting)
        frames: list[StepFrame] = [each.cancel() for each in live if each.seq in self._cancelled]
        for seq in self._cancelled & self._refused.keys():
            del self._refused[seq]
            frames.append(Finished(seq=seq, reason="cancelled", prompt_tokens=0, completion_tokens=0))
        self._playing = [each for each in self._playing if not each.is_over]
        self._waiting = deque(each for each in self._waiting if not each.is_over)
        self._cancelled.clear()
        return frames

    def _refuse(self, blocked: Set[int]) -> list[StepFrame]:
        return [self._refused.pop(seq) for seq in list(self._refused) if seq not in blocked]

    def _no_adapter(self, name: str) -> Fault:
        known = ", ".join(self._tuning.adapters) or "none"
        message = f"The model has no adapter '{name}'. Known: {known}. Add adapters in lar.toml."
        return Fault(code="invalid_request", message=message, param="adapter")

    def _with_text(self, request: Generate) -> Generate:
        """Return the request with its raw prompt as text, where that came as tokens."""
        prompt = request.prompt
        if prompt is None or prompt.tokens is None:
            return request

        text = self._vocabulary.text(prompt.tokens)
        return msgspec.structs.replace(
            request, prompt=msgspec.structs.replace(prompt, text=text, tokens=None)
        )

    def _tokenize_chat(self, request: Generate) -> list[int]:
        """Return the tokens of a chat's prompt. Raises Unfit."""
        try:
            return self._vocabulary.number(read_chat(self._with_text(request)).list_pieces())
        except Refused as refusal:
            raise Unfit(refusal.fault) from refusal
