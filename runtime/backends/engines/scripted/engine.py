"""The scripted engine: fulfils the engine contract without weights, the same way every time.

Up to `sequences` seqs play side by side, the rest wait in order of arrival. What is answered is decided in
`answer`, how it is played in `playback`.
"""

from collections import deque
from collections.abc import Callable, Set
from pathlib import Path

from runtime.backends.engines.contract import LoadRefused, StepFrame
from runtime.backends.engines.scripted.playback import Playback
from runtime.backends.engines.scripted.surroundings import Process, Surroundings
from runtime.backends.protocol import Failed, Fault, Generate, ModelFacts, Tuning, Work


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
        self._refused: list[Failed] = []

    def load(self, path: str | None, tuning: Tuning, report: Callable[[float], None]) -> ModelFacts:
        """Take the tuning. There is nothing to read, but a path that is given must exist.

        Raises LoadRefused.
        """
        if path is not None and not Path(path).exists():
            message = f"There is nothing at {path}. The scripted engine needs no path: leave it out."
            raise LoadRefused(Fault(code="model_broken", message=message))

        self._tuning = tuning
        report(1.0)
        return ModelFacts(
            context_tokens=tuning.context_tokens,
            sequences=tuning.sequences,
            description="Answers from a script, without weights",
        )

    def submit(self, request: Work) -> None:
        """Take a generation; it waits while all places are taken."""
        if not isinstance(request, Generate):
            message = "The scripted engine writes answers only; choose another model."
            fault = Fault(code="unsupported_parameter", message=message, param="model")
            self._refused.append(Failed(seq=request.seq, fault=fault))
            return

        self._waiting.append(Playback(request, self._tuning.context_tokens, self._surroundings))

    def cancel(self, seq: int) -> None:
        """Mark a seq to end at the next step; unknown seqs are ignored."""
        if any(playback.seq == seq for playback in (*self._playing, *self._waiting)):
            self._cancelled.add(seq)

    def step(self, blocked: Set[int]) -> list[StepFrame]:
        """Advance every seq that has a place, is not blocked and is not slowed down; never waits."""
        frames = [*self._end_cancelled(), *self._refused]
        self._refused = []
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
        return bool(self._playing or self._waiting or self._refused)

    def gauges(self) -> dict[str, float]:
        """Return how many seqs play and wait."""
        return {"seqs_live": len(self._playing), "seqs_waiting": len(self._waiting)}

    def close(self) -> None:
        """Forget every seq."""
        self._playing = []
        self._waiting.clear()
        self._cancelled.clear()
        self._refused.clear()

    def _end_cancelled(self) -> list[StepFrame]:
        if not self._cancelled:
            return []

        live = (*self._playing, *self._waiting)
        frames: list[StepFrame] = [each.cancel() for each in live if each.seq in self._cancelled]
        self._playing = [each for each in self._playing if not each.is_over]
        self._waiting = deque(each for each in self._waiting if not each.is_over)
        self._cancelled.clear()
        return frames
