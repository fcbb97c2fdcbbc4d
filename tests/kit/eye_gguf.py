"""Makes up a projector: a vision tower of two tiny layers with random weights, as GGUF.

What it sees means nothing, but other pictures give other vectors, which is what tests need. And writes
pictures, as PNG.
"""

import random
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.kit.bert_gguf import Tensor, write_gguf

_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 6, 7, 8, 9
IMAGE_SIZE, PATCH_SIZE, WIDTH, HEADS, LAYERS = 56, 14, 32, 2, 2
PICTURE_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
"""What each picture takes."""

_LOUDNESS = 0.15
"""Spread of the weights: about what keeps the numbers of a layer as large as they came."""


def write_projector(target: Path, embedding_length: int, *, kind: str = "mlp") -> None:
    """Write a LLaVA projector for models of this width."""
    facts: dict[str, tuple[int, Any]] = {
        "general.architecture": (_STRING, "clip"),
        "clip.has_vision_encoder": (_BOOL, True),
        "clip.projector_type": (_STRING, kind),
        "clip.use_gelu": (_BOOL, True),
        "clip.vision.image_size": (_UINT32, IMAGE_SIZE),
        "clip.vision.patch_size": (_UINT32, PATCH_SIZE),
        "clip.vision.embedding_length": (_UINT32, WIDTH),
        "clip.vision.feed_forward_length": (_UINT32, WIDTH * 2),
        "clip.vision.block_count": (_UINT32, LAYERS),
        "clip.vision.projection_dim": (_UINT32, embedding_length),
        "clip.vision.attention.head_count": (_UINT32, HEADS),
        "clip.vision.attention.layer_norm_epsilon": (_FLOAT32, 1e-5),
        "clip.vision.image_mean": (_ARRAY, (_FLOAT32, [0.5, 0.5, 0.5])),
        "clip.vision.image_std": (_ARRAY, (_FLOAT32, [0.5, 0.5, 0.5])),
    }
    write_gguf(target, facts, _tensors(embedding_length))


def png(colour: Sequence[int], side: int = 64) -> bytes:
    """Return a square picture of one colour (red, green, blue)."""
    row = b"\0" + bytes(colour) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * side)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _tensors(embedding_length: int) -> list[Tensor]:
    shapes: dict[str, list[int]] = {
        "v.patch_embd.weight": [WIDTH, 3, PATCH_SIZE, PATCH_SIZE],
        "v.position_embd.weight": [PICTURE_TOKENS, WIDTH],
        "mm.0.weight": [embedding_length, WIDTH],
        "mm.0.bias": [embedding_length],
        "mm.2.weight": [embedding_length, embedding_length],
        "mm.2.bias": [embedding_length],
    }
    for layer in range(LAYERS):
        block = f"v.blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            shapes |= {f"{block}.{name}.weight": [WIDTH, WIDTH], f"{block}.{name}.bias": [WIDTH]}
        for name in ("ln1", "ln2"):
            shapes |= {f"{block}.{name}.weight": [WIDTH], f"{block}.{name}.bias": [WIDTH]}
        shapes |= {f"{block}.ffn_up.weight": [WIDTH * 2, WIDTH], f"{block}.ffn_up.bias": [WIDTH * 2]}
        shapes |= {f"{block}.ffn_down.weight": [WIDTH, WIDTH * 2], f"{block}.ffn_down.bias": [WIDTH]}

    dice = random.Random(7)
    return [Tensor(name, shape, _noise(dice, shape)) for name, shape in shapes.items()]


def _noise(dice: random.Random, shape: Sequence[int]) -> bytes:
    count = 1
    for length in shape:
        count *= length
    return struct.pack(f"<{count}f", *(dice.gauss(0.0, _LOUDNESS) for _ in range(count)))
