"""How much memory a model will take before it is loaded, from what its file says. Pure.

The formulas follow how llama.cpp lays a context out, and count what comes to be in memory, not what is only
reserved. Where models differ in ways that their files do not tell, the larger figure is taken.
"""

from typing import NamedTuple

import msgspec

from runtime.backends.engines.llama.metadata import KEEPS_WHOLE_WINDOWS, Layer, Metadata
from runtime.backends.protocol import Tuning

MIB = 1024 * 1024

UBATCH_TOKENS = 512
"""Tokens that the engine computes at once, at most."""
_CELL_STEP = 256
"""llama.cpp rounds the cells of a cache up to a multiple of this."""
_BITS = {
    "f32": 32.0,
    "f16": 16.0,
    "bf16": 16.0,
    "q8_0": 8.5,
    "q5_1": 6.0,
    "q5_0": 5.5,
    "q4_1": 5.0,
    "q4_0": 4.5,
}
"""Bits per number of a cache, the scales of its blocks included."""
_FLOAT_BYTES = 4
_MASK_BYTES = 2
_FEED_FORWARDS, _EMBEDDINGS, _ATTENTIONS = 4.5, 6.0, 4.0
"""How many such rows are alive at once inside a block; the widest decides. Measured on two models."""
_FULL_MASKS = 3
"""Masks of attention that looks both ways: in whole floats, and a copy in half ones."""
_EMBEDDED_TOGETHER = 64
"""Inputs that an embedding model computes at once."""
_OUTPUT_ROWS = 16
"""Rows of logits in one step where tokens are guessed ahead."""
_PROCESS_BYTES = 56 * MIB
"""The worker with its libraries, before it loads anything."""
_TOKEN_BYTES = 320
"""What one entry of the vocabulary takes in the worker's tables."""
_GRAMMAR_TOKEN_BYTES = 480
"""What it takes in the tokenizer of grammars, which models that generate have besides."""
_OTHER_FACTOR = 1.25
"""Weights in memory against weights on disk, for engines that tell nothing beforehand."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a loaded model takes, in bytes. All but the last is main memory."""

    weights_bytes: int = 0
    cache_bytes: int = 0
    """Keys and values of the whole context, recurrent states, prefixes that are kept besides."""
    compute_bytes: int = 0
    """What is alive while a step is computed, and its logits."""
    worker_bytes: int = 0
    """The process itself and its vocabulary."""
    device_bytes: int = 0
    """Memory of the accelerator: the layers that it takes, with their share of all the above."""

    @property
    def total_bytes(self) -> int:
        """Main memory altogether."""
        return self.weights_bytes + self.cache_bytes + self.compute_bytes + self.worker_bytes


class Shape(NamedTuple):
    """How a context is laid out."""

    rows: int
    """Tokens that are computed at once."""
    sequences: int
    whole_cells: int
    """Tokens that the cache of a layer holds."""
    windowed_cells: int
    """The same for a layer that sees only a window."""
    seen: int
    """Tokens that a row of all masks together speaks of."""
    outputs_bytes: int
    kept_bytes: int
    """Prefixes beside the context."""


def estimate(
    metadata: Metadata,
    tuning: Tuning,
    files_bytes: int = 0,
    *,
    has_whole_windows: bool = KEEPS_WHOLE_WINDOWS,
) -> Estimate:
    """Say what the model takes when it is run like this; `files_bytes`: its adapters and projector."""
    shape = decide_shape(metadata, tuning, has_whole_windows=has_whole_windows)
    first = first_on_device(metadata, tuning.gpu_layers)
    here, there = metadata.layers[:first], metadata.layers[first:]
    step_bytes = _step_bytes(metadata, shape)
    has_output_there = tuning.gpu_layers != 0
    shared = 0 if metadata.has_own_output else metadata.input_bytes
    device_bytes = sum(each.weights_bytes + _layer_bytes(each, shape, tuning.kv_type) for each in there) + (
        metadata.output_bytes + shared + step_bytes if has_output_there else 0
    )
    return Estimate(
        weights_bytes=metadata.input_bytes
        + sum(each.weights_bytes for each in here)
        + (0 if has_output_there else metadata.output_bytes)
        + files_bytes,
        cache_bytes=sum(_layer_bytes(each, shape, tuning.kv_type) for each in here) + shape.kept_bytes,
        compute_bytes=shape.outputs_bytes + step_bytes,
        worker_bytes=_PROCESS_BYTES + metadata.vocabulary * _per_token(metadata),
        device_bytes=device_bytes,
    )


def estimate_from_size(weights_bytes: int, files_bytes: int = 0) -> Estimate:
    """Guess for weights of which only the size on disk is known."""
    in_memory = int(weights_bytes * _OTHER_FACTOR)
    return Estimate(weights_bytes=in_memory + files_bytes, worker_bytes=_PROCESS_BYTES)


def _per_token(metadata: Metadata) -> int:
    return _TOKEN_BYTES if metadata.is_embedding else _TOKEN_BYTES + _GRAMMAR_TOKEN_BYTES


def decide_shape(
    metadata: Metadata, tuning: Tuning, *, has_whole_windows: bool = KEEPS_WHOLE_WINDOWS
) -> Shape:
    """Return how the engine lays the context out."""
    if metadata.is_embedding:
        return _embedding_shape(metadata, tuning)

    return _chat_shape(metadata, tuning, has_whole_windows=has_whole_windows)


def _chat_shape(metadata: Metadata, tuning: Tuning, *, has_whole_windows: bool) -> Shape:
    context = tuning.context_tokens
    if metadata.context_tokens:
        context = min(context, metadata.context_tokens * tuning.sequences)

    whole = _rounded_up(context)
    windowed = min(whole, _rounded_up(metadata.window_tokens * tuning.sequences + UBATCH_TOKENS))
    if has_whole_windows:
        windowed = whole
    has_whole = any(not each.has_window for each in metadata.layers)
    has_windowed = any(each.has_window for each in metadata.layers)
    outputs = max(tuning.sequences, _OUTPUT_ROWS if tuning.speculation else 0)
    return Shape(
        rows=min(UBATCH_TOKENS, max(tuning.batch_tokens, tuning.sequences)),
        sequences=tuning.sequences,
        whole_cells=whole,
        windowed_cells=windowed,
        seen=has_whole * whole + has_windowed * windowed,
        outputs_bytes=outputs * metadata.vocabulary * _FLOAT_BYTES,
        kept_bytes=tuning.cache_ram_bytes,
    )


def _embedding_shape(metadata: Metadata, tuning: Tuning) -> Shape:
    """Lay out for inputs that are computed whole: a step is as long as the longest of them."""
    limit = min(tuning.context_tokens, metadata.context_tokens or tuning.context_tokens)
    rows = max(limit, tuning.batch_tokens)
    cells = _rounded_up(rows) if metadata.is_causal else 0
    return Shape(
        rows=rows,
        sequences=_EMBEDDED_TOGETHER,
        whole_cells=cells,
        windowed_cells=cells,
        seen=cells or _FULL_MASKS * rows,
        outputs_bytes=rows * metadata.embedding * _FLOAT_BYTES,
        kept_bytes=0,
    )


def first_on_device(metadata: Metadata, gpu_layers: int) -> int:
    """Return the first layer that the accelerator takes: it takes the last ones, and before them the output.

    Negative: all.
    """
    count = len(metadata.layers)
    return 0 if gpu_layers < 0 else max(0, min(count, count + 1 - gpu_layers))


def _layer_bytes(layer: Layer, shape: Shape, kv_type: str) -> int:
    """Return what the layer keeps of the context."""
    state_bytes = layer.state_numbers * _FLOAT_BYTES * shape.sequences
    if not layer.has_cache:
        return state_bytes

    numbers = layer.key_heads * (layer.key_length + layer.value_length)
    cells = shape.windowed_cells if layer.has_window else shape.whole_cells
    return state_bytes + int(numbers * cells * _BITS[kv_type] / 8)


def _step_bytes(metadata: Metadata, shape: Shape) -> int:
    """Return what a step needs at its peak: inside the widest block, or for the logits at the end."""
    widest = max(
        _FEED_FORWARDS * metadata.feed_forward,
        _EMBEDDINGS * metadata.embedding,
        _ATTENTIONS * metadata.attention,
    )
    inside = int(widest * _FLOAT_BYTES) * shape.rows
    return max(inside, shape.outputs_bytes) + shape.seen * _MASK_BYTES * shape.rows


def _rounded_up(tokens: int) -> int:
    return -(-tokens // _CELL_STEP) * _CELL_STEP
