"""Writes a sentence-transformers BERT (safetensors, vocab.txt) as the GGUF file that llama.cpp reads.

So that one embedding model can be run by two engines and their vectors compared. Tensors are copied as they
are, 32-bit floats; only names and the spelling of the vocabulary change.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_MAGIC, _VERSION, _ALIGNMENT, _F32 = b"GGUF", 3, 32, 0
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_NORMAL, _CONTROL = 1, 3
"""Kinds of tokens."""
_LAYERS, _POOL_MEAN = 6, 1

_LAYER_NAMES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_NAMES = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
    **{
        f"encoder.layer.{layer}.{old}.{kind}": f"blk.{layer}.{new}.{kind}"
        for layer in range(_LAYERS)
        for old, new in _LAYER_NAMES.items()
        for kind in ("weight", "bias")
    },
}


class Tensor(NamedTuple):
    """One tensor of 32-bit floats, its longest-striding dimension first."""

    name: str
    shape: list[int]
    data: bytes


def write_minilm(safetensors: Path, vocabulary: Path, target: Path, *, ranks: bool = False) -> None:
    """Write all-MiniLM-L6-v2 as GGUF; `ranks` makes it a ranker, its head made up."""
    tokens = vocabulary.read_text(encoding="utf-8").splitlines()
    tensors = list(_read_tensors(safetensors))
    facts = _facts(tokens)
    if ranks:
        facts |= {"bert.pooling_type": (_UINT32, 4)}
        tensors += _ranking_head()

    write_gguf(target, facts, tensors)


def write_gguf(target: Path, facts: Mapping[str, tuple[int, Any]], tensors: Sequence[Tensor]) -> None:
    """Write a GGUF file of these facts (name to kind and value) and tensors."""
    header = bytearray(_MAGIC + struct.pack("<IQQ", _VERSION, len(tensors), len(facts)))
    for name, (kind, value) in facts.items():
        header += _text(name) + struct.pack("<I", kind) + _value(kind, value)

    offset = 0
    for tensor in tensors:
        # GGUF names the dimension that lies closest in memory first.
        shape = tensor.shape[::-1]
        header += _text(tensor.name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, _F32, offset)
        offset += _aligned(len(tensor.data))

    with target.open("wb") as file:
        file.write(header.ljust(_aligned(len(header)), b"\0"))
        for tensor in tensors:
            file.write(tensor.data.ljust(_aligned(len(tensor.data)), b"\0"))


def _facts(tokens: list[str]) -> dict[str, tuple[int, Any]]:
    controls = {token: place for place, token in enumerate(tokens) if _is_control(token)}
    return {
        "general.architecture": (_STRING, "bert"),
        "general.name": (_STRING, "all-MiniLM-L6-v2"),
        "general.file_type": (_UINT32, 0),
        "bert.context_length": (_UINT32, 512),
        "bert.embedding_length": (_UINT32, 384),
        "bert.feed_forward_length": (_UINT32, 1536),
        "bert.block_count": (_UINT32, _LAYERS),
        "bert.attention.head_count": (_UINT32, 12),
        "bert.attention.layer_norm_epsilon": (_FLOAT32, 1e-12),
        "bert.attention.causal": (_BOOL, False),
        "bert.pooling_type": (_UINT32, _POOL_MEAN),
        "tokenizer.ggml.model": (_STRING, "bert"),
        "tokenizer.ggml.pre": (_STRING, "jina-v2-en"),
        "tokenizer.ggml.token_type_count": (_UINT32, 2),
        "tokenizer.ggml.tokens": (_ARRAY, (_STRING, [_spell(token) for token in tokens])),
        "tokenizer.ggml.token_type": (
            _ARRAY,
            (_INT32, [_CONTROL if token in controls else _NORMAL for token in tokens]),
        ),
        "tokenizer.ggml.unknown_token_id": (_UINT32, controls["[UNK]"]),
        "tokenizer.ggml.seperator_token_id": (_UINT32, controls["[SEP]"]),  # spelled so by the format
        "tokenizer.ggml.padding_token_id": (_UINT32, controls["[PAD]"]),
        "tokenizer.ggml.cls_token_id": (_UINT32, controls["[CLS]"]),
        "tokenizer.ggml.mask_token_id": (_UINT32, controls["[MASK]"]),
    }


def _is_control(token: str) -> bool:
    return token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def _spell(token: str) -> str:
    """Spell a token as llama.cpp does: the beginning of a word is marked, not its continuation."""
    if _is_control(token):
        return token

    return token[2:] if token.startswith("##") else "\u2581" + token


def _read_tensors(path: Path) -> Iterator[Tensor]:
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    body = 8 + length
    for name, entry in json.loads(raw[8:body]).items():
        if name in _NAMES:
            assert entry["dtype"] == "F32"
            begin, end = entry["data_offsets"]
            yield Tensor(_NAMES[name], entry["shape"], raw[body + begin : body + end])


def _ranking_head() -> list[Tensor]:
    """A head whose score is the sum of tanh over the first sixteen numbers of the [CLS] state."""
    width = 384
    identity = [1.0 if row == column else 0.0 for row in range(width) for column in range(width)]
    out = [1.0 if place < 16 else 0.0 for place in range(width)]
    return [
        Tensor("cls.weight", [width, width], _floats(identity)),
        Tensor("cls.bias", [width], _floats([0.0] * width)),
        Tensor("cls.output.weight", [1, width], _floats(out)),
        Tensor("cls.output.bias", [1], _floats([0.0])),
    ]


def _floats(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _text(value)

    if kind == _ARRAY:
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(_value(inner, item) for item in items)

    return struct.pack({_UINT32: "<I", _INT32: "<i", _FLOAT32: "<f", _BOOL: "<?"}[kind], value)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
