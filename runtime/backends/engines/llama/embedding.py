"""Embedding and ranking models in llama.cpp: a context that pools, under the desk of all embedding engines.

How states become a vector (mean, first or last token, a ranking head) is what the weights say. Whoever loads
the model keeps it; closing an engine here frees its context alone.
"""

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import llama_cpp

from runtime.backends.engines.contract import LoadRefused
from runtime.backends.engines.embedding.desk import Desk
from runtime.backends.engines.embedding.encoder import EncodeFailed
from runtime.backends.engines.llama.vocabulary import Vocabulary
from runtime.backends.protocol import Fault, ModelFacts, Tuning

_ROWS = 64
"""Inputs in one call of llama.cpp, which numbers them."""


def is_embedding_model(pointer: Any) -> bool:
    """Whether an opened model makes vectors or scores in place of text."""
    architecture = _metadata(pointer, "general.architecture")
    pooling = _metadata(pointer, f"{architecture}.pooling_type")
    causal = _metadata(pointer, f"{architecture}.attention.causal")
    return pooling not in (None, str(llama_cpp.LLAMA_POOLING_TYPE_NONE)) or causal == "false"


class EmbeddingEngine(Desk):
    """An opened embedding model as an engine, less `load`."""

    def __init__(self, pointer: Any, vocabulary: Vocabulary, tuning: Tuning) -> None:
        """Make a context for the model. Raises LoadRefused."""
        self._llama = LlamaEncoder(pointer, vocabulary, tuning)
        self._pointer = pointer
        self._sequences = tuning.sequences
        super().__init__(self._llama)

    def facts(self) -> ModelFacts:
        """Describe the model."""
        buffer = ctypes.create_string_buffer(256)
        llama_cpp.llama_model_desc(self._pointer, buffer, len(buffer))
        encoder = self._llama
        return ModelFacts(
            context_tokens=encoder.limit,
            sequences=self._sequences,
            vocabulary=encoder.vocabulary,
            parameters=int(llama_cpp.llama_model_n_params(self._pointer)),
            description=buffer.value.decode("utf-8", "replace"),
            dimensions=0 if encoder.is_ranker else encoder.dimensions,
            features=("rerank", "tokenize") if encoder.is_ranker else ("embeddings", "rerank", "tokenize"),
        )


class LlamaEncoder:
    """A pooling context of llama.cpp."""

    name = "llama"
    is_padded = False

    def __init__(self, pointer: Any, vocabulary: Vocabulary, tuning: Tuning) -> None:
        """Make the context. Raises LoadRefused."""
        trained = int(llama_cpp.llama_model_n_ctx_train(pointer))
        self.limit = min(tuning.context_tokens, trained) if trained > 0 else tuning.context_tokens
        self.vocabulary = vocabulary.size
        self.batch_tokens = tuning.batch_tokens
        self._model = pointer
        self._words = vocabulary
        self._raw_vocabulary = llama_cpp.llama_model_get_vocab(pointer)
        self._room = max(self.limit, self.batch_tokens)
        self._context = self._open(tuning)
        self.is_ranker = llama_cpp.llama_pooling_type(self._context) == llama_cpp.LLAMA_POOLING_TYPE_RANK
        self.dimensions = self._width()
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(self._room, 0, 1)
        self._before, self._after = self._specials()

    def tokenize(self, text: str, *, adds_special: bool, parses_special: bool) -> list[int]:
        """Return the tokens of a text."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 16
        while True:
            tokens = (ctypes.c_int32 * room)()
            count = llama_cpp.llama_tokenize(
                self._raw_vocabulary, data, len(data), tokens, room, adds_special, parses_special
            )
            if count >= 0:
                return list(tokens[:count])

            room = -int(count)

    def wrap(self, tokens: Sequence[int]) -> list[int]:
        """Put the special tokens around, where they are missing."""
        row = list(tokens)
        if row[: len(self._before)] != self._before:
            row = self._before + row
        if self._after and row[-len(self._after) :] != self._after:
            row += self._after

        return row

    def pair(self, query: str, document: str) -> list[int]:
        """Return query and document as the model's own template writes them, or with its special tokens."""
        template = llama_cpp.llama_model_chat_template(self._model, b"rerank")
        if template:
            text = template.decode("utf-8", "replace")
            # One pass each way: what a document says is never taken for a place to fill.
            halves = [half.replace("{query}", query) for half in text.split("{document}")]
            return self.tokenize(document.join(halves), adds_special=True, parses_special=True)

        end = self._after or [int(llama_cpp.llama_vocab_sep(self._raw_vocabulary))]
        has_separator = bool(
            llama_cpp.llama_vocab_get_add_sep(self._raw_vocabulary)
            and llama_cpp.llama_vocab_get_add_eos(self._raw_vocabulary)
        )
        between = [int(llama_cpp.llama_vocab_sep(self._raw_vocabulary))] if has_separator else []
        first = self.tokenize(query, adds_special=False, parses_special=False)
        second = self.tokenize(document, adds_special=False, parses_special=False)
        return [*self._before, *first, *end, *between, *second, *end]

    def spell(self, token: int) -> bytes:
        """Return the bytes of a token, control tokens too."""
        return self._words.name(token)

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; control tokens add nothing."""
        return b"".join(map(self._words.show, tokens)).decode("utf-8", "replace").strip()

    def encode(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Compute a batch. Raises EncodeFailed."""
        return [values for part in self._parts(rows) for values in self._compute(part)]

    def close(self) -> None:
        """Free the context; the model stays with whoever opened it."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._context)

    def _parts(self, rows: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
        """Cut a batch into what one call takes."""
        part: list[Sequence[int]] = []
        used = 0
        for row in rows:
            if part and (len(part) == _ROWS or used + len(row) > self._room):
                yield part
                part, used = [], 0
            part.append(row)
            used += len(row)
        yield part

    def _compute(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        batch = self._batch
        at = 0
        for number, row in enumerate(rows):
            for position, token in enumerate(row):
                batch.token[at], batch.pos[at] = token, position
                batch.n_seq_id[at], batch.seq_id[at][0] = 1, number
                batch.logits[at] = True
                at += 1
        batch.n_tokens = at
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, True)
            status = llama_cpp.llama_decode(self._context, batch)
        else:
            status = llama_cpp.llama_encode(self._context, batch)

        if status != 0:
            raise EncodeFailed(f"llama.cpp gave up on {at} tokens with status {status}")

        width = 1 if self.is_ranker else self.dimensions
        return [self._read(number, width) for number in range(len(rows))]

    def _read(self, number: int, width: int) -> list[float]:
        found = llama_cpp.llama_get_embeddings_seq(self._context, number)
        if not found:
            raise EncodeFailed(f"llama.cpp has no result for input {number} of its batch")

        return [float(value) for value in found[:width]]

    def _open(self, tuning: Tuning) -> Any:
        params = llama_cpp.llama_context_default_params()
        architecture = _metadata(self._model, "general.architecture")
        is_causal = _metadata(self._model, f"{architecture}.attention.causal") != "false"
        # Attention that looks both ways needs an input whole, so the physical batch holds the longest. The
        # context is what all inputs of a batch share, where there is one.
        params.n_batch = params.n_ubatch = self._room
        params.n_ctx = self._room if is_causal else self.limit
        params.n_seq_max = _ROWS
        params.kv_unified = True
        params.embeddings = True
        params.n_threads = params.n_threads_batch = tuning.threads
        none = str(llama_cpp.LLAMA_POOLING_TYPE_NONE)
        if _metadata(self._model, f"{architecture}.pooling_type") in (None, none):
            # Weights that do not say: the mean is what most are made for.
            params.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_MEAN

        context = llama_cpp.llama_init_from_model(self._model, params)
        if not context:
            message = (
                f"There is no room to compute {self._room} tokens at once. Lower the model's context_tokens "
                "in lar.toml."
            )
            raise LoadRefused(Fault(code="insufficient_memory", message=message))

        return context

    def _width(self) -> int:
        return int(llama_cpp.llama_model_n_embd_out(self._model))

    def _specials(self) -> tuple[list[int], list[int]]:
        """Return the tokens that the model expects before and after a text."""
        plain = self.tokenize("a", adds_special=False, parses_special=False)
        whole = self.tokenize("a", adds_special=True, parses_special=False)
        start = next((at for at in range(len(whole)) if whole[at : at + len(plain)] == plain), 0)
        return whole[:start], whole[start + len(plain) :]


def _metadata(pointer: Any, key: str) -> str | None:
    """Return a fact of the weights as text; None where they do not hold it."""
    buffer = ctypes.create_string_buffer(256)
    length = int(llama_cpp.llama_model_meta_val_str(pointer, key.encode(), buffer, len(buffer)))
    return buffer.value.decode("utf-8", "replace") if length >= 0 else None
