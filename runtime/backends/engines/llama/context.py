"""A llama.cpp context: computes spans of tokens, and moves what sequences hold. Decides nothing."""

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from runtime.backends.engines.llama.plan import Span

_DECODED, _NO_ROOM, _ABORTED = 0, 1, 2
_NUMBERS = ctypes.POINTER(ctypes.c_int32)
_VECTORS = ctypes.POINTER(ctypes.c_float)

MOST_SEQUENCES = 255
"""Ids up to here can hold tokens; only those below n_seq_max can be computed. llama.cpp has one more
(LLAMA_MAX_SEQ), which a context may keep for itself: see `Context`."""

_DOOR = 0


class ComputeFailed(Exception):
    """llama_decode refused a batch or broke; the context cannot be trusted any more."""


class Aborted(Exception):
    """The step was cut short on purpose; part of it may be in the context."""


class Batch:
    """A llama_batch over numpy memory: filled by slices, nothing allocated per token."""

    def __init__(self, rows: int, first: int = 0) -> None:
        """`first` is the sequence id of slot 0."""
        self.rows = rows
        self._first = first
        self._tokens = np.zeros(rows, np.int32)
        self._places = np.zeros(rows, np.int32)
        self._slots = np.zeros(rows, np.int32)
        self._wanted = np.zeros(rows, np.int8)
        self._slot_counts = np.ones(rows, np.int32)
        start, stride = self._slots.ctypes.data, self._slots.strides[0]
        self._slot_addresses = start + stride * np.arange(rows, dtype=np.uint64)
        self._struct = self._make_struct()

    def fill(self, spans: Sequence[Span], vectors: Any = None) -> Any:
        """Write the spans; return the struct that llama_decode takes, valid until the next fill.

        `vectors` are taken in place of tokens, one row each.
        """
        at = 0
        for span in spans:
            end = at + len(span.tokens)
            self._tokens[at:end] = span.tokens
            self._places[at:end] = np.arange(span.start, span.start + len(span.tokens))
            self._slots[at:end] = span.slot + self._first
            self._wanted[at:end] = 0
            self._wanted[end - span.outputs : end] = 1
            at = end

        struct = self._struct
        struct.n_tokens = at
        struct.token = None if vectors is not None else ctypes.cast(self._tokens.ctypes.data, _NUMBERS)
        struct.embd = None if vectors is None else ctypes.cast(vectors.ctypes.data, _VECTORS)
        return struct

    def _make_struct(self) -> Any:
        struct = llama_cpp.llama_batch()
        struct.n_tokens = 0
        struct.pos = ctypes.cast(self._places.ctypes.data, _NUMBERS)
        struct.n_seq_id = ctypes.cast(self._slot_counts.ctypes.data, _NUMBERS)
        struct.seq_id = ctypes.cast(self._slot_addresses.ctypes.data, ctypes.POINTER(_NUMBERS))
        struct.logits = ctypes.cast(self._wanted.ctypes.data, ctypes.POINTER(ctypes.c_int8))
        return struct


class Switch:
    """What llama.cpp looks at some hundred times in a step, to see whether it is to go on.

    The callback is native, since one in Python would take the interpreter's lock each time: `strlen` of a
    byte that is 0 or not, with another 0 behind it, is just that flag. Must live as long as the context.
    """

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)
        self.callback = ctypes.cast(ctypes.CDLL(None).strlen, llama_cpp.ggml_abort_callback)
        self.address = ctypes.c_void_p(ctypes.addressof(self._flag))

    @property
    def is_on(self) -> bool:
        """Whether the step is to be cut short."""
        return self._flag.raw[0] != 0

    @is_on.setter
    def is_on(self, value: bool) -> None:
        self._flag[0] = b"\1" if value else b"\0"


class Context:
    """Owns the pointer. Holders and slots are llama.cpp's sequence ids, less one where there is a door.

    llama.cpp writes the state of an id beyond n_seq_max such that it cannot be read back: its cells seem to
    be nobody's. So what such an id holds is read through id 0, the door, which holds nothing otherwise.
    """

    def __init__(self, pointer: Any, vocabulary: int, *, has_door: bool) -> None:
        """`has_door`: n_seq_max is one more than there are slots."""
        self._pointer = pointer
        self._first = 1 if has_door else 0
        self._computable = int(llama_cpp.llama_n_seq_max(pointer))
        self._memory = llama_cpp.llama_get_memory(pointer)
        self._vocabulary = vocabulary
        self._batch = Batch(int(llama_cpp.llama_n_batch(pointer)), self._first)
        self._adapter: Any = None
        self._switch = Switch()
        llama_cpp.llama_set_abort_callback(pointer, self._switch.callback, self._switch.address)

    @property
    def capacity(self) -> int:
        """How many tokens all sequences together can hold."""
        return int(llama_cpp.llama_n_ctx(self._pointer))

    @property
    def rows(self) -> int:
        """How many tokens one compute can take."""
        return self._batch.rows

    @property
    def has_memory(self) -> bool:
        """Whether the model keeps a context at all; one without it cannot generate."""
        return bool(self._memory)

    def compute(self, spans: Sequence[Span], adapter: Any = None) -> Any | None:
        """Compute the spans; return a row of logits per output, in the order of the spans.

        The rows are valid until the next compute. None means that there was no room and nothing changed.
        Raises ComputeFailed, Aborted.
        """
        self._use(adapter)
        self._switch.is_on = False
        is_done = self._decode(self._batch.fill(spans))
        return self._logits(sum(span.outputs for span in spans)) if is_done else None

    def compute_vectors(
        self, span: Span, vectors: Any, adapter: Any = None, *, sees_ahead: bool = False
    ) -> Any | None:
        """Compute a span of which not the tokens are given but their vectors, in as many goes as it takes.

        `sees_ahead`: each sees those after it too; they must not be more than `rows` then. Returns and raises
        as `compute` does; where there was no room, nothing of the span is left.
        """
        self._use(adapter)
        self._switch.is_on = False
        llama_cpp.llama_set_causal_attn(self._pointer, not sees_ahead)
        try:
            for at in range(0, len(span.tokens), self.rows):
                tokens = span.tokens[at : at + self.rows]
                outputs = span.outputs if at + len(tokens) == len(span.tokens) else 0
                part = Span(span.seq, span.slot, span.start + at, tokens, outputs)
                if not self._decode(self._batch.fill([part], vectors[at : at + len(tokens)])):
                    self.trim(span.slot, span.start)
                    return None
        finally:
            llama_cpp.llama_set_causal_attn(self._pointer, True)

        return self._logits(span.outputs)

    def abort(self) -> None:
        """Cut the running compute short; called from another thread. Between computes it does nothing."""
        self._switch.is_on = True

    def share(self, source: int, target: int, length: int) -> None:
        """Let `target` hold the first `length` tokens of `source`: no cell is copied."""
        self._copy(source + self._first, target + self._first, length)

    def drop(self, holder: int) -> None:
        """Forget what the sequence holds."""
        llama_cpp.llama_memory_seq_rm(self._memory, holder + self._first, -1, -1)

    def trim(self, holder: int, length: int) -> None:
        """Forget all but the first `length` tokens."""
        llama_cpp.llama_memory_seq_rm(self._memory, holder + self._first, length, -1)

    def read(self, holder: int) -> bytearray:
        """Return the state of a sequence, to be written back some other time; empty where it holds none."""
        seq = holder + self._first
        if seq < self._computable:
            return self._read(seq)

        assert self._first, "what cannot be computed is read through the door"
        self._copy(seq, _DOOR, -1)
        state = self._read(_DOOR)
        llama_cpp.llama_memory_seq_rm(self._memory, _DOOR, -1, -1)
        return state

    def write(self, holder: int, state: bytes | bytearray) -> bool:
        """Let an empty sequence hold what was read before; False where the state does not fit."""
        size, seq = len(state), holder + self._first
        place = (ctypes.c_uint8 * size).from_buffer(bytearray(state) if isinstance(state, bytes) else state)
        return int(llama_cpp.llama_state_seq_set_data(self._pointer, place, size, seq)) > 0

    def close(self) -> None:
        """Free the context."""
        llama_cpp.llama_free(self._pointer)

    def _copy(self, source: int, target: int, length: int) -> None:
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def _read(self, seq: int) -> bytearray:
        size = int(llama_cpp.llama_state_seq_get_size(self._pointer, seq))
        state = bytearray(size)
        place = (ctypes.c_uint8 * size).from_buffer(state)
        written = int(llama_cpp.llama_state_seq_get_data(self._pointer, place, size, seq))
        del place
        return state if written == size else bytearray()

    def _decode(self, batch: Any) -> bool:
        """Return False where there is no room. Raises ComputeFailed, Aborted."""
        status = int(llama_cpp.llama_decode(self._pointer, batch))
        if status == _ABORTED:
            raise Aborted

        if status not in (_DECODED, _NO_ROOM):
            raise ComputeFailed(f"llama_decode returned {status}")

        return status == _DECODED

    def _logits(self, count: int) -> Any:
        if not count:
            return ()

        logits = llama_cpp.llama_get_logits(self._pointer)
        return np.ctypeslib.as_array(logits, (count, self._vocabulary))

    def _use(self, adapter: Any) -> None:
        """Apply this LoRA adapter, or none, to what is computed from now on."""
        if adapter is self._adapter:
            return

        if adapter is None:
            llama_cpp.llama_set_adapters_lora(self._pointer, None, 0, None)
        else:
            adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter)
            scales = (ctypes.c_float * 1)(1.0)
            llama_cpp.llama_set_adapters_lora(self._pointer, adapters, 1, scales)
        self._adapter = adapter
