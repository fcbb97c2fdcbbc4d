"""Makes up LoRA adapters: random changes to the attention of a model, strong enough to change its answers."""

import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.kit.bert_gguf import Tensor, write_gguf

_FLOAT32, _STRING = 6, 8
_RANK = 4
_LAYERS = (3, 12, 21)
"""Few are enough to be heard."""


class Shape(NamedTuple):
    """What an adapter has to know of its model."""

    architecture: str
    width: int
    """Numbers in the state of a token."""


SMOLLM2 = Shape("llama", 576)


def write_adapter(target: Path, shape: Shape, seed: int, *, strength: float = 0.08) -> None:
    """Write an adapter; another seed makes another one. At `strength` 0 it changes nothing."""
    facts: dict[str, tuple[int, Any]] = {
        "general.type": (_STRING, "adapter"),
        "general.architecture": (_STRING, shape.architecture),
        "adapter.type": (_STRING, "lora"),
        "adapter.lora.alpha": (_FLOAT32, float(_RANK)),
    }
    write_gguf(target, facts, list(_tensors(shape.width, random.Random(seed), strength)))


def _tensors(width: int, dice: random.Random, strength: float) -> Iterator[Tensor]:
    for layer in _LAYERS:
        for part in ("attn_q", "attn_output"):
            name = f"blk.{layer}.{part}.weight"
            yield Tensor(f"{name}.lora_a", [_RANK, width], _noise(dice, _RANK * width, 1.0))
            yield Tensor(f"{name}.lora_b", [width, _RANK], _noise(dice, _RANK * width, strength))


def _noise(dice: random.Random, count: int, spread: float) -> bytes:
    return struct.pack(f"<{count}f", *(dice.gauss(0.0, spread) for _ in range(count)))
