"""One piece of work at the desk: its inputs, what is computed of them, what was sent.

    reading ──all inputs are tokens──► computing ──all are computed and sent──► over
       └────────── refused ─────────────────┴──── broken ────────────────────────► over

An input whose tokens cannot fit is refused before anything is computed.
"""

from collections.abc import Sequence
from typing import Literal

from runtime.backends.engines.embedding.encoder import Encoder
from runtime.backends.engines.embedding.planner import Piece, Turn
from runtime.backends.engines.embedding.vectors import cosine, pack_unit, squash
from runtime.backends.protocol import Content, Embed, Embedded, Fault, Finished, Rerank, Scored, Started

_RANKS = {"interactive": 0, "agent": 1, "batch": 2}
_CHARACTERS_PER_TOKEN = 64
"""A text with more of them per token of the limit is no text; it is not even read."""
_FRAME_BYTES = 1 << 20
"""Vectors in one frame."""


class Unfit(Exception):
    """The work cannot be done as it was asked; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Job:
    """An Embed or a Rerank on its way."""

    def __init__(self, work: Embed | Rerank, encoder: Encoder) -> None:
        self.seq = work.seq
        self.principal = work.principal
        self.started: Started | None = None
        self._work = work
        self._encoder = encoder
        self._texts = _texts_of(work, is_ranker=encoder.is_ranker)
        self._again = len(work.query) if encoder.is_ranker and isinstance(work, Rerank) else 0
        """Characters that are read with every text: a ranker's query."""
        self._rows: list[list[int]] = []
        self._waiting: list[Piece] = []
        self._computed_tokens = 0
        self._results: list[bytes | float | None] = []
        self._sent = 0

    @property
    def is_reading(self) -> bool:
        """Whether texts are still to become tokens."""
        return self.started is None

    def read(self, characters: int) -> None:
        """Turn texts into tokens, until about so many characters are read. Raises Unfit."""
        if not self._rows:
            self._check_dimensions()

        while len(self._rows) < len(self._texts) and characters > 0:
            text = self._texts[len(self._rows)]
            self._rows.append(self._read_one(text, len(self._rows)))
            characters -= max(1, len(text)) + self._again

        if len(self._rows) == len(self._texts):
            self._begin()

    def turn(self, spent: int) -> Turn | None:
        """Return what still has to be computed, of somebody who had so much; None where nothing has."""
        if not self._waiting:
            return None

        return Turn(_RANKS[self._work.priority], spent, self._computed_tokens, self._waiting)

    def row(self, index: int) -> Sequence[int]:
        """Return the tokens of an input."""
        return self._rows[index]

    def take(self, values: dict[int, list[float]]) -> None:
        """Take computed inputs. Raises VectorBroken."""
        dimensions = self._work.dimensions if isinstance(self._work, Embed) else None
        for index, numbers in values.items():
            self._results[index] = (
                squash(numbers[0]) if self._encoder.is_ranker else pack_unit(numbers, dimensions)
            )
            self._computed_tokens += len(self._rows[index])

        self._waiting = [piece for piece in self._waiting if piece.place not in values]

    def content(self) -> Content | None:
        """Return the next frame of content, if one is ready."""
        if self.is_reading:
            return None

        return self._vectors() if isinstance(self._work, Embed) else self._scores()

    @property
    def is_done(self) -> bool:
        """Whether all content was sent."""
        return not self.is_reading and self._sent == len(self._results)

    def finish(self, reason: Literal["stop", "cancelled"]) -> Finished:
        """Return the last frame."""
        tokens = self.started.prompt_tokens if self.started else 0
        return Finished(seq=self.seq, reason=reason, prompt_tokens=tokens, completion_tokens=0)

    def _check_dimensions(self) -> None:
        wanted = self._work.dimensions if isinstance(self._work, Embed) else None
        if wanted is not None and not 1 <= wanted <= self._encoder.dimensions:
            message = f"'dimensions' is {wanted}; the model's vectors have 1 to {self._encoder.dimensions}."
            raise Unfit(Fault(code="invalid_request", message=message, param="dimensions"))

    def _read_one(self, text: str | list[int], index: int) -> list[int]:
        encoder, param = self._encoder, self._param(index)
        if isinstance(text, list):
            foreign = next((token for token in text if not 0 <= token < encoder.vocabulary), None)
            if foreign is not None or not text:
                why = "is empty" if foreign is None else f"holds the token {foreign}"
                message = f"'{param}' {why}; the model's tokens are 0 to {encoder.vocabulary - 1}."
                raise Unfit(Fault(code="invalid_request", message=message, param=param))

        self._check_query()
        if len(text) > encoder.limit * _CHARACTERS_PER_TOKEN:
            raise _too_long(
                param, f"{len(text)} {'characters' if isinstance(text, str) else 'tokens'}", encoder
            )

        row = self._tokens_of(text)
        if not row:
            message = f"'{param}' has no tokens, so it has no vector. Leave it out."
            raise Unfit(Fault(code="invalid_request", message=message, param=param))

        if len(row) > encoder.limit:
            self._check_room()
            raise _too_long(param, f"{len(row)} tokens", encoder)

        return row

    def _tokens_of(self, text: str | list[int]) -> list[int]:
        if isinstance(text, list):
            return self._encoder.wrap(text)

        if self._encoder.is_ranker and isinstance(self._work, Rerank):
            return self._encoder.pair(self._work.query, text)

        return self._encoder.tokenize(text, adds_special=True, parses_special=False)

    def _check_query(self) -> None:
        """Raise Unfit for a ranker's query that is not even read."""
        if self._again > self._encoder.limit * _CHARACTERS_PER_TOKEN:
            raise _too_long("query", f"{self._again} characters", self._encoder)

    def _check_room(self) -> None:
        """Raise Unfit where a ranker's query leaves no room for any document."""
        if self._encoder.is_ranker and isinstance(self._work, Rerank):
            alone = len(self._encoder.pair(self._work.query, ""))
            if alone >= self._encoder.limit:
                size = f"{alone} tokens, which leave no room for a document"
                raise _too_long("query", size, self._encoder)

    def _param(self, index: int) -> str:
        if isinstance(self._work, Embed):
            return f"input[{index}]" if len(self._texts) > 1 else "input"

        first = 0 if self._encoder.is_ranker else 1
        return "query" if index < first else f"documents[{index - first}]"

    def _begin(self) -> None:
        self.started = Started(seq=self.seq, prompt_tokens=sum(map(len, self._rows)))
        pieces = [Piece(self.seq, index, len(row)) for index, row in enumerate(self._rows)]
        self._waiting = sorted(pieces, key=lambda piece: -piece.length)
        self._results = [None] * len(self._rows)

    def _vectors(self) -> Embedded | None:
        """Return the vectors that follow those that were sent, as many as are ready and fit."""
        ready: list[bytes] = []
        size = 0
        for vector in self._results[self._sent :]:
            if not isinstance(vector, bytes) or size >= _FRAME_BYTES:
                break
            ready.append(vector)
            size += len(vector)

        if not ready:
            return None

        frame = Embedded(seq=self.seq, start=self._sent, vectors=ready)
        self._sent += len(ready)
        return frame

    def _scores(self) -> Scored | None:
        """Return all scores at once, when all are known."""
        if None in self._results or self._sent:
            return None

        self._sent = len(self._results)
        if self._encoder.is_ranker:
            return Scored(seq=self.seq, scores=[each for each in self._results if isinstance(each, float)])

        query, *documents = (each for each in self._results if isinstance(each, bytes))
        return Scored(seq=self.seq, scores=[cosine(query, document) for document in documents])


def _texts_of(work: Embed | Rerank, *, is_ranker: bool) -> list[str | list[int]]:
    """Return what is computed: a ranker reads the query with each document, others read it once, alone."""
    if isinstance(work, Embed):
        return work.inputs

    return [*work.documents] if is_ranker else [work.query, *work.documents]


def _too_long(param: str, size: str, encoder: Encoder) -> Unfit:
    message = (
        f"'{param}' has {size}, but the model takes {encoder.limit} tokens at most. Shorten or split it."
    )
    return Unfit(Fault(code="context_length_exceeded", message=message, param=param))
