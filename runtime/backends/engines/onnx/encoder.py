"""An embedding or ranking model as an ONNX file: tokens in, vectors or scores out.

States of tokens are pooled as the files beside the weights say, by their mean where these say nothing. Of a
ranker's two labels the second is `fits`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runtime.backends.engines.embedding.encoder import EncodeFailed
from runtime.backends.engines.onnx.beside import Beside, Pooling, read_beside
from runtime.backends.engines.onnx.graph import Graph, open_graph
from runtime.backends.engines.onnx.pooling import Floats, pool
from runtime.backends.engines.onnx.refusal import refused
from runtime.backends.engines.onnx.words import Words, open_words
from runtime.backends.protocol import Tuning

_TRIED_TOKENS = 1024
"""A longer limit is believed where the model's own files state it: to try it would take a minute."""


class _Misshapen(EncodeFailed):
    """What the model gives is neither vectors nor scores."""


class OnnxEncoder:
    """One loaded model. Made by `open_encoder`."""

    name = "onnx"
    is_padded = True

    def __init__(self, graph: Graph, words: Words, poolings: Sequence[Pooling], tuning: Tuning) -> None:
        self._graph = graph
        self._words = words
        self._poolings = tuple(poolings) or ("mean",)
        self.is_ranker = graph.output.kind == "scores"
        self.limit = tuning.context_tokens
        self.batch_tokens = tuning.batch_tokens
        self.vocabulary = words.vocabulary
        self.dimensions = 0
        """Known once a batch was computed."""

    @property
    def description(self) -> str:
        """What it is, for people."""
        if self.is_ranker:
            return "ONNX cross-encoder"

        pooled = f"{' and '.join(self._poolings)} pooling"
        how = pooled if self._graph.output.kind == "states" else f"as {self._graph.output.name}"
        return f"ONNX embedding model, {self.dimensions} dimensions, {how}"

    def tokenize(self, text: str, *, adds_special: bool, parses_special: bool) -> list[int]:
        """Return the tokens of a text; unless parsed, the name of a special token is text like any other."""
        return self._words.tokenize(text, adds_special=adds_special, parses_special=parses_special)

    def wrap(self, tokens: Sequence[int]) -> list[int]:
        """Put the special tokens around, where they are missing."""
        return self._words.wrap(tokens)

    def pair(self, query: str, document: str) -> list[int]:
        """Return query and document as one row."""
        return self._words.pair(query, document)

    def spell(self, token: int) -> bytes:
        """Return a token as the vocabulary spells it."""
        return self._words.spell(token)

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return self._words.detokenize(tokens)

    def encode(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Compute a batch. Raises EncodeFailed."""
        width = max(map(len, rows))
        ids = np.full((len(rows), width), self._words.pad, np.int64)
        mask = np.zeros_like(ids)
        types = np.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
            if self.is_ranker and self._graph.takes_types:
                types[place, : len(row)] = self._words.types(row)

        values = self._values(self._graph.run(ids, mask, types), mask.astype(np.float32))
        if len(values) != len(rows):
            raise EncodeFailed(f"it gave {len(values)} results for {len(rows)} texts")

        return [[float(number) for number in row] for row in values.tolist()]

    def try_out(self, tokens: int) -> None:
        """Compute one text of so many tokens, and learn the width of a vector. Raises EncodeFailed."""
        # Not padding, of which some models find the positions.
        token = 1 if self._words.pad == 0 else 0
        self.dimensions = len(self.encode([[token] * tokens])[0])

    def close(self) -> None:
        """Free the model."""
        del self._graph

    def _values(self, found: Floats, mask: Floats) -> Floats:
        expected = 3 if self._graph.output.kind == "states" else 2
        if self.is_ranker:
            return _logits(found)

        if found.ndim != expected:
            raise _Misshapen(f"gives {self._graph.output.name} of the shape {list(found.shape)}")

        return pool(found, mask, self._poolings) if expected == 3 else found


def open_encoder(path: Path, tuning: Tuning) -> OnnxEncoder:
    """Load the model and its tokenizer, and compute a long input once. Raises LoadRefused."""
    if not path.is_file():
        raise refused(
            f"There is nothing at {path}. Install the model again, or correct its path in lar.toml."
        )

    beside = read_beside(path)
    words = open_words(path, beside)
    graph = open_graph(path, tuning.threads, beside.classifier)
    _check(path, graph, words, beside)
    encoder = OnnxEncoder(graph, words, beside.poolings, tuning)
    encoder.limit = min(encoder.limit, beside.limit or encoder.limit)
    tried = encoder.limit if beside.limit is None else min(encoder.limit, _TRIED_TOKENS)
    try:
        encoder.try_out(tried)
    except _Misshapen as problem:
        raise refused(f"{path} {problem}. Choose another model, or export it as such.") from problem
    except EncodeFailed as problem:
        raise refused(
            f"The model at {path} cannot compute {tried} tokens: {problem}. "
            "Lower its context_tokens in lar.toml to what it was made for."
        ) from problem

    return encoder


def _check(path: Path, graph: Graph, words: Words, beside: Beside) -> None:
    """Raise LoadRefused for a model whose results would be wrong."""
    if graph.output.kind == "states" and beside.modules:
        raise refused(
            f"{path} gives states of tokens, but its modules.json computes {', '.join(beside.modules)} after "
            "pooling, which this engine does not. Export it with the output 'sentence_embedding', which "
            "holds all of it."
        )

    if graph.output.kind == "scores" and graph.takes_types and not words.tells_texts_apart:
        raise refused(
            f"{path} asks which text of a pair a token belongs to, and its tokenizer.json does not say so as "
            "this engine knows it: 0 for the query, 1 after a special token. Save the model's own tokenizer."
        )


def _logits(found: Floats) -> Floats:
    """Return what is to become a score for each row. Raises EncodeFailed."""
    labels = found.reshape(len(found), -1) if found.ndim in (1, 2) else found
    match labels.shape[1:]:
        case (1,):
            return labels
        case (2,):
            # The softmax of the second label of two is the sigmoid of this.
            return labels[:, 1:] - labels[:, :1]
        case _:
            raise _Misshapen(
                f"gives scores of the shape {list(found.shape)}. A ranker has 1 label, or 2 of which the "
                "second is that the document fits"
            )
