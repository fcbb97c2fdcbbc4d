"""A llama.cpp context: computes spans of tokens and gives back the logits of the complete ones."""

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from runtime.backends.engines.llama.batcher import Span

_DECODED, _NO_ROOM = 0, 1


class ComputeFailed(Exception):
    """llama_decode refused a batch or broke; the context cannot be trusted any more."""


class Batch:
    """A llama_batch over numpy memory: filled by slices, nothing allocated per token."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._tokens = np.zeros(rows, np.int32)
        self._places = np.zeros(rows, np.int32)
        self._slots = np.zeros(rows, np.int32)
        self._wanted = np.zeros(rows, np.int8)
        self._slot_counts = np.ones(rows, np.int32)
        start, stride = self._slots.ctypes.data, self._slots.strides[0]
        self._slot_addresses = start + stride * np.arange(rows, dtype=np.uint64)
        self._struct = self._make_struct()

    def fill(self, spans: Sequence[Span]) -> Any:
        """Write the spans; return the struct that llama_decode takes, valid until the next fill."""
        at = 0
        for span in spans:
            end = at + len(span.tokens)
            self._tokens[at:end] = span.tokens
            self._places[at:end] = np.arange(span.start, span.start + len(span.tokens))
            self._slots[at:end] = span.slot
            self._wanted[at:end] = 0
            self._wanted[end - 1] = span.is_complete
            at = end

        self._struct.n_tokens = at
        return self._struct

    def _make_struct(self) -> Any:
        struct = llama_cpp.llama_batch()
        number = ctypes.POINTER(ctypes.c_int32)
        struct.n_tokens = 0
        struct.embd = None
        struct.token = ctypes.cast(self._tokens.ctypes.data, number)
        struct.pos = ctypes.cast(self._places.ctypes.data, number)
        struct.n_seq_id = ctypes.cast(self._slot_counts.ctypes.data, number)
        struct.seq_id = ctypes.cast(self._slot_addresses.ctypes.data, ctypes.POINTER(number))
        struct.logits = ctypes.cast(self._wanted.ctypes.data, ctypes.POINTER(ctypes.c_int8))
        return struct


class Context:
    """Owns the pointer. Slots are llama.cpp's sequence ids."""

    def __init__(self, pointer: Any, vocabulary: int) -> None:
        self._pointer = pointer
        self._memory = llama_cpp.llama_get_memory(pointer)
        self._vocabulary = vocabulary
        self._batch = Batch(int(llama_cpp.llama_n_batch(pointer)))

    @property
    def capacity(self) -> int:
        """How many tokens all slots together can hold."""
        return int(llama_cpp.llama_n_ctx(self._pointer))

    @property
    def rows(self) -> int:
        """How many tokens one compute can take."""
        return self._batch.rows

    @property
    def has_memory(self) -> bool:
        """Whether the model keeps a context at all; one without it cannot generate."""
        return bool(self._memory)

    def compute(self, spans: Sequence[Span]) -> Any | None:
        """Compute the spans; return a row of logits per complete one, in their order.

        The rows are valid until the next compute. None means that there was no room and nothing changed.
        Raises ComputeFailed.
        """
        status = int(llama_cpp.llama_decode(self._pointer, self._batch.fill(spans)))
        if status == _NO_ROOM:
            return None

        if status != _DECODED:
            raise ComputeFailed(f"llama_decode returned {status}")

        count = sum(span.is_complete for span in spans)
        if not count:
            return ()

        logits = llama_cpp.llama_get_logits(self._pointer)
        return np.ctypeslib.as_array(logits, (count, self._vocabulary))

    def clear(self, slot: int) -> None:
        """Forget what the slot holds."""
        llama_cpp.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def close(self) -> None:
        """Free the context."""
        llama_cpp.llama_free(self._pointer)
