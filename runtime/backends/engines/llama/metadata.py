"""What the header of a GGUF file says about memory: layers, heads, windows, state, sizes of tensors. Pure.

`gguf` reads the file; here its keys get a meaning. Keys that a file leaves out are filled in as llama.cpp
does, and where llama.cpp's choice is unknown, with the one that takes more memory.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

Number = int | float | bool


class Counted(NamedTuple):
    """A list whose entries were not kept."""

    length: int


Value = Number | str | tuple[Number, ...] | Counted

KEEPS_WHOLE_WINDOWS = False
"""Whether layers that see only a window keep the whole context all the same (llama.cpp's `swa_full`).

It is llama.cpp's default: a sequence could then be cut back and copied anywhere. It costs the memory that
the window is there to spare, so states of such models are saved whole instead (see `planner`).
"""
_WINDOW_PERIODS = {
    "cohere2": 4,
    "exaone4": 4,
    "gemma-embedding": 6,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "olmo2": 4,
}
"""Every how many layers one sees the whole context, where the file does not say it."""
_ALWAYS_RECURRENT = frozenset({"falcon-h1"})
"""Architectures whose layers keep a recurrent state beside the attention's cache."""
_BLOCK = re.compile(r"blk\.(\d{1,5})\.")
_MOST_LAYERS = 1 << 16
_MOST = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One block of the model."""

    weights_bytes: int
    heads: int
    key_heads: int
    """Heads that keep keys and values; 0: the layer keeps none."""
    key_length: int
    value_length: int
    """0 where the values are part of the keys (multi-head latent attention)."""
    has_window: bool
    """Whether it sees only the newest `Metadata.window_tokens`."""
    has_cache: bool
    """Whether it keeps keys and values of its own; some models share those of an earlier layer."""
    state_numbers: int
    """Size of the recurrent state of one sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """A model as its file describes it."""

    architecture: str
    layers: tuple[Layer, ...]
    input_bytes: int
    """The table of token embeddings."""
    output_bytes: int
    """What belongs to no block: the output's weights and norms."""
    has_own_output: bool
    """Whether the output has weights of its own; else it uses the table of the input."""
    embedding: int
    """Numbers per token between the layers."""
    feed_forward: int
    """Numbers per token inside a block, at the widest block; of the experts that are used together."""
    vocabulary: int
    context_tokens: int
    """What it was trained on; 0 where it does not say so."""
    window_tokens: int
    experts: int
    experts_used: int
    pooling: int | None
    """How an embedding model makes one vector of many; None: it is none, or does not say."""
    is_causal: bool
    """Whether a token sees only what came before it; where it sees all, nothing can be generated."""
    has_chat_template: bool

    @property
    def is_embedding(self) -> bool:
        """Whether it makes vectors or scores in place of text."""
        return bool(self.pooling) or not self.is_causal

    @property
    def weights_bytes(self) -> int:
        """Bytes of all tensors."""
        return self.input_bytes + self.output_bytes + sum(each.weights_bytes for each in self.layers)

    @property
    def attention(self) -> int:
        """Numbers per token of the queries, at the widest block."""
        return max((each.heads * each.key_length for each in self.layers), default=0)


def describe(values: Mapping[str, Value], tensors: Mapping[str, int]) -> Metadata:
    """Return what the keys and the tensors (name to bytes) of a file mean. Never raises."""
    keys = _Keys(values)
    sizes: dict[int, int] = {}
    outside = {"input": 0, "output": 0}
    for name, size in tensors.items():
        block = _BLOCK.match(name)
        if block:
            sizes[int(block[1])] = sizes.get(int(block[1]), 0) + size
        else:
            outside["input" if name.startswith(("token_embd.", "per_layer_token_embd.")) else "output"] += (
                size
            )

    experts_used = keys.number("expert_used_count")
    return Metadata(
        architecture=keys.architecture,
        layers=_layers(keys, sizes),
        input_bytes=outside["input"],
        output_bytes=outside["output"],
        has_own_output="output.weight" in tensors,
        embedding=keys.number("embedding_length"),
        feed_forward=max(
            keys.largest("feed_forward_length"),
            experts_used * keys.number("expert_feed_forward_length")
            + keys.number("expert_shared_feed_forward_length"),
        ),
        vocabulary=_vocabulary(values) or keys.number("vocab_size"),
        context_tokens=keys.number("context_length"),
        window_tokens=keys.number("attention.sliding_window"),
        experts=keys.number("expert_count"),
        experts_used=experts_used,
        pooling=keys.number("pooling_type") if keys.has("pooling_type") else None,
        is_causal=values.get(f"{keys.architecture}.attention.causal") is not False,
        has_chat_template="tokenizer.chat_template" in values,
    )


def _layers(keys: "_Keys", sizes: Mapping[int, int]) -> tuple[Layer, ...]:
    count = min(keys.number("block_count") or max(sizes, default=-1) + 1, _MOST_LAYERS)
    heads = keys.per_layer("attention.head_count", count, 0)
    key_heads = keys.per_layer("attention.head_count_kv", count, 0)
    if not keys.has("attention.head_count_kv"):
        key_heads = heads

    windows, recurrents = _windows(keys, count), _recurrents(keys, key_heads)
    head = keys.number("embedding_length") // max(1, *heads) if heads else 0
    is_latent = keys.has("attention.key_length_mla")
    lengths = {has_window: _head_lengths(keys, head, has_window) for has_window in (False, True)}
    own = count - keys.number("attention.shared_kv_layers")
    state = _state_numbers(keys)
    return tuple(
        Layer(
            weights_bytes=sizes.get(index, 0),
            heads=heads[index],
            key_heads=key_heads[index],
            key_length=lengths[windows[index]][0],
            value_length=0 if is_latent else lengths[windows[index]][1],
            has_window=windows[index],
            has_cache=index < own and (not recurrents[index] or keys.architecture in _ALWAYS_RECURRENT),
            state_numbers=state if recurrents[index] else 0,
        )
        for index in range(count)
    )


def _head_lengths(keys: "_Keys", default: int, has_window: bool) -> tuple[int, int]:
    ending = "_swa" if has_window else ""
    lengths = [keys.number(f"attention.{kind}_length") or default for kind in ("key", "value")]
    key, value = (
        keys.number(f"attention.{kind}_length{ending}") or length
        for kind, length in zip(("key", "value"), lengths, strict=True)
    )
    return key, value


def _windows(keys: "_Keys", count: int) -> list[bool]:
    """Say which layers see a window only."""
    if not keys.number("attention.sliding_window"):
        return [False] * count

    told = keys.values.get(f"{keys.architecture}.attention.sliding_window_pattern")
    if isinstance(told, tuple):
        return [bool(told[index]) if index < len(told) else False for index in range(count)]

    is_known = keys.architecture in _WINDOW_PERIODS
    period = told if isinstance(told, int) and told > 0 else _WINDOW_PERIODS.get(keys.architecture, 1)
    return [is_known and index % period < period - 1 for index in range(count)]


def _recurrents(keys: "_Keys", key_heads: list[int]) -> list[bool]:
    """Say which layers keep a recurrent state."""
    if keys.architecture in _ALWAYS_RECURRENT:
        return [True] * len(key_heads)

    interval = keys.number("full_attention_interval")
    if interval:
        return [(index + 1) % interval != 0 for index in range(len(key_heads))]

    return [each == 0 for each in key_heads]


def _state_numbers(keys: "_Keys") -> int:
    """Return the size of one layer's recurrent state, as llama.cpp lays it out."""
    embedding = keys.number("embedding_length")
    head = keys.number("wkv.head_size")
    if head:
        return embedding * (head + (keys.number("token_shift_count") or 2))

    reach = keys.number("shortconv.l_cache")
    if reach:
        return embedding * (reach - 1)

    inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    reach = max(1, keys.number("ssm.conv_kernel"))
    return (reach - 1) * (inner + 2 * keys.number("ssm.group_count") * state) + state * inner


def _vocabulary(values: Mapping[str, Value]) -> int:
    tokens = values.get("tokenizer.ggml.tokens")
    return tokens.length if isinstance(tokens, Counted) else 0


class _Keys:
    """The keys of one architecture. What is missing or of a strange type counts as 0."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self.values = values
        named = values.get("general.architecture")
        self.architecture = named if isinstance(named, str) else ""

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self.values

    def number(self, key: str) -> int:
        """Return a whole number; of a list, its largest."""
        return self.largest(key)

    def largest(self, key: str) -> int:
        return max(self.per_layer(key, 1, 0), default=0)

    def per_layer(self, key: str, count: int, default: int) -> list[int]:
        """Return one number per layer; a list that is too short leaves the default."""
        value = self.values.get(f"{self.architecture}.{key}")
        if isinstance(value, tuple):
            told = [_whole(each) for each in value]
            return told + [default] * (count - len(told))

        return [_whole(value) if isinstance(value, int | float) else default] * count


def _whole(value: Number) -> int:
    """Return the number within what such a key can mean, so that sums stay finite."""
    return max(0, min(int(value), _MOST)) if math.isfinite(value) else 0
